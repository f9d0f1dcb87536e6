"""The command `spanledger generate`."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from spanledger_ingest.traffic._generate import Written, write_traffic


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `spanledger generate`."""
    parser.add_argument("--seed", type=int, default=1, help="names the traffic: same seed, same bytes (default 1)")
    parser.add_argument("--days", type=int, default=7, help="length of the period, which ends 2026-10-01 (default 7)")
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder for request files and truth.json")
    parser.add_argument("--tenants", type=int, default=20, help="number of tenants, 1 to 40 (default 20)")
    parser.add_argument("--calls-per-day", type=int, default=5000, help="model calls a day, on average (default 5000)")
    parser.add_argument("--json", action="store_true", help="print the truth as JSON")


def run(args: argparse.Namespace) -> int:
    """Generate, and say what was written; 0 if it was, 1 if not."""
    try:
        written = _write(args)
    except (OSError, ValueError) as error:
        _say(Console(stderr=True), f"spanledger generate: {error}")
        return 1
    if args.json:
        _say(Console(), json.dumps(written.truth, indent=2))
    else:
        _report(written, args.out)
    return 0


def _write(args: argparse.Namespace) -> Written:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("generating", total=1.0)
        return write_traffic(
            args.seed,
            args.days,
            args.out,
            tenants=args.tenants,
            calls_per_day=args.calls_per_day,
            progress=lambda share: progress.update(task, completed=share),
        )


def _report(written: Written, out: Path) -> None:
    totals = written.truth["totals"]
    lines = (
        f"{written.files} request files, {written.bytes / 1e6:.1f} MB, in {out}",
        f"{totals['calls']} calls, {totals['errors']} of them errors, {totals['cost_usd']} USD",
        f"the truth about them is in {out / 'truth.json'}",
        "each file is the body of one POST /v1/traces (Content-Type: application/x-protobuf)",
        f"sha256 of all bodies {written.sha256}",
    )
    _say(Console(), "\n".join(lines))


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
