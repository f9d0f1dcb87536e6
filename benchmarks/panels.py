"""How long the boards take to load over the PostgreSQL wire, alone and with viewers beside full ingest.

    python -m benchmarks.panels [--calls 1000000] [--rounds 3] [--viewers 8] [--batches 300] [--json]

A store with so many calls spread over seven days (as :mod:`benchmarks.query` makes it) is served by a service of its
own. Then every board is loaded as Grafana loads it - its variables, annotations and panels, expanded by our own
expander and sent by the simple protocol, here one after another over one connection - for the last 24 hours and for
seven days.
Figures are medians of the rounds: the time on the wall and the CPU time of the server. After that, viewers load board
after board (24 hours) while a client sends batches of 512 spans as fast as they are taken. The exit status is 1 where
a board takes more than 2 s for 24 hours at a million calls.
"""

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from benchmarks import _payload, query
from benchmarks._process import Server, running, wait_for
from benchmarks._sending import send

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.panels import Board, auto_interval, expand

WINDOWS: Final = {"24 h": 1, "7 d": 7}
GOAL_S: Final = 2.0
_JUDGED: Final = 1_000_000
_QUIET_CPU: Final = 0.1
"""CPU time in a second below which the service has caught up with what the new store made it compute."""

Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, serve, load, print, judge."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder:
        scratch = Path(folder)
        (scratch / "data").mkdir()
        query.build(scratch / "data" / "spanledger.duckdb", options.calls, days=7)
        with _service(scratch) as (server, ports):
            quiet = wait_for(lambda: _is_quiet(server), options.settle)
            boards = {board.id: _measure(server, ports["pg"], board, options.rounds) for board in BOARDS}
            crowd = _crowd(server, ports, scratch, options)
    report = {"calls": options.calls, "quiet": quiet, "boards": boards, "viewers": crowd}
    print(json.dumps(report, indent=2) if options.json else _table(report))
    slow = [name for name, windows in boards.items() if windows["24 h"]["wall_s"] > GOAL_S]
    return 1 if slow and options.calls == _JUDGED else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How long the boards take to load.")
    parser.add_argument("--calls", type=int, default=1_000_000, help="stored calls (default 1000000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each board (default 3)")
    parser.add_argument("--viewers", type=int, default=8, help="viewers beside the ingest (default 8)")
    parser.add_argument("--batches", type=int, default=300, help="batches of 512 spans to send (default 300)")
    parser.add_argument("--settle", type=float, default=300, help="longest wait until the service is idle, s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


@contextmanager
def _service(scratch: Path) -> Iterator[tuple[Server, dict[str, int]]]:
    program = str(Path(sys.executable).parent / "spanledger")
    command = [program, "serve", "--data", str(scratch / "data"), "--port", "0", "--grpc-port", "0", "--pg-port", "0"]
    log = scratch / "spanledger.log"
    # The store ends at a fixed date: nothing of it may be too old.
    with running(command, log, {"SPANLEDGER_RETENTION_INTERVAL_MINUTES": "0"}) as server:
        if not wait_for(lambda: "listening pg" in log.read_text(), 120):
            sys.exit(log.read_text())
        lines = [line.split() for line in log.read_text().splitlines() if line.startswith("listening ")]
        yield server, {line[1]: int(line[2].rpartition(":")[2]) for line in lines}


def _is_quiet(server: Server) -> bool:
    before = server.cpu_seconds()
    time.sleep(1)
    return server.cpu_seconds() - before < _QUIET_CPU


def _connect(port: int) -> "psycopg.Connection[Any]":
    return psycopg.connect(host="127.0.0.1", port=port, user="bench", dbname="x", autocommit=True, sslmode="disable")


def _texts(board: Board, days: int) -> list[str]:
    """Return what Grafana sends to show a board for the last so many days."""
    first, last = query.END_NS - days * query.DAY_NS, query.END_NS
    asked = [(variable.sql, "1m") for variable in board.variables]
    asked += [(annotation.sql, "1m") for annotation in board.annotations]
    asked += [(one.sql, auto_interval(first, last, one.points, one.least_interval)) for one in board.panels]
    return [expand(sql, from_ns=first, to_ns=last, interval=interval) for sql, interval in asked]


def _load(connection: "psycopg.Connection[Any]", texts: Sequence[str]) -> int:
    return sum(len(connection.execute(text.encode()).fetchall()) for text in texts)


def _measure(server: Server, port: int, board: Board, rounds: int) -> dict[str, Figures]:
    with _connect(port) as connection:
        return {name: _times(server, connection, _texts(board, days), rounds) for name, days in WINDOWS.items()}


def _times(server: Server, connection: "psycopg.Connection[Any]", texts: Sequence[str], rounds: int) -> Figures:
    rows = _load(connection, texts)  # not counted
    wall, cpu = [], []
    for _ in range(rounds):
        began, began_cpu = time.perf_counter(), server.cpu_seconds()
        _load(connection, texts)
        wall.append(time.perf_counter() - began)
        cpu.append(server.cpu_seconds() - began_cpu)
    return {
        "queries": len(texts),
        "rows": rows,
        "wall_s": round(statistics.median(wall), 3),
        "cpu_s": round(statistics.median(cpu), 3),
    }


def _crowd(server: Server, ports: dict[str, int], scratch: Path, options: argparse.Namespace) -> Figures:
    """Let viewers look while batches are sent; return what both noticed."""
    folder = scratch / "batches"
    folder.mkdir()
    for number in range(options.batches):
        body = _payload.request(number, query.END_NS - query.DAY_NS // 24)
        (folder / f"{number:06}.pb.gz").write_bytes(gzip.compress(body, 1))
    over = threading.Event()
    loads: list[float] = []
    viewers = [threading.Thread(target=_view, args=(ports["pg"], n, over, loads)) for n in range(options.viewers)]
    before = server.cpu_seconds()
    for viewer in viewers:
        viewer.start()
    began, report = send(f"http://127.0.0.1:{ports['http']}/v1/traces", folder, options.batches, 4)
    seconds = time.monotonic() - began
    over.set()
    for viewer in viewers:
        viewer.join()
    return {
        "viewers": options.viewers,
        "seconds": round(seconds, 1),
        "cpu_s": round(server.cpu_seconds() - before, 1),
        "boards_loaded": len(loads),
        "board_p50_s": round(statistics.median(loads), 2) if loads else None,
        "board_max_s": round(max(loads), 2) if loads else None,
        "spans_acknowledged_per_s": round(options.batches * _payload.SPANS_PER_BATCH / report["seconds"]),
        "ack_p50_ms": round(statistics.median(report["latencies_ms"])),
        "ack_max_ms": round(max(report["latencies_ms"])),
    }


def _view(port: int, number: int, over: threading.Event, loads: list[float]) -> None:
    """Load one board after another; each viewer begins with another one."""
    with _connect(port) as connection:
        while not over.is_set():
            texts = _texts(BOARDS[number % len(BOARDS)], 1)
            began = time.perf_counter()
            _load(connection, texts)
            loads.append(time.perf_counter() - began)
            number += 1


def _table(report: Figures) -> str:
    lines = [f"{report['calls']:,} calls in 7 days, {os.cpu_count()} cores; s on the wall / of the server's CPU"]
    if not report["quiet"]:
        lines.append("the service was still busy with what the new store made it compute")
    lines.append(f"{'board':<14}{'queries':>9}" + "".join(f"{name:>16}" for name in WINDOWS))
    for name, windows in report["boards"].items():
        cells = [f"{windows[window]['wall_s']:.2f}/{windows[window]['cpu_s']:.2f}" for window in WINDOWS]
        lines.append(f"{name:<14}{windows['24 h']['queries']:>9}" + "".join(f"{cell:>16}" for cell in cells))
    crowd = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report["viewers"].items())
    return "\n".join([*lines, f"beside ingest: {crowd}"])


if __name__ == "__main__":
    sys.exit(main())
