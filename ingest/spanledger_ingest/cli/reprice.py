"""``spanledger reprice --from --to``: price stored calls again, and say what that changes."""

import argparse
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from spanledger_ingest.cli._admin import add_target, post
from spanledger_ingest.cli._tables import moment, nanoseconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``reprice``."""
    for name, which in (("from", "calls that start then or later"), ("to", "calls that start before")):
        parser.add_argument(f"--{name}", dest=f"{name}_", required=True, metavar="TIME", help=f"{which}: 2026-03-01")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    add_target(parser)
    parser.add_argument("--json", action="store_true", help="print the changes as JSON")


def run(options: argparse.Namespace) -> int:
    """Price step by step, with a progress bar on a terminal, then print the changes by model."""
    from rich.console import Console  # noqa: PLC0415 - not needed for --help
    from rich.progress import Progress  # noqa: PLC0415 - same

    totals: dict[str, list[Any]] = {}
    examined = replaced = 0
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as progress:
        bar = progress.add_task("calls", total=None)
        for step in _steps(options):
            examined += step["examined"]
            replaced += step["replaced"]
            progress.update(bar, completed=examined, total=examined + step["remaining"])
            _add(totals, step["changes"])
    changes = [
        {"model": model, "calls": calls, "before_usd": str(before), "after_usd": str(after)}
        for model, (calls, before, after) in sorted(totals.items())
    ]
    summary = {"examined": examined, "replaced": replaced, "changes": changes}
    print(json.dumps(summary, indent=2) if options.json else "\n".join(_lines(summary)))  # noqa: T201 - the answer
    return 0


def _add(totals: dict[str, list[Any]], changes: list[dict[str, Any]]) -> None:
    for change in changes:
        total = totals.setdefault(change["model"], [0, Decimal(0), Decimal(0)])
        total[0] += change["calls"]
        total[1] += Decimal(change["before_usd"])
        total[2] += Decimal(change["after_usd"])


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    for change in summary["changes"]:
        yield (
            f"{change['model']:<40}  {change['calls']:>9,} calls  {change['before_usd']:>18} -> "
            f"{change['after_usd']} USD"
        )
    yield f"{summary['examined']:,} calls looked at, {summary['replaced']:,} costs replaced"


def _steps(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    window = moment("--from", options.from_), moment("--to", options.to_)
    yield from _asked(options, window) if options.data is None else _made(options, window)


def _asked(options: argparse.Namespace, window: tuple[datetime, datetime]) -> Iterator[dict[str, Any]]:
    query = {"from": window[0].isoformat(), "to": window[1].isoformat(), "dry_run": str(options.dry_run).lower()}
    while True:
        step = post(options, f"/api/v1/admin/reprice?{urlencode(query)}")
        yield step
        if step["next_cursor"] is None:
            return
        query["cursor"] = step["next_cursor"]


def _made(options: argparse.Namespace, window: tuple[datetime, datetime]) -> Iterator[dict[str, Any]]:
    from spanledger_analytics.queries import Window  # noqa: PLC0415 - heavy
    from spanledger_ingest.cli._stopped import stopped_repricing  # noqa: PLC0415 - heavy

    stretch = Window(*map(nanoseconds, window))
    with stopped_repricing(options) as repricing:
        after, more = None, True
        while more:
            step = repricing.step(stretch, after, dry_run=options.dry_run)
            yield step.as_json()
            after, more = step.after, step.after is not None
