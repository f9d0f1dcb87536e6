"""The query catalogue in DuckDB's SQL. Values are parameters; identifiers come from the schema module."""
# ruff: noqa: S608 - identifiers come from the schema module

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.facts_json import load_facts
from spanledger_analytics.ports import CallKeys, Related, SpanKey
from spanledger_analytics.queries import CallsQuery, Cursor, Filters, UsageQuery, Window
from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._ddl import LINKS, PRIVATE, columns, quoted
from spanledger_ingest.store._recent import RecentKeys, Stretch, hash_pairs, within

_CALLS: Final = f"{PRIVATE}.llm_calls"
_SPANS: Final = f"{PRIVATE}.spans"
_LINKS: Final = f"{PRIVATE}.{LINKS}"
_FILTER_COLUMNS: Final = {"tenant": "tenant_id", "service": "service_name"}


def calls(cursor: duckdb.DuckDBPyConnection, query: CallsQuery) -> pa.Table:
    """Return a page of calls."""
    where, values = _where(query.filters, query.window)
    if query.cursor is not None:
        where += " AND " + _below(query.cursor, values)
    sql = (
        f"SELECT {columns(schema.LLM_CALLS.view)} FROM {_CALLS} WHERE {where} "
        f"ORDER BY time DESC, trace_id, span_id, tenant_id LIMIT {query.limit}"
    )
    return _shaped(cursor, sql, values, schema.LLM_CALLS.view)


def usage(cursor: duckdb.DuckDBPyConnection, query: UsageQuery) -> pa.Table:
    """Return sums and exact percentiles of billable calls."""
    where, values = _where(query.filters, query.window)
    keys = dict(_group_keys(query))
    shape = schema.usage_schema(query.by, bucketed=query.bucket is not None)
    selected = ", ".join([f"{sql} AS {quoted(name)}" for name, sql in (keys | dict(_aggregates())).items()])
    grouped = f"GROUP BY {', '.join(keys.values())}" if keys else ""
    inner = f"SELECT {selected} FROM {_CALLS} WHERE billable AND {where} {grouped}"
    sql = f"SELECT {_unpacked(shape)} FROM ({inner}) ORDER BY {_usage_order(query, list(keys))} LIMIT {query.limit}"
    return _shaped(cursor, sql, values, shape)


def trace(cursor: duckdb.DuckDBPyConnection, trace_id: str, owner: str | None) -> pa.Table:
    """Return the spans of a trace in order of start."""
    sql = (
        f"SELECT {columns(schema.SPANS.view)} FROM {_SPANS} "
        "WHERE trace_id = $trace_id AND ($owner IS NULL OR owner = $owner) ORDER BY start_ns, span_id, owner"
    )
    return _shaped(cursor, sql, {"trace_id": trace_id, "owner": owner}, schema.SPANS.view)


def rejections(cursor: duckdb.DuckDBPyConnection, owner: str | None) -> pa.Table:
    """Return dead letters, counted."""
    sql = f"""
        SELECT signal, reason, service_name, sum(count)::BIGINT AS count,
            sum(coalesce(size, 0) * count)::BIGINT AS size,
            min(time) AS first_seen, max(time) AS last_seen
        FROM {PRIVATE}.rejections WHERE $owner IS NULL OR owner = $owner
        GROUP BY signal, reason, service_name ORDER BY last_seen DESC, signal, reason, service_name NULLS LAST
    """
    return _shaped(cursor, sql, {"owner": owner}, schema.REJECTION_SUMMARY)


def journal_position(cursor: duckdb.DuckDBPyConnection) -> int:
    """Return the stored journal offset."""
    row = cursor.execute(f"SELECT journal_position FROM {PRIVATE}.meta").fetchone()
    return 0 if row is None else int(row[0])


def related(cursor: duckdb.DuckDBPyConnection, keys: CallKeys, recent: RecentKeys) -> Related:
    """Look up traces and response ids until nothing new turns up."""
    traces: set[tuple[str, str]] = set()
    responses: set[tuple[str, str]] = set()
    found: dict[SpanKey, str] = {}
    parents: dict[SpanKey, str | None] = {}
    new_traces, new_responses = set(keys.trace_ids), set(keys.response_ids)
    while new_traces or new_responses:
        traces |= new_traces
        responses |= new_responses
        by_trace, by_response = (_narrowed(cursor, keys, asked, recent) for asked in (new_traces, new_responses))
        hits = _calls_of(cursor, by_trace, by_response)
        parents |= _parents_of(cursor, by_trace)
        found |= {(row["owner"], row["trace_id"], row["span_id"]): row["own"] for row in hits}
        new_traces = {(row["owner"], row["trace_id"]) for row in hits} - traces
        new_responses = {(row["owner"], row["response_id"]) for row in hits if row["response_id"]} - responses
    return Related([load_facts(own) for own in found.values()], parents)


class _Asked(NamedTuple):
    """Keys of rows that may be stored, and when."""

    pairs: pa.Table
    times: list[Stretch]


def _narrowed(
    cursor: duckdb.DuckDBPyConnection, keys: CallKeys, asked: set[tuple[str, str]], recent: RecentKeys
) -> _Asked:
    pairs = _pairs(asked)
    hit, times = recent.look_up(hash_pairs(cursor, pairs), [(keys.start_ns, keys.end_ns)])
    low, high = keys.start_ns, keys.end_ns
    return _Asked(pairs.filter(pa.array(hit)), [(max(a, low), min(b, high)) for a, b in times])


def _calls_of(cursor: duckdb.DuckDBPyConnection, by_trace: _Asked, by_response: _Asked) -> list[dict[str, Any]]:
    if not by_trace.times and not by_response.times:
        return []
    # Keys first, rows afterwards: the wide columns are read for the hits only.
    sql = f"""
        WITH hits AS (
            SELECT c.rowid AS hit FROM {_CALLS} c SEMI JOIN traces t ON c.owner = t.owner AND c.trace_id = t.id
            WHERE {within(by_trace.times, "c.start_ns")}
            UNION
            SELECT c.rowid FROM {_CALLS} c SEMI JOIN responses r ON c.owner = r.owner AND c.response_id = r.id
            WHERE {within(by_response.times, "c.start_ns")})
        SELECT owner, trace_id, span_id, response_id, own FROM {_CALLS} WHERE rowid IN (SELECT hit FROM hits)
    """
    with registered(cursor, "traces", by_trace.pairs), registered(cursor, "responses", by_response.pairs):
        return fetch(cursor, sql).to_pylist()


def _parents_of(cursor: duckdb.DuckDBPyConnection, by_trace: _Asked) -> dict[SpanKey, str | None]:
    if not by_trace.times:
        return {}
    sql = " UNION ALL ".join(
        f"""SELECT s.owner, s.trace_id, s.span_id, s.parent_span_id FROM {table} s
        SEMI JOIN traces t ON s.owner = t.owner AND s.trace_id = t.id WHERE {within(by_trace.times, "s.start_ns")}"""
        for table in (_LINKS, _SPANS)
    )
    with registered(cursor, "traces", by_trace.pairs):
        hits = fetch(cursor, sql).to_pylist()
    return {(row["owner"], row["trace_id"], row["span_id"]): row["parent_span_id"] for row in hits}


def _pairs(pairs: set[tuple[str, str]]) -> pa.Table:
    owners, ids = [owner for owner, _ in pairs], [id_ for _, id_ in pairs]
    return pa.table({"owner": pa.array(owners, pa.string()), "id": pa.array(ids, pa.string())})


def _where(filters: Filters, window: Window) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"from_ns": window.from_ns, "to_ns": window.to_ns}
    conditions = ["start_ns >= $from_ns", "start_ns < $to_ns"]
    for name, value in filters.wanted.items():
        column = quoted(_FILTER_COLUMNS.get(name, name))
        if value is None:
            conditions.append(f"{column} IS NULL")
        else:
            conditions.append(f"{column} = ${name}")
            values[name] = value
    return " AND ".join(conditions), values


def _below(cursor: Cursor, values: dict[str, Any]) -> str:
    values |= {
        "c_time": cursor.time_us,
        "c_trace": cursor.trace_id,
        "c_span": cursor.span_id,
        "c_tenant": cursor.tenant_id,
    }
    return (
        "(time < make_timestamptz($c_time) OR (time = make_timestamptz($c_time) "
        "AND row(trace_id, span_id, tenant_id) > row($c_trace, $c_span, $c_tenant)))"
    )


def _group_keys(query: UsageQuery) -> Iterator[tuple[str, str]]:
    if query.bucket is not None:
        seconds = f"(start_ns // 1000000000 - ({query.bucket_origin})) // {query.bucket} * {query.bucket}"
        yield "bucket", f"make_timestamptz(({seconds} + ({query.bucket_origin})) * 1000000)"
    for name in query.by:
        yield name, _dimension(name)


def _dimension(name: str) -> str:
    if name == "prompt":
        return "prompt_name || coalesce('@' || prompt_version, '')"
    return quoted(schema.DIMENSION_COLUMNS.get(name, name))


def _aggregates() -> Iterator[tuple[str, str]]:
    yield "calls", "count(*)"
    yield "errors", "count(*) FILTER (status = 'error')"
    for name in schema.USAGE_TOKENS:
        yield name, f"sum({name})::BIGINT"
    yield "cost_usd", "sum(cost_usd)"
    yield "unpriced_calls", "count(*) FILTER (status = 'ok' AND cost_usd IS NULL)"
    yield "estimated_calls", "count(*) FILTER (usage_source = 'estimated')"
    for what in ("duration_ms", "ttft_ms"):
        yield f"q_{what}", f"quantile_cont({what}, {list(schema.QUANTILES.values())})"


def _unpacked(shape: pa.Schema) -> str:
    """Take each quantile out of the list that was computed in one go."""
    places = {
        f"{label}_{what}": f"q_{what}[{place}]"
        for what in ("duration_ms", "ttft_ms")
        for place, label in enumerate(schema.QUANTILES, 1)
    }
    return ", ".join(f"{places.get(name, quoted(name))} AS {quoted(name)}" for name in shape.names)


def _usage_order(query: UsageQuery, keys: list[str]) -> str:
    by_dimensions = [f"{quoted(name)} ASC NULLS LAST" for name in keys]
    first = {"dimensions": [], "cost": ["cost_usd DESC NULLS LAST"], "calls": ["calls DESC"]}[query.order]
    return ", ".join([*first, *by_dimensions]) or "calls"


def _shaped(cursor: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any], shape: pa.Schema) -> pa.Table:
    # Nullability and metadata are the engine's; callers get the schema module's.
    return fetch(cursor, sql, values).cast(shape)
