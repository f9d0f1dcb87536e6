"""What a commit costs with many spans already stored in the same hours: it must not grow with them.

    python -m benchmarks.commit [--stored 0 1000000 3000000] [--json]

Commits of 10,240 new spans (:mod:`benchmarks._payload`), three at each size; figures are the least CPU time a span of
normalising, settling and pricing with what the store knows of the same calls, and of writing. The rows in between are
copies of the first commit's under other ids, made in SQL.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
from benchmarks import _payload

from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.otlp import Decoded, Item, decode
from spanledger_ingest.pipeline import Steps
from spanledger_ingest.pipeline._prepare import prepare
from spanledger_ingest.pipeline._process import Work, process
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.runtime import tune
from spanledger_ingest.settle import related_keys, settle
from spanledger_ingest.store import DuckDBStore

_BATCHES: Final = 20
_SPANS: Final = _BATCHES * _payload.SPANS_PER_BATCH


def main(arguments: Sequence[str] | None = None) -> int:
    """Commit, grow, commit again, print."""
    options = _parser().parse_args(arguments)
    tune()
    results: dict[int, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder:
        path = Path(folder) / "spanledger.duckdb"
        for place, stored in enumerate(sorted(options.stored)):
            if stored:
                _grow(path, stored)
            results[stored] = _commit_some(path, place * options.commits, options.commits)
    print(json.dumps(results, indent=2) if options.json else _table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What a commit costs with many spans stored.")
    parser.add_argument("--stored", type=int, nargs="+", default=[0, 1_000_000, 3_000_000], help="stored spans")
    parser.add_argument("--commits", type=int, default=3, help="commits at each size (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _commit_some(path: Path, first: int, commits: int) -> tuple[float, float]:
    """Return the least CPU time of processing and of writing, us a span."""
    store = DuckDBStore(path)
    steps = Steps(
        normalise=normalise,
        normalise_log=normalise_log,
        related_keys=related_keys,
        settle=settle,
        price=PriceBook.build().price,
        keep_content=lambda _content: None,
    )
    taken = [_commit(store, steps, (first + number) * _BATCHES) for number in range(commits)]
    store.close()
    return min(processing for processing, _ in taken), min(writing for _, writing in taken)


def _commit(store: DuckDBStore, steps: Steps, first: int) -> tuple[float, float]:
    items: list[Item] = []
    for number in range(first, first + _BATCHES):
        items.extend(decode("traces", _payload.request(number, 1_767_225_600 * 10**9), "protobuf", "").items)
    store.journal_position()  # the first use opens what is opened late
    started = time.process_time()
    batch = process(Work(items=prepare(Decoded(signal="traces", items=items), steps)), store, steps)
    processed = time.process_time()
    inserted = store.append(batch).inserted_spans
    written = time.process_time()
    if inserted != _SPANS:
        sys.exit(f"{inserted} of {_SPANS} spans were new")
    return (processed - started) / _SPANS * 1e6, (written - processed) / _SPANS * 1e6


def _grow(path: Path, target: int) -> None:
    """Copy rows under other ids until so many spans are stored, half as many of them calls."""
    with duckdb.connect(str(path)) as connection:
        while (missing := target - _count(connection)) > 0:
            salt = str(missing)
            for table, most in (("spans", missing), ("llm_calls", missing // 2)):
                new = f"md5(trace_id || '{salt}') AS trace_id"
                if table == "llm_calls":
                    new += f", md5(response_id || '{salt}') AS response_id"
                connection.execute(f"INSERT INTO priv.{table} SELECT * REPLACE ({new}) FROM priv.{table} LIMIT {most}")  # noqa: S608 - constants and numbers


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    ((stored,),) = connection.execute("SELECT count(*) FROM priv.spans").fetchall()
    return int(stored)


def _table(results: dict[int, tuple[float, float]]) -> str:
    lines = [f"{'spans stored':>14}{'processing':>14}{'writing':>12}   CPU us a span"]
    lines += [f"{stored:>14,}{processing:>14.1f}{writing:>12.1f}" for stored, (processing, writing) in results.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
