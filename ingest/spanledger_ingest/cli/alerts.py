"""``spanledger alerts``: what fires, what a rule would say now, and what it would have said."""

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

from spanledger_ingest.cli._admin import add_target, ask, post_lines
from spanledger_ingest.cli._tables import moment, print_table

_LIST: Final = ("id", "state", "severity", "rule", "tenant_id", "started", "resolved", "summary")
_RULES: Final = ("name", "kind", "severity", "evaluated", "failing", "alerts", "doc")
_SAID: Final = ("active", "severity", "labels", "summary", "receivers", "muted")
_REPLAYED: Final = ("pending", "started", "resolved", "severity", "labels", "summary")
_TOLD: Final = ("time", "receiver", "status", "alerts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``alerts``."""
    common = argparse.ArgumentParser(add_help=False)
    add_target(common)
    common.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    listed = actions.add_parser("list", parents=[common], help="list alerts, the latest first")
    listed.add_argument(
        "--state", default="pending,firing,no_data", metavar="S,S", help="of pending, firing, no_data, resolved"
    )
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default 100)")

    actions.add_parser("rules", parents=[common], help="list rules, and how their evaluation goes")

    test = actions.add_parser("test", parents=[common], help="evaluate a rule now; nobody is told")
    test.add_argument("--rule", required=True, metavar="R", help="its name")
    test.add_argument("--send", action="store_true", help="send a marked test message to the receivers")

    replay = actions.add_parser("replay", parents=[common], help="say when a rule would have fired in stored data")
    replay.add_argument("--rule", required=True, metavar="R", help="its name")
    replay.add_argument("--from", dest="from_", required=True, metavar="TIME", help="2026-03-01, or 7d for a week ago")
    replay.add_argument("--to", default="now", metavar="TIME", help="2026-03-08 (default now)")
    replay.add_argument("--step", type=int, default=0, metavar="S", help="seconds between evaluations")


def run(options: argparse.Namespace) -> int:
    """Ask the running service or, with ``--data``, look into the data directory of a stopped one."""
    actions: dict[str, Callable[[argparse.Namespace], None]] = {
        "list": _list,
        "rules": _rules,
        "test": _test,
        "replay": _replay,
    }
    actions[options.action](options)
    return 0


def _list(options: argparse.Namespace) -> None:
    query = urlencode({"state": options.state, "limit": options.limit})
    _print(options, _LIST, _answer(options, "GET", f"/alerts?{query}")["items"])


def _rules(options: argparse.Namespace) -> None:
    _print(options, _RULES, _answer(options, "GET", "/alerts/rules")["items"])


def _test(options: argparse.Namespace) -> None:
    send = str(options.send).lower()
    found = _answer(options, "POST", f"/alerts/rules/{quote(options.rule, safe='')}/test?send={send}")
    if options.json:
        _print(options, (), found)
        return
    _print(options, _SAID, found["items"])
    for message in found["sent"]:
        print(f"sent {message['id']} to {message['receiver']}")  # noqa: T201 - the answer


def _replay(options: argparse.Namespace) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed for --help
    from rich.progress import Progress  # noqa: PLC0415 - same

    result: dict[str, Any] = {}
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as progress:
        bar = progress.add_task("moments", total=None)
        for result in _steps(options):
            progress.update(bar, completed=result["done"], total=result["total"])
    if options.json:
        _print(options, (), result)
        return
    alerts, notifications = result.get("alerts", []), result.get("notifications", [])
    for columns, rows in ((_REPLAYED, alerts), (_TOLD, notifications)):
        if rows:
            print_table(columns, rows)
            print()  # noqa: T201 - the answer
    print(  # noqa: T201 - the answer
        f"{result['done']:,} moments, every {result['step_seconds']:g} s: {len(alerts)} alerts, "
        f"{len(notifications)} messages"
    )


def _steps(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    window = moment("--from", options.from_), moment("--to", options.to)
    query = urlencode({"from": window[0].isoformat(), "to": window[1].isoformat(), "step": options.step})
    path = f"/alerts/rules/{quote(options.rule, safe='')}/replay?{query}"
    if options.data is None:
        yield from post_lines(options, f"/api/v1{path}")
        return
    from spanledger_ingest.cli._alerts_stopped import stopped_replay  # noqa: PLC0415 - heavy

    yield from stopped_replay(options, window)


def _answer(options: argparse.Namespace, method: str, path: str) -> dict[str, Any]:
    if options.data is None:
        return ask(options, f"/api/v1{path}", method=method)
    from spanledger_ingest.cli._alerts_stopped import stopped_answer  # noqa: PLC0415 - heavy

    return stopped_answer(options)


def _print(options: argparse.Namespace, columns: tuple[str, ...], found: Any) -> None:
    if options.json:
        print(json.dumps(found, indent=2))  # noqa: T201 - the answer
    else:
        print_table(columns, found)
