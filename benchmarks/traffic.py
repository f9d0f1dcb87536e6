"""How fast traffic is made: as columns for a detector, as whole rows, as OTLP.

    python -m benchmarks.traffic [--calls-per-day 200000] [--load FILE]

The world has 28 days of 40 tenants with a full plan of incidents. Figures are CPU time of one process, calls a second.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from spanledger_ingest.traffic import World, build_world, calls, generate_hour

DAYS: Final = 28
TENANTS: Final = 40
LEAF_COLUMNS: Final = (
    *("start_ns", "trace_id", "tenant_id", "use_case", "region", "provider", "model", "response_model"),
    *("prompt_version", "input_tokens", "output_tokens", "cache_read_tokens", "cost_usd", "finish_reason", "status"),
    *("ttft_ms", "duration_ms"),
)
"""What a detector needs."""


def main(arguments: list[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls-per-day", type=int, default=200_000)
    parser.add_argument("--load", type=Path, help="request rates of real clients, for a wild world")
    args = parser.parse_args(arguments)
    world = build_world(
        1,
        days=DAYS,
        tenants=TENANTS,
        calls_per_day=args.calls_per_day,
        mode="seasonal" if args.load is None else "wild",
        load=args.load,
        incidents="full",
    )
    _show("columns of a detector, 28 days", lambda: _columns(world, range(0, DAYS * 24, 24)))
    _show("all columns, 2 days", lambda: sum(calls(world, hour, hour + 24).num_rows for hour in (336, 360)))
    _show("OTLP, 12 hours", lambda: _otlp(world, range(336, 348)))
    _show("truth of all incidents", lambda: len(world.truth["incidents"]), "incidents")
    return 0


def _columns(world: World, hours: range) -> int:
    return sum(calls(world, hour, hour + 24, columns=LEAF_COLUMNS).num_rows for hour in hours)


def _otlp(world: World, hours: range) -> int:
    return sum(generate_hour(world, world.hours[hour]).ledger.total.calls for hour in hours)


def _show(what: str, work: Callable[[], int], unit: str = "calls") -> None:
    started = time.process_time()
    done = work()
    seconds = time.process_time() - started
    sys.stdout.write(f"{what}: {done:,} {unit} in {seconds:.1f} s CPU, {done / seconds:,.0f} a second\n")


if __name__ == "__main__":
    sys.exit(main())
