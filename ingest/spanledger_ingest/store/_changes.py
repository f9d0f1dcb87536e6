"""The change feed of the calls: which minutes of whom were written since a watermark, and the tables derived from it.

Every transaction that writes calls notes the minutes it touched under a revision of its own. Consumers (the ledger of
budgets, the detector, the scorers) compute whole minutes anew from ``llm_calls`` and replace what they had of them:
late, repeated, replaced and re-priced calls need no care of theirs.
"""
# ruff: noqa: S608 - identifiers come from the schema module

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import duckdb
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.ports import Changes
from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._ddl import CHANGES, FEED, PRIVATE, columns, quoted
from spanledger_ingest.store._transaction import transaction

_MINUTE_NS: Final = 60 * 10**9
_FEED: Final = f"{PRIVATE}.{CHANGES}"
_CALLS: Final = f"{PRIVATE}.{schema.LLM_CALLS.name}"
_TYPES: Final[dict[str, pa.DataType]] = {"owner": schema.TEXT, "minute_ns": schema.COUNT}
_SHAPE: Final = pa.schema(_TYPES)


class Revisions:
    """Numbers transactions: nanoseconds since the epoch, but always later than the one before.

    What is written again after the database lost its log thereby comes after what was lost.
    """

    def __init__(self, wall: Callable[[], int] = time.time_ns) -> None:
        self._wall = wall
        self._last: int | None = None

    def next(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """Return the revision of the transaction that ``cursor`` is in."""
        if self._last is None:
            self._last = last(cursor)
        self._last = max(self._wall(), self._last + 1)
        return self._last


def note(cursor: duckdb.DuckDBPyConnection, revision: int, touched: Iterable[tuple[str, int]]) -> None:
    """Record, in the running transaction, calls of ``(owner, start_ns)`` as written."""
    minutes = sorted({(owner, start // _MINUTE_NS * _MINUTE_NS) for owner, start in touched})
    if minutes:
        owners, starts = zip(*minutes, strict=True)
        with registered(cursor, "touched", pa.table([owners, starts], schema=_SHAPE)):
            cursor.execute(f"INSERT INTO {_FEED} SELECT {revision}, owner, minute_ns FROM touched")


def places(rows: pa.Table) -> Iterator[tuple[str, int]]:
    """Yield the owner and start of calls, as :func:`note` takes them."""
    owners, starts = (rows[name].to_pylist() for name in ("owner", "start_ns"))
    yield from zip(owners, starts, strict=True)


def last(cursor: duckdb.DuckDBPyConnection) -> int:
    """Return the revision of the latest transaction that is noted; 0 for none."""
    return int(cursor.execute(f"SELECT coalesce(max(revision), 0) FROM {_FEED}").fetchall()[0][0])


def read(cursor: duckdb.DuckDBPyConnection, after: int, limit: int) -> Changes:
    """Return the minutes touched after the revision ``after``: whole revisions, about ``limit`` rows of the feed."""
    newest = last(cursor)  # read first: what is written meanwhile is told once more, never missed
    floor = int(cursor.execute(f"SELECT coalesce(max(floor), 0) FROM {PRIVATE}.{FEED}").fetchall()[0][0])
    if after <= floor or after > newest:
        return Changes(revision=newest, minutes=_every_minute(cursor), more=False, whole=True)
    until = _until(cursor, after, limit)
    minutes = fetch(
        cursor,
        f"SELECT DISTINCT owner, minute_ns FROM {_FEED} WHERE revision > $after AND revision <= $until ORDER BY ALL",
        {"after": after, "until": until},
    )
    return Changes(revision=until, minutes=minutes, more=until < newest, whole=False)


def _every_minute(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    minute = f"start_ns // {_MINUTE_NS} * {_MINUTE_NS}"
    return fetch(cursor, f"SELECT DISTINCT owner, {minute} AS minute_ns FROM {_CALLS} ORDER BY ALL")


def _until(cursor: duckdb.DuckDBPyConnection, after: int, limit: int) -> int:
    row = cursor.execute(
        f"""
        WITH sizes AS (SELECT revision, count(*) AS size FROM {_FEED} WHERE revision > $after GROUP BY revision),
        running AS (SELECT revision, sum(size) OVER (ORDER BY revision) AS total FROM sizes)
        SELECT coalesce(max(revision) FILTER (total <= $limit), min(revision), $after) FROM running
        """,
        {"after": after, "limit": limit},
    ).fetchall()[0]
    return int(row[0])


def forget(cursor: duckdb.DuckDBPyConnection, before: int) -> None:
    """Drop what was noted before the revision ``before``, but for the latest transaction."""
    floor = min(before, last(cursor)) - 1
    with transaction(cursor):
        cursor.execute(f"DELETE FROM {_FEED} WHERE revision <= ?", [floor])
        cursor.execute(f"DELETE FROM {PRIVATE}.{FEED}")
        cursor.execute(f"INSERT INTO {PRIVATE}.{FEED} VALUES (?)", [floor])


def put(cursor: duckdb.DuckDBPyConnection, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
    """Write rows of a derived table; stored ones of an equal key make place."""
    same = " AND ".join(f"s.{quoted(name)} IS NOT DISTINCT FROM i.{quoted(name)}" for name in key)
    near = ""
    if "start_ns" in key:
        near = "AND s.start_ns BETWEEN (SELECT min(start_ns) FROM incoming) AND (SELECT max(start_ns) FROM incoming)"
    with registered(cursor, "incoming", rows), transaction(cursor):
        cursor.execute(
            f"DELETE FROM {PRIVATE}.{quoted(table.name)} AS s "
            f"WHERE EXISTS (SELECT 1 FROM incoming i WHERE {same}) {near}"
        )
        _insert(cursor, table)


def replace(cursor: duckdb.DuckDBPyConnection, table: schema.Table, rows: pa.Table) -> None:
    """Make these the rows of a small derived table."""
    with registered(cursor, "incoming", rows), transaction(cursor):
        cursor.execute(f"DELETE FROM {PRIVATE}.{quoted(table.name)}")
        _insert(cursor, table)


def _insert(cursor: duckdb.DuckDBPyConnection, table: schema.Table) -> None:
    names = columns(table.arrow)
    cursor.execute(f"INSERT INTO {PRIVATE}.{quoted(table.name)} ({names}) SELECT {names} FROM incoming")
