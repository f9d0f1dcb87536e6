"""``spanledger explain TRACE_ID``: why each span of a trace was billed or not, and at which price."""

import argparse
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from spanledger_ingest.cli._client import DEFAULT_URL, get_items
from spanledger_ingest.settings import client_api_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``explain``."""
    parser.add_argument("trace_id", metavar="TRACE_ID", help="32 hexadecimal digits")
    parser.add_argument("--url", default=DEFAULT_URL, metavar="URL", help=f"the service (default {DEFAULT_URL})")
    parser.add_argument(
        "--api-key", metavar="KEY", help="env:NAME or file:PATH of an API key (default: SPANLEDGER_API_KEY)"
    )
    parser.add_argument("--json", action="store_true", help="print the explanation as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the explanation of every model call span of the trace, in order of start."""
    path = f"/api/v1/traces/{quote(options.trace_id, safe='')}/explain"
    items = get_items(options.url, path, client_api_key(options.api_key))
    if options.json:
        print(json.dumps(items, indent=2))  # noqa: T201 - what the command is asked to say
        return 0
    from rich.console import Console  # noqa: PLC0415 - not needed for --json and --help

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not items:
        console.print("The trace is stored, but no span of it describes a model call.")
    for item in items:
        for line in _lines(item):
            console.print(line)
    return 0


def _lines(item: dict[str, Any]) -> Iterator[str]:
    yield f"span {item['span_id']}  {item['model'] or 'unknown model'}"
    yield f"  {item['text']}"
    price = item["price"]
    if price is None:
        return
    if price["amount"] is None:
        yield f"  No cost: {price['detail'] or price['reason']}"
        return
    for part in price["lines"]:
        tokens = f"{part['tokens']:>12,} {part['token_class']:<18}"
        yield f"  {tokens} at {part['usd_per_million']} USD per million = {part['amount']} USD"
    yield f"  {price['amount']} USD, price {price['price_id']} from {price['source']}"
