"""The command `spanledger generate`."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from spanledger_ingest.traffic._generate import Written, write_traffic
from spanledger_ingest.traffic._load import LoadError
from spanledger_ingest.traffic._world import MOST_TENANTS, build_world


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `spanledger generate`."""
    parser.add_argument("--seed", type=int, default=1, help="names the traffic: same seed, same bytes (default 1)")
    parser.add_argument(
        "--days",
        type=number_between(1, 4000),
        default=7,
        help="days up to 2026-10-01 (default 7)",
    )
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder for request files and truth.json")
    parser.add_argument(
        "--tenants", type=number_between(1, MOST_TENANTS), default=20, help="number of tenants, 1 to 400 (default 20)"
    )
    parser.add_argument(
        "--calls-per-day",
        type=number_between(1, 1_000_000_000),
        default=5000,
        help="model calls a day, on average (default 5000)",
    )
    parser.add_argument(
        "--mode",
        choices=("seasonal", "wild"),
        default="seasonal",
        help="load that follows the day and the week, or hardly (default seasonal)",
    )
    parser.add_argument(
        "--load", type=Path, metavar="FILE", help="request rates of real clients (.npz) that a wild world follows"
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--incidents",
        choices=("none", "demo", "full"),
        default="demo",
        help="no incidents, four that are easy to see, or all kinds in all sizes in the second half (default demo)",
    )
    chosen.add_argument(
        "--clean", action="store_const", const="none", dest="incidents", help="the same as --incidents none"
    )
    parser.add_argument(
        "--faults", action="store_true", help="let spans arrive late, twice, with skewed clocks or not at all"
    )
    parser.add_argument("--json", action="store_true", help="print the truth as JSON")


def number_between(least: int, most: int) -> Callable[[str], int]:
    """Return an argument type that takes whole numbers of a range."""

    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not between {least} and {most}")
        return number

    parse.__name__ = "whole number"  # argparse names it in its message
    return parse


def run(args: argparse.Namespace) -> int:
    """Generate, and say what was written.

    Raises:
        LoadError: If the recorded load cannot be used.
        OutputError: If nothing can be written there.
    """
    if args.load is not None and args.mode != "wild":
        raise LoadError("--load is what a wild world follows: add --mode wild")
    written = _write(args)
    if args.json:
        _say(json.dumps(written.truth, indent=2))
    else:
        _report(written, args.out)
    return 0


def _write(args: argparse.Namespace) -> Written:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("generating", total=1.0)
        world = build_world(
            args.seed,
            days=args.days,
            tenants=args.tenants,
            calls_per_day=args.calls_per_day,
            mode=args.mode,
            incidents=args.incidents,
            load=args.load,
            faults=args.faults,
        )
        return write_traffic(world, args.out, progress=lambda share: progress.update(task, completed=share))


def _report(written: Written, out: Path) -> None:
    totals = written.truth["totals"]
    lines = (
        f"{written.files} request files, {written.bytes / 1e6:.1f} MB, in {out}",
        f"{totals['calls']} calls, {totals['errors']} of them errors, {totals['cost_usd']} USD",
        f"the truth about them is in {out / 'truth.json'}",
        "each file is the body of one POST /v1/traces (Content-Type: application/x-protobuf)",
        f"sha256 of all bodies {written.sha256}",
    )
    _say("\n".join(lines))


def _say(text: str) -> None:
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
