"""``spanledger budgets list``: what is spent of what, what it will come to, and when it is used up."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from spanledger_ingest.cli._client import DEFAULT_URL, get_items
from spanledger_ingest.settings import client_api_key

_COLUMNS: Final = (
    "budget",
    "tenant",
    "period",
    "ends",
    "spent USD",
    "of USD",
    "share",
    "forecast USD (80 %)",
    "used up",
    "unpriced",
    "state",
)
_RIGHT: Final = ("spent USD", "of USD", "share", "unpriced")
_WIDTH: Final = 220
_MINUTE: Final = timedelta(minutes=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``budgets``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="how every budget stands", description="How every budget stands.")
    listing.add_argument("--url", default=DEFAULT_URL, metavar="URL", help=f"the service (default {DEFAULT_URL})")
    listing.add_argument(
        "--api-key", metavar="KEY", help="env:NAME or file:PATH of an API key (default: SPANLEDGER_API_KEY)"
    )
    listing.add_argument("--json", action="store_true", help="print the rows as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the budgets of a running service."""
    items = get_items(options.url, "/api/v1/budgets", client_api_key(options.api_key))
    if options.json:
        print(json.dumps(items, indent=2))  # noqa: T201 - what the command is asked to say
        return 0
    from rich.console import Console  # noqa: PLC0415 - not needed for --json and --help
    from rich.table import Table  # noqa: PLC0415 - same

    # Wide enough for every column: a list that is cut short cannot be read.
    console = Console(highlight=False, markup=False, width=_WIDTH)
    if not items:
        console.print("No budget is set: docs/budgets.md says how to make one.")
        return 0
    table = Table(box=None)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=True)
    for item in items:
        table.add_row(*cells(item, datetime.now(UTC)))
    console.print(table)
    return 0


def cells(item: dict[str, Any], now: datetime) -> Sequence[str]:
    """Return a row of the table."""
    return (
        item["name"],
        item["tenant_id"] or "",
        item["period"],
        _day(item["period_end"]),
        _usd(item["spent_usd"]),
        _usd(item["limit_usd"]),
        f"{100 * item['share']:.1f} %",
        _forecast(item),
        _used_up(item, now),
        str(item["unpriced_calls"] or ""),
        item["state"].replace("_", " "),
    )


def _usd(text: str | None) -> str:
    return "" if text is None else f"{Decimal(text):,.2f}"


def _day(text: str | None) -> str:
    return "" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"


def _forecast(item: dict[str, Any]) -> str:
    if item["forecast_usd"] is None:
        return ""
    low, high = _usd(item["forecast_low_usd"]), _usd(item["forecast_high_usd"])
    return f"{_usd(item['forecast_usd'])} ({low} to {high})"


def _used_up(item: dict[str, Any], now: datetime) -> str:
    """Return in how long the budget is used up, with the ends of the interval."""
    if item["state"] == "exceeded":
        return "is"
    times = [item["exhausted_early"], item["exhausted_at"], item["exhausted_late"]]
    if times == [None] * 3:
        return ""
    early, middle, late = ("later" if text is None else _away(text, now) for text in times)
    return f"in {middle} ({early} to {late})" if item["exhausted_at"] is not None else f"perhaps in {early}"


def _away(text: str, now: datetime) -> str:
    minutes = max((datetime.fromisoformat(text) - now) // _MINUTE, 0)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"{days}d {hours}h" if days else f"{hours}h {minutes}m"
