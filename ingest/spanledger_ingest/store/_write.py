"""Appending a batch in one transaction.

Rows go in as registered Arrow tables. What has an identity is compared with what is stored, looking only at the
stretches of time that the batch touches, because there are no indexes to look it up in.
"""
# ruff: noqa: S608 - identifiers come from the schema module, times are integers

from collections.abc import Iterable, Sequence
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanledger_analytics import rows, schema
from spanledger_analytics.ports import Receipt
from spanledger_analytics.records import Batch
from spanledger_ingest.store import _changes
from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._ddl import PRIVATE, columns, quoted
from spanledger_ingest.store._recent import MINUTE_NS, Hashes, RecentKeys, hash_pairs, within
from spanledger_ingest.store._transaction import transaction

_HOUR_NS: Final = 3600 * 10**9
_MAX_STRETCHES: Final = 8
_SPAN_KEY: Final = ("owner", "trace_id", "span_id")
_NULLABLE_KEYS: Final = frozenset({"scorer_version"})


def append(
    cursor: duckdb.DuckDBPyConnection, batch: Batch, recent: RecentKeys, revisions: _changes.Revisions
) -> Receipt:
    """Write a batch; the whole of it or, on any error, nothing. ``recent`` learns what is written."""
    spans = rows.span_table(batch.spans)
    calls = _latest_calls([rows.call_row(call) for call in batch.calls])
    with transaction(cursor):
        writer = _Writer(cursor, recent)
        new = writer.upsert(schema.SPANS, _latest(spans), _SPAN_KEY, _content_decides(schema.SPANS))
        writer.upsert(schema.LLM_CALLS, rows.table_of(schema.LLM_CALLS, calls), _SPAN_KEY, "i.end_ns >= s.end_ns")
        if calls:
            _changes.note(cursor, revisions.next(cursor), [*map(_place, calls), *writer.replaced_calls])
        _append_rest(writer, batch)
        writer.remember()
        if batch.journal_position is not None:
            position = "UPDATE {}.meta SET journal_position = greatest(journal_position, ?)"
            cursor.execute(position.format(PRIVATE), [batch.journal_position])
    return Receipt(inserted_spans=new, duplicate_spans=spans.num_rows - new)


def _append_rest(writer: "_Writer", batch: Batch) -> None:
    contents = [rows.content_row(content) for content in batch.contents]
    scores = [rows.score_row(score) for score in batch.scores]
    writer.upsert_rows(schema.SPAN_CONTENT, contents, (*_SPAN_KEY, "kind"))
    writer.upsert_rows(schema.SCORES, scores, (*_SPAN_KEY, "name", "scorer_version", "start_ns"))
    _insert_unknown(writer.cursor, schema.LOGS, [rows.log_row(log) for log in batch.logs])
    _insert_unknown(writer.cursor, schema.METRICS, [rows.metric_row(point) for point in batch.metrics])
    _insert_unknown(writer.cursor, schema.REJECTIONS, rows.rejection_rows(batch.rejections))


def _latest(spans: pa.Table) -> pa.Table:
    """Keep of each identity the span that ends last; between equal ends content decides, as in the store."""
    kept: dict[rows.Row, int] = {}
    for place, key in enumerate(zip(*(spans[name].to_pylist() for name in _SPAN_KEY), strict=True)):
        known = kept.setdefault(key, place)
        if known != place and _rank(spans, known) <= _rank(spans, place):
            kept[key] = place
    return spans if len(kept) == spans.num_rows else spans.take(list(kept.values()))


def _latest_calls(calls: Iterable[rows.Row]) -> list[rows.Row]:
    kept: dict[rows.Row, rows.Row] = {}
    for row in calls:
        known = kept.get(_span_key(row))
        if known is None or known[_CALL_END] <= row[_CALL_END]:
            kept[_span_key(row)] = row
    return list(kept.values())


def _positions(table: schema.Table, names: Iterable[str]) -> tuple[int, ...]:
    return tuple(table.arrow.names.index(name) for name in names)


_OWNER, _TRACE, _SPAN = _positions(schema.SPANS, _SPAN_KEY)
_CALL_END: Final = schema.LLM_CALLS.arrow.names.index("end_ns")
_CALL_OWNER, _CALL_START = _positions(schema.LLM_CALLS, ("owner", "start_ns"))


def _span_key(row: rows.Row) -> rows.Row:
    return row[_OWNER], row[_TRACE], row[_SPAN]


def _place(call: rows.Row) -> tuple[str, int]:
    return call[_CALL_OWNER], call[_CALL_START]


def _rank(spans: pa.Table, place: int) -> tuple[Any, ...]:
    (row,) = spans.slice(place, 1).to_pylist()
    return row["end_ns"], *((value is None, value if value is not None else 0) for value in row.values())


def _content_decides(table: schema.Table) -> str:
    names = ["end_ns", *table.arrow.names]
    incoming, stored = (", ".join(f"{side}.{quoted(name)}" for name in names) for side in ("i", "s"))
    return f"row({incoming}) > row({stored})"


class _Writer:
    """Writes rows that have an identity, in one transaction."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, recent: RecentKeys) -> None:
        self.cursor = cursor
        self.replaced_calls: list[tuple[str, int]] = []
        """Owner and start of the stored calls that incoming ones were compared with."""
        self._recent = recent
        self._written: list[tuple[Hashes, set[int]]] = []

    def upsert_rows(self, table: schema.Table, new: Sequence[rows.Row], key: Sequence[str]) -> None:
        """Insert rows, replacing stored ones of the same key; of incoming ones the last stays."""
        at = _positions(table, key)
        last = rows.unique(new, lambda row: tuple(row[n] for n in at))
        self.upsert(table, rows.table_of(table, last), key, "true")

    def upsert(self, table: schema.Table, incoming: pa.Table, key: Sequence[str], newer: str) -> int:
        """Insert rows, replacing stored ones of the same key where ``newer`` holds; return how many keys were unknown.

        ``newer`` is SQL over ``i``, the incoming row, and ``s``, the stored one.
        """
        if not incoming.num_rows:
            return 0
        incoming = incoming.append_column("number", pa.array(range(incoming.num_rows), pa.int64()))
        unknown = incoming.num_rows
        if "response_id" in incoming.column_names:
            answered = incoming.filter(pc.is_valid(incoming["response_id"]))
            self._note(answered, "response_id")
        known = self._known(table, incoming.select(list(dict.fromkeys([*key, "start_ns", "number"]))), key)
        if known is not None and known.num_rows:
            unknown -= len(pc.unique(known["number"]))
            judged = _judged(self.cursor, table, incoming, known, newer)
            if table is schema.LLM_CALLS:
                self.replaced_calls += _changes.places(judged)
            _delete_replaced(self.cursor, table, judged)
            stale = pc.unique(judged.filter(pc.invert(judged["newer"]))["number"])
            incoming = incoming.filter(pc.invert(pc.is_in(incoming["number"], value_set=stale)))
        if incoming.num_rows:
            _insert(self.cursor, table, incoming.drop_columns("number"))
        return unknown

    def _known(self, table: schema.Table, keys: pa.Table, key: Sequence[str]) -> pa.Table | None:
        """Return the rowids of stored rows that share a key with incoming ones, with the number of the incoming row.

        Reads rows only where one of the traces was written lately, and of them the key columns only.
        """
        hit, times = self._recent.look_up(self._note(keys, "trace_id"), stretches(_starts(keys)))
        if not times:
            return None
        same = " AND ".join(f"i.{quoted(name)} {_equals(name)} s.{quoted(name)}" for name in key)
        with registered(self.cursor, "incoming", keys.filter(pa.array(hit))):
            return fetch(
                self.cursor,
                f"SELECT s.rowid AS stored, i.number FROM {PRIVATE}.{quoted(table.name)} s "
                f"JOIN incoming i ON {same} WHERE {within(times, 's.start_ns')}",
            )

    def _note(self, written: pa.Table, column: str) -> Hashes:
        hashes = hash_pairs(self.cursor, pa.table({"owner": written["owner"], "id": written[column]}))
        self._written.append((hashes, {start // MINUTE_NS * MINUTE_NS for start in _starts(written)}))
        return hashes

    def remember(self) -> None:
        """Tell the recent keys of everything written."""
        for hashes, starts in self._written:
            self._recent.add(np.unique(hashes), starts)


def _equals(name: str) -> str:
    return "IS NOT DISTINCT FROM" if name in _NULLABLE_KEYS else "="


def _judged(
    cursor: duckdb.DuckDBPyConnection, table: schema.Table, incoming: pa.Table, known: pa.Table, newer: str
) -> pa.Table:
    """Return the pairs of stored and incoming rows with the verdict which one is ``newer``."""
    with registered(cursor, "incoming", incoming), registered(cursor, "known", known):
        return fetch(
            cursor,
            f"SELECT k.stored, k.number, s.owner, s.start_ns, {newer} AS newer FROM known k "
            f"JOIN {PRIVATE}.{quoted(table.name)} s ON s.rowid = k.stored JOIN incoming i ON i.number = k.number",
        )


def _delete_replaced(cursor: duckdb.DuckDBPyConnection, table: schema.Table, known: pa.Table) -> None:
    replaced = known.filter(known["newer"])
    if replaced.num_rows:
        with registered(cursor, "replaced", replaced):
            cursor.execute(f"DELETE FROM {PRIVATE}.{quoted(table.name)} WHERE rowid IN (SELECT stored FROM replaced)")


def _insert(cursor: duckdb.DuckDBPyConnection, table: schema.Table, incoming: pa.Table) -> None:
    with registered(cursor, "incoming", incoming):
        cursor.execute(f"INSERT INTO {PRIVATE}.{quoted(table.name)} SELECT {columns(table.arrow)} FROM incoming")


def _insert_unknown(cursor: duckdb.DuckDBPyConnection, table: schema.Table, new: list[rows.Row]) -> None:
    """Insert the rows of which there is no exact copy yet."""
    if not new:
        return
    incoming = rows.table_of(table, new)
    near = _nearby(incoming)
    with registered(cursor, "incoming", incoming):
        cursor.execute(
            f"INSERT INTO {PRIVATE}.{quoted(table.name)} SELECT {columns(table.arrow)} FROM incoming "
            f"EXCEPT SELECT {columns(table.arrow)} FROM {PRIVATE}.{quoted(table.name)} s WHERE {near}"
        )


def _nearby(incoming: pa.Table) -> str:
    """Return SQL for the stretches of time around the rows: one odd clock must not make the writer read everything."""
    return within(stretches(_starts(incoming)), "s.start_ns")


def _starts(incoming: pa.Table) -> list[int]:
    return [start for start in incoming["start_ns"].to_pylist() if start is not None]


def stretches(starts_ns: Sequence[int]) -> list[tuple[int, int]]:
    """Cover all starts and an hour to each side with at most eight intervals, joined where the gap is smallest."""
    merged: list[tuple[int, int]] = []
    for hour in sorted({start // _HOUR_NS for start in starts_ns}):
        low, high = (hour - 1) * _HOUR_NS, (hour + 2) * _HOUR_NS - 1
        if merged and low <= merged[-1][1] + 1:
            low = merged.pop()[0]
        merged.append((low, high))
    while len(merged) > _MAX_STRETCHES:
        gap = min(range(1, len(merged)), key=lambda n: merged[n][0] - merged[n - 1][1])
        merged[gap - 1 : gap + 1] = [(merged[gap - 1][0], merged[gap][1])]
    return merged
