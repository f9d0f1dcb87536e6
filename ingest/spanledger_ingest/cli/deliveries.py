"""``spanledger deliveries``: messages to receivers of alerts, and sending one again."""

import argparse
import json
from typing import Any, Final
from urllib.parse import quote, urlencode

from spanledger_ingest.cli._admin import ask, post
from spanledger_ingest.cli._client import DEFAULT_URL
from spanledger_ingest.cli._tables import print_table

_LIST: Final = ("id", "state", "endpoint", "status", "created", "attempts", "http_status", "detail")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``deliveries``."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", metavar="URL", help=f"the running service (default {DEFAULT_URL})")
    common.add_argument("--api-key", metavar="KEY", help="env:NAME or file:PATH (default: SPANLEDGER_API_KEY)")
    common.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", parents=[common], help="list messages, the latest first")
    listed.add_argument("--state", help="pending, queued, delivered, dead, collapsed or skipped (default all)")
    listed.add_argument("--receiver", metavar="NAME", help="only those to this receiver")
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default 100)")
    replay = actions.add_parser("replay", parents=[common], help="send a message again, under the same id")
    replay.add_argument("id", metavar="ID", help="of the message")


def run(options: argparse.Namespace) -> int:
    """Ask the running service."""
    if options.action == "replay":
        _print(options, [post(options, f"/api/v1/deliveries/{quote(options.id, safe='')}/replay")])
        return 0
    wanted = {"state": options.state, "receiver": options.receiver, "limit": options.limit}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    _print(options, ask(options, f"/api/v1/deliveries?{query}")["items"])
    return 0


def _print(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    if options.json:
        print(json.dumps(rows, indent=2))  # noqa: T201 - the answer
    else:
        print_table(_LIST, rows)
