"""What retention, compaction and backup cost a database that is being written to.

python -m benchmarks.life [--rows N]: fills a store with N spans, calls and texts over 60 days, then, beside a writer
that commits 500 spans at a time: deletes half of it step by step, copies it, and rewrites it.
"""

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from spanledger_analytics.records import Batch, Content
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.retention import STEP_ROWS
from spanledger_ingest.store import DuckDBStore, Expiry

DAY = 86_400 * SECOND
DAYS = 60
COMMIT = 500
TABLES = ("span_content", "spans", "llm_calls")


def batch(first: int, count: int, days: int) -> Batch:
    """Return calls with their text, in order of time."""
    spans, calls, contents = [], [], []
    for number in range(first, first + count):
        start = T0 + days * DAY * (number - first) // count
        spans.append(a_span(number, start_ns=start, end_ns=start + SECOND))
        calls.append(a_call(number, start_ns=start, end_ns=start + SECOND))
        ids = {"trace_id": f"{number:032x}", "span_id": f"{number:016x}"}
        text = f"{number} what is the answer? " * 20
        contents.append(Content(owner="", tenant_id="acme", time_ns=start, kind="input", text=text, **ids))
    return Batch(spans=spans, calls=calls, contents=contents)


class Writer:
    """Commits one batch after another and notes how long each took."""

    def __init__(self, store: DuckDBStore, first: int) -> None:
        self.commits: list[float] = []
        self._store = store
        self._next = first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            new = batch(self._next, COMMIT, 0)
            began = time.perf_counter()
            self._store.append(new)
            self.commits.append(time.perf_counter() - began)
            self._next += COMMIT

    def beside(self, what: str, work: Callable[[], str]) -> int:
        """Do the work while committing, then print both; return the next free number."""
        self._thread.start()
        time.sleep(3 if not what else 0)
        began = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - began
        self._stop.set()
        self._thread.join()
        slowest, middle = max(self.commits, default=0.0) * 1e3, statistics.median(self.commits or [0.0]) * 1e3
        commits = f"commits p50 {middle:5.0f} ms, max {slowest:6.0f} ms"
        print(f"{what or 'nothing':<12} {seconds:6.1f} s  {commits}  {result}")
        return self._next


def expire(store: DuckDBStore) -> str:
    """Delete half of the days as the job does; return what it took."""
    steps = []
    for table in TABLES:
        deleted = STEP_ROWS
        while deleted == STEP_ROWS:
            began = time.perf_counter()
            deleted = store.expire(Expiry(table=table, before_ns=T0 + DAYS // 2 * DAY), STEP_ROWS)
            steps.append(time.perf_counter() - began)
            time.sleep(0.05)
    return f"{len(steps)} steps, p50 {statistics.median(steps) * 1e3:.0f} ms, max {max(steps) * 1e3:.0f} ms"


def copy(store: DuckDBStore) -> str:
    """Make a snapshot; return its size."""
    with store.snapshot() as path:
        return f"snapshot of {path.stat().st_size / 2**20:.0f} MiB"


def compact(store: DuckDBStore) -> str:
    """Rewrite the file; return what it gave back."""
    before = store.sizes()[0]
    return f"{store.compact() / 2**20:.0f} of {before / 2**20:.0f} MiB given back"


def main() -> None:
    """Fill, then measure each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    directory = Path(tempfile.mkdtemp(prefix="life-"))
    store = DuckDBStore(directory / "s.duckdb")
    whole = batch(0, rows, DAYS)
    for at in range(0, rows, 20_000):
        part = slice(at, at + 20_000)
        store.append(Batch(spans=whole.spans[part], calls=whole.calls[part], contents=whole.contents[part]))
    del whole
    store.checkpoint(force=True)
    print(f"{rows:,} spans, calls and texts: {store.sizes()[0] / 2**20:.0f} MiB")
    following = rows
    for what, work in (("", lambda _: ""), ("retention", expire), ("backup", copy), ("compaction", compact)):
        following = Writer(store, following).beside(what, lambda work=work: work(store))  # type: ignore[misc]
        store.checkpoint(force=True)
    store.close()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
