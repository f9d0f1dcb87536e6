"""``spanledger detect --from --to``: look for anomalies in stored calls, without changing anything."""

import argparse
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from spanledger_ingest.cli._admin import add_target, post_lines
from spanledger_ingest.cli._tables import moment, nanoseconds

_COLUMNS: Final = ("started", "severity", "kind", "summary")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``detect``."""
    parser.add_argument("--from", dest="from_", default="7d", metavar="TIME", help="2026-03-01, or 7d (default)")
    parser.add_argument("--to", default="now", metavar="TIME", help="2026-03-08, or now (default)")
    parser.add_argument("--all", action="store_true", help="what is only worth knowing, too (severity info)")
    add_target(parser)
    parser.add_argument("--json", action="store_true", help="print the anomalies as JSON")


def run(options: argparse.Namespace) -> int:
    """Look day by day, with a progress bar on a terminal, then print what was found."""
    from rich.console import Console  # noqa: PLC0415 - not needed for --help
    from rich.progress import Progress  # noqa: PLC0415 - same

    found: dict[str, dict[str, Any]] = {}
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as progress:
        bar = progress.add_task("days", total=1.0)
        for step in _steps(options):
            found |= {item["id"]: item for item in step["items"]}
            progress.update(bar, completed=step["done"])
    items = sorted(found.values(), key=lambda item: (item["started"], item["id"]))
    shown = [item for item in items if options.all or item["severity"] != "info"]
    _print(options, shown)
    return 0


def _print(options: argparse.Namespace, items: list[dict[str, Any]]) -> None:
    if options.json:
        print(json.dumps(items, indent=2))  # noqa: T201 - the answer
        return
    from spanledger_ingest.cli._tables import print_table  # noqa: PLC0415 - not needed for --json

    print_table(_COLUMNS, [item | {"started": item["started"][:16]} for item in items])
    print(f"{len(items)} anomalies")  # noqa: T201 - the answer


def _steps(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    window = moment("--from", options.from_), moment("--to", options.to)
    if options.data is None:
        query = urlencode({"from": window[0].isoformat(), "to": window[1].isoformat()})
        yield from post_lines(options, f"/api/v1/admin/detect?{query}")
        return
    yield from _stopped(options, window)


def _stopped(options: argparse.Namespace, window: tuple[datetime, datetime]) -> Iterator[dict[str, Any]]:
    from spanledger_analytics.queries import Window  # noqa: PLC0415 - heavy
    from spanledger_ingest.cli._stopped import stopped_store  # noqa: PLC0415 - heavy
    from spanledger_ingest.detection.area import anomaly_json, looked_again, options_of  # noqa: PLC0415 - heavy
    from spanledger_ingest.settings import load_settings  # noqa: PLC0415 - heavy

    with stopped_store(options) as store:
        stretch = Window(*map(nanoseconds, window))
        for share, found in looked_again(store, options_of(load_settings(options.config).detection), stretch):
            yield {"done": share, "items": [anomaly_json(one) for one in found]}
