"""A span store in plain Python: for tests, and the oracle that database adapters are compared with."""

import threading
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

from spanledger_analytics import rows, schema
from spanledger_analytics.facts_json import load_facts
from spanledger_analytics.ports import CallKeys, Receipt, Related, SpanKey
from spanledger_analytics.queries import CallsQuery, Cursor, Filters, UsageQuery, Window
from spanledger_analytics.records import Batch

_NamedRow = dict[str, Any]


class MemoryStore:
    """Keeps rows in dictionaries by identity and answers queries by looking at all of them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._spans: dict[SpanKey, _NamedRow] = {}
        self._calls: dict[SpanKey, _NamedRow] = {}
        self._others: dict[tuple[Any, ...], _NamedRow] = {}
        self._journal_position = 0

    def append(self, batch: Batch) -> Receipt:
        """See :meth:`SpanStore.append`."""
        spans = _untimed(rows.span_table(batch.spans)).to_pylist()
        calls = _named(schema.LLM_CALLS, map(rows.call_row, batch.calls))
        others = list(_other_rows(batch))
        with self._lock:
            before = len(self._spans)
            self._put(self._spans, spans, _span_rank)
            self._put(self._calls, calls, lambda row: (row["end_ns"],))
            self._others.update(others)
            self._journal_position = max(self._journal_position, batch.journal_position or 0)
            new = len(self._spans) - before
        return Receipt(inserted_spans=new, duplicate_spans=len(spans) - new)

    def related(self, keys: CallKeys) -> Related:
        """See :meth:`SpanStore.related`."""
        traces, responses = set(keys.trace_ids), set(keys.response_ids)
        with self._lock:
            calls = [row for row in self._calls.values() if keys.start_ns <= row["start_ns"] <= keys.end_ns]
            spans = [row for row in self._spans.values() if keys.start_ns <= row["start_ns"] <= keys.end_ns]
        found: list[_NamedRow] = []
        known = -1
        while known < len(found):
            known = len(found)
            found = [row for row in calls if _trace_key(row) in traces or _response_key(row) in responses]
            traces.update(map(_trace_key, found))
            responses.update(key for row in found if (key := _response_key(row)) is not None)
        parents = {_span_key(row): row["parent_span_id"] for row in spans if _trace_key(row) in traces}
        return Related([load_facts(row["own"]) for row in found], parents)

    def checkpoint(self, *, force: bool = False) -> int:
        """See :meth:`SpanStore.checkpoint`: there is no log, so nothing is due."""
        del force
        return self.journal_position()

    def journal_position(self) -> int:
        """See :meth:`SpanStore.journal_position`."""
        with self._lock:
            return self._journal_position

    def calls(self, query: CallsQuery) -> pa.Table:
        """See :meth:`SpanStore.calls`."""
        found = sorted(self._select(query.filters, query.window), key=_page_order)
        if query.cursor is not None:
            found = [row for row in found if _page_order(row) > _cursor_order(query.cursor)]
        return _table(schema.LLM_CALLS.view, found[: query.limit])

    def usage(self, query: UsageQuery) -> pa.Table:
        """See :meth:`SpanStore.usage`."""
        groups: dict[tuple[Any, ...], list[_NamedRow]] = {}
        for row in self._select(query.filters, query.window):
            if row["billable"]:
                groups.setdefault(_group_key(row, query), []).append(row)
        shape = schema.usage_schema(query.by, bucketed=query.bucket is not None)
        if not groups and not query.by and query.bucket is None:
            groups[()] = []  # the sum over nothing is one row, as in SQL
        names = shape.names[: len(query.by) + (query.bucket is not None)]
        found = [dict(zip(names, key, strict=True)) | _sums(members) for key, members in groups.items()]
        return _table(shape, sorted(found, key=lambda row: _usage_order(row, names, query.order))[: query.limit])

    def trace(self, trace_id: str, owner: str | None = None) -> pa.Table:
        """See :meth:`SpanStore.trace`."""
        with self._lock:
            spans = [row for row in self._spans.values() if row["trace_id"] == trace_id]
        found = [row for row in spans if owner is None or row["owner"] == owner]
        return _table(schema.SPANS.view, sorted(found, key=lambda row: (row["start_ns"], row["span_id"], row["owner"])))

    def rejections(self, owner: str | None = None) -> pa.Table:
        """See :meth:`SpanStore.rejections`."""
        groups: dict[tuple[Any, ...], list[_NamedRow]] = {}
        with self._lock:
            letters = [row for key, row in self._others.items() if key[0] == schema.REJECTIONS.name]
        for row in letters:
            if owner is None or row["owner"] == owner:
                groups.setdefault((row["signal"], row["reason"], row["service_name"]), []).append(row)
        found = [_rejection_summary(key, members) for key, members in groups.items()]
        found.sort(key=lambda row: (-row["last_seen"], row["signal"], row["reason"], _nulls_last(row["service_name"])))
        return _table(schema.REJECTION_SUMMARY, found)

    def close(self) -> None:
        """Do nothing: there are no files."""

    @staticmethod
    def _put(kept: dict[SpanKey, _NamedRow], new: list[_NamedRow], rank: Callable[[_NamedRow], Any]) -> None:
        for row in new:
            old = kept.get(_span_key(row))
            if old is None or rank(old) <= rank(row):
                kept[_span_key(row)] = row

    def _select(self, filters: Filters, window: Window) -> list[_NamedRow]:
        wanted = list(_conditions(filters))
        with self._lock:
            calls = list(self._calls.values())
        in_window = (row for row in calls if window.from_ns <= row["start_ns"] < window.to_ns)
        return [row for row in in_window if all(row[name] == value for name, value in wanted)]


def _named(table: schema.Table, new: Iterable[rows.Row]) -> list[_NamedRow]:
    # Through Arrow, so that what a database could not take fails here too.
    return _untimed(rows.table_of(table, new)).to_pylist()


def _untimed(table: pa.Table) -> pa.Table:
    """Show times as integer microseconds, which compare and format the same everywhere."""
    plain = [pa.field(f.name, pa.int64() if f.type == schema.TIME else f.type) for f in table.schema]
    return table.cast(pa.schema(plain))


def _other_rows(batch: Batch) -> Iterator[tuple[tuple[Any, ...], _NamedRow]]:
    for row in _named(schema.SPAN_CONTENT, map(rows.content_row, batch.contents)):
        yield (schema.SPAN_CONTENT.name, *_span_key(row), row["kind"]), row
    for row in _named(schema.SCORES, map(rows.score_row, batch.scores)):
        yield (schema.SCORES.name, *_span_key(row), row["name"], row["scorer_version"], row["start_ns"]), row
    whole_rows = (
        _named(schema.LOGS, map(rows.log_row, batch.logs)),
        _named(schema.METRICS, map(rows.metric_row, batch.metrics)),
        _named(schema.REJECTIONS, rows.rejection_rows(batch.rejections)),
    )
    for table, found in zip((schema.LOGS, schema.METRICS, schema.REJECTIONS), whole_rows, strict=True):
        for row in found:
            yield (table.name, *row.values()), row


def _span_key(row: _NamedRow) -> SpanKey:
    return row["owner"], row["trace_id"], row["span_id"]


def _trace_key(row: _NamedRow) -> tuple[str, str]:
    return row["owner"], row["trace_id"]


def _response_key(row: _NamedRow) -> tuple[str, str] | None:
    return None if row["response_id"] is None else (row["owner"], row["response_id"])


def _span_rank(row: _NamedRow) -> tuple[Any, ...]:
    return row["end_ns"], *map(_nulls_last, row.values())


def _nulls_last(value: Any) -> tuple[bool, Any]:
    return value is None, value if value is not None else 0


def _page_order(row: _NamedRow) -> tuple[Any, ...]:
    return -row["time"], row["trace_id"], row["span_id"], row["tenant_id"]


def _cursor_order(cursor: Cursor) -> tuple[Any, ...]:
    return -cursor.time_us, cursor.trace_id, cursor.span_id, cursor.tenant_id


def _conditions(filters: Filters) -> Iterator[tuple[str, Any]]:
    columns = {"tenant": "tenant_id", "service": "service_name"}
    for name, value in filters.wanted.items():
        yield columns.get(name, name), value


def _group_key(row: _NamedRow, query: UsageQuery) -> tuple[Any, ...]:
    dimensions = tuple(_dimension(row, name) for name in query.by)
    if query.bucket is None:
        return dimensions
    since_origin = row["start_ns"] // 10**9 - query.bucket_origin
    start_s = since_origin // query.bucket * query.bucket + query.bucket_origin
    return start_s * 10**6, *dimensions


def _dimension(row: _NamedRow, name: str) -> Any:
    if name == "prompt":
        prompt, version = row["prompt_name"], row["prompt_version"]
        return prompt if version is None or prompt is None else f"{prompt}@{version}"
    return row[schema.DIMENSION_COLUMNS.get(name, name)]


def _sums(members: list[_NamedRow]) -> _NamedRow:
    answered = [row for row in members if row["status"] == "ok"]
    return (
        {"calls": len(members), "errors": len(members) - len(answered)}
        | {name: _sum(members, name) for name in schema.USAGE_TOKENS}
        | {
            "cost_usd": _sum(members, "cost_usd"),
            "unpriced_calls": sum(row["cost_usd"] is None for row in answered),
            "estimated_calls": sum(row["usage_source"] == "estimated" for row in members),
        }
        | {
            f"{label}_{what}": quantile_cont([row[what] for row in members if row[what] is not None], share)
            for what in ("duration_ms", "ttft_ms")
            for label, share in schema.QUANTILES.items()
        }
    )


def _sum(members: list[_NamedRow], name: str) -> int | Decimal | None:
    values = [row[name] for row in members if row[name] is not None]
    return sum(values) if values else None


def quantile_cont(values: list[float], share: float) -> float | None:
    """Return the value below which ``share`` of the values lie, interpolated as SQL's PERCENTILE_CONT; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _usage_order(row: _NamedRow, names: list[str], order: str) -> tuple[Any, ...]:
    dimensions = [_nulls_last(row[name]) for name in names]
    if order == "dimensions":
        return tuple(dimensions)
    value = row["cost_usd" if order == "cost" else "calls"]
    return _nulls_last(None if value is None else -value), *dimensions


def _rejection_summary(key: tuple[Any, ...], members: list[_NamedRow]) -> _NamedRow:
    return {
        "signal": key[0],
        "reason": key[1],
        "service_name": key[2],
        "count": sum(row["count"] for row in members),
        "size": sum((row["size"] or 0) * row["count"] for row in members),
        "first_seen": min(row["time"] for row in members),
        "last_seen": max(row["time"] for row in members),
    }


def _table(shape: pa.Schema, found: list[_NamedRow]) -> pa.Table:
    return pa.Table.from_pydict({name: [row[name] for row in found] for name in shape.names}, schema=shape)
