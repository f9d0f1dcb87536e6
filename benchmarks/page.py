"""How long the service works on each page of the built-in page.

    python -m benchmarks.page [--calls 1000000] [--rounds 5] [--json]

The store is that of ``benchmarks.query``: calls spread evenly over 30 days, 200 tenants, 8 models. Each page is asked
over HTTP in this process (ASGI, no socket), over the last 24 hours and over all 30 days: credentials, every query of
every panel, and the HTML. Figures are medians of the rounds after one that is not counted: the time on the wall and the
CPU time of all threads. The exit status is 1 where a page over 24 hours takes more than 300 ms on the wall at a million
calls.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.query import DAYS, END_NS, build
from fastapi import FastAPI
from fastapi.testclient import TestClient

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.page import board_path
from spanledger_ingest.api import add_routes
from spanledger_ingest.auth import Authenticator, KeyRing, StateDb
from spanledger_ingest.page import Pages
from spanledger_ingest.store import DuckDBStore

GOAL_MS: Final = 300.0
_JUDGED: Final = 1_000_000
_END: Final = datetime.fromtimestamp(END_NS / 1e9, UTC)
WINDOWS: Final = {"24 h": timedelta(days=1), "30 d": timedelta(days=DAYS)}

Results = dict[str, dict[str, tuple[float, float, int]]]
"""By page and window: time on the wall and of the CPU in ms, and the size in bytes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, ask, print, judge."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder:
        path = Path(folder) / "spanledger.duckdb"
        build(path, options.calls)
        with closing(DuckDBStore(path)) as store, closing(StateDb(Path(folder))) as state:
            results = _measure(store, state, options.rounds)
    print(json.dumps(results, indent=2) if options.json else _table(results))
    late = [page for page, windows in results.items() if windows["24 h"][0] > GOAL_MS]
    return 1 if late and options.calls <= _JUDGED else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How long the service works on each page.")
    parser.add_argument("--calls", type=int, default=1_000_000, help="stored calls")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each page (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _measure(store: DuckDBStore, state: StateDb, rounds: int) -> Results:
    app = FastAPI()
    authenticator = Authenticator(KeyRing(state))
    app.state.scopes, app.state.audit = {}, None
    with closing(Pages(store, authenticator, state, None)) as pages:
        add_routes(app, pages.router)
        client = TestClient(app, base_url="http://127.0.0.1:4318")
        paths = [*(board_path(board.id) for board in BOARDS), "/calls"]
        return {
            path: {name: _times(client, path, length, rounds) for name, length in WINDOWS.items()} for path in paths
        }


def _times(client: TestClient, path: str, length: timedelta, rounds: int) -> tuple[float, float, int]:
    asked = {"from": f"{_END - length:%Y-%m-%dT%H:%M:%SZ}", "to": f"{_END:%Y-%m-%dT%H:%M:%SZ}"}
    walls, cpus, size = [], [], 0
    for _ in range(rounds + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = client.get(path, params=asked)
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
        assert answer.status_code == 200, answer.text
        size = len(answer.content)
    return round(statistics.median(walls[1:]), 1), round(statistics.median(cpus[1:]), 1), size


def _table(results: Results) -> str:
    lines = [f"{'page':24}" + "".join(f"{name + ' wall ms':>14}{'CPU ms':>9}{'KiB':>7}" for name in WINDOWS)]
    for path, windows in results.items():
        figures = "".join(f"{wall:>14,.0f}{cpu:>9,.0f}{size / 1024:>7,.0f}" for wall, cpu, size in windows.values())
        lines.append(f"{path:24}{figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
