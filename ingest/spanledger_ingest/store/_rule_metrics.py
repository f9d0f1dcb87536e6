"""What alert rules ask, in DuckDB's SQL. Values are parameters; identifiers come from the catalogue of rule metrics.

Every statement is bounded: by time, so that whole row groups are skipped, and by the number of groups that it returns.
"""
# ruff: noqa: S608 - identifiers come from the catalogue

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import duckdb
import pyarrow as pa

from spanledger_analytics.queries import Window
from spanledger_analytics.rule_metrics import (
    ANOMALY_SHAPE,
    SILENCE_SHAPE,
    AnomalyQuery,
    MetricQuery,
    SilenceQuery,
    metric_shape,
)
from spanledger_ingest.store._arrow import fetch
from spanledger_ingest.store._ddl import PRIVATE, quoted

_OK: Final = "status = 'ok'"
_TOKENS: Final = "coalesce(input_tokens, 0) + coalesce(output_tokens, 0)"
_HAS_TOKENS: Final = "input_tokens IS NOT NULL OR output_tokens IS NOT NULL"
_EVALUABLE: Final = "label IS DISTINCT FROM 'not_evaluable'"
_LONGEST_HOURS: Final = 27
"""The detector takes for normal what goes on for longer: what seems to is history that is being taken in."""
_FINISHED: Final = "finish_reason IS NOT NULL AND finish_reason <> 'error'"


def _share(condition: str, among: str = "true") -> tuple[str, str]:
    return f"count(*) FILTER (({condition}) AND ({among})) / nullif(count(*) FILTER ({among}), 0)", (
        f"count(*) FILTER ({among})"
    )


def _quantile(column: str, share: float) -> tuple[str, str]:
    return f"quantile_cont({column}, {share}) FILTER ({_OK})", f"count({column}) FILTER ({_OK})"


_EXPRESSIONS: Final[dict[str, tuple[str, str]]] = {
    "calls": ("count(*)", "count(*)"),
    "errors": ("count(*) FILTER (status = 'error')", "count(*)"),
    "error_rate": _share("status = 'error'"),
    "rate_limited_share": _share("coalesce(http_status = 429, false)"),
    "duration_p50": _quantile("duration_ms", 0.5),
    "duration_p95": _quantile("duration_ms", 0.95),
    "duration_p99": _quantile("duration_ms", 0.99),
    "ttft_p50": _quantile("ttft_ms", 0.5),
    "ttft_p95": _quantile("ttft_ms", 0.95),
    "slow_share": _share("duration_ms > $slow_ms", _OK),
    "cost_usd": ("coalesce(sum(cost_usd), 0)", "count(*)"),
    "cost_per_call": ("avg(cost_usd)", "count(cost_usd)"),
    "unpriced_share": _share("cost_usd IS NULL", _OK),
    "tokens": (f"coalesce(sum({_TOKENS}), 0)", "count(*)"),
    "input_tokens": ("coalesce(sum(input_tokens), 0)", "count(*)"),
    "output_tokens": ("coalesce(sum(output_tokens), 0)", "count(*)"),
    "tokens_per_call": (f"avg({_TOKENS}) FILTER ({_HAS_TOKENS})", f"count(*) FILTER ({_HAS_TOKENS})"),
    "cache_share": (
        "sum(coalesce(cache_read_tokens, 0)) FILTER (input_tokens IS NOT NULL) / nullif(sum(input_tokens), 0)",
        "count(input_tokens)",
    ),
    "refusal_rate": _share("finish_reason = 'content_filter'", _FINISHED),
    "truncation_share": _share("finish_reason = 'length'", _FINISHED),
    "retry_share": _share("coalesce(before = 'error', false)"),
    "score_mean": (f"avg(value) FILTER ({_EVALUABLE})", f"count(value) FILTER ({_EVALUABLE})"),
    "score_failing_share": _share("coalesce(label = 'fail', false)", _EVALUABLE),
    "score_failing": (
        "count(DISTINCT answer) FILTER (label = 'fail')",
        f"count(DISTINCT answer) FILTER ({_EVALUABLE})",
    ),
    "rejected": ("coalesce(sum(count), 0)", "coalesce(sum(count), 0)"),
}
"""Value and volume of each metric."""

_COLUMNS: Final = {"tenant": "tenant_id", "service": "service_name", "score": "name"}
_PROMPT: Final = "prompt_name || coalesce('@' || prompt_version, '')"


def metric(cursor: duckdb.DuckDBPyConnection, query: MetricQuery) -> pa.Table:
    """Answer a :class:`MetricQuery`."""
    values: dict[str, Any] = {}
    if query.source == "calls" and _follow_each_other(query.windows):
        sql = _tiles(query, values)
    else:
        sql = " UNION ALL ".join(f"({_one_window(query, place, values)})" for place in range(len(query.windows)))
    return fetch(cursor, sql, values).cast(metric_shape(query.by))


def _follow_each_other(windows: Sequence[Window]) -> bool:
    """Tell whether windows are of one length and each begins where the one before it ends."""
    length = windows[0].to_ns - windows[0].from_ns
    follow = all(one.to_ns == two.from_ns and two.to_ns - two.from_ns == length for one, two in pairwise(windows))
    return len(windows) > 1 and length > 0 and follow


def _tiles(query: MetricQuery, values: dict[str, Any]) -> str:
    """Return one pass over windows that follow each other."""
    first, last = query.windows[0], query.windows[-1]
    source = _source(query, Window(first.from_ns, last.to_ns), 0, values)
    select = _select(query, f"(start_ns - $from_0) // {first.to_ns - first.from_ns}", source, values)
    order = ", ".join(quoted(name) for name in ("owner", *query.by))
    rank = f"row_number() OVER (PARTITION BY place ORDER BY volume DESC, {order})"
    return f"SELECT * FROM ({select}) QUALIFY {rank} <= {query.limit}"


def _one_window(query: MetricQuery, place: int, values: dict[str, Any]) -> str:
    select = _select(query, str(place), _source(query, query.windows[place], place, values), values)
    order = ", ".join(str(number) for number in range(2, 3 + len(query.by)))
    return f"{select} ORDER BY volume DESC, {order} LIMIT {query.limit}"


def _select(query: MetricQuery, place: str, source: str, values: dict[str, Any]) -> str:
    value, volume = _EXPRESSIONS[query.metric]
    owner = "''" if query.across_tenants else "owner"
    keys = {"owner": owner, **{name: f"coalesce({_dimension(name)}, '')" for name in query.by}}
    named = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in keys.items())
    if "$slow_ms" in value:
        values["slow_ms"] = query.slow_ms
    numbers = ", ".join(str(number) for number in range(1, 2 + len(keys)))
    return (
        f"SELECT ({place})::BIGINT AS place, {named}, ({value})::DOUBLE AS value, ({volume})::BIGINT AS volume "
        f"FROM {source} GROUP BY {numbers} HAVING ({volume}) > 0"
    )


def _source(query: MetricQuery, window: Window, place: int, values: dict[str, Any]) -> str:
    """Return the rows that count, as a FROM item."""
    values |= {f"from_{place}": window.from_ns, f"to_{place}": window.to_ns}
    conditions = [f"start_ns >= $from_{place}", f"start_ns < $to_{place}"]
    conditions += ["billable"] if query.source in ("calls", "retries") else []
    for name, wanted in query.where.items():
        values[f"w_{name}"] = list(wanted)
        conditions.append(f"list_contains($w_{name}, coalesce({_dimension(name)}, ''))")
    if query.scores:
        values["scores"] = list(query.scores)
        conditions.append("list_contains($scores, name)")
    where = " AND ".join(conditions)
    if query.source == "scores":
        return f"({_answers(where, any_version=query.metric == 'score_failing')})"
    if query.source != "retries":
        return f"{PRIVATE}.{_TABLES[query.source]} WHERE {where}"
    previous = "lag(status) OVER (PARTITION BY owner, trace_id, parent_span_id, model ORDER BY start_ns, span_id)"
    return f"(SELECT *, {previous} AS before FROM {PRIVATE}.llm_calls WHERE {where})"


def _answers(where: str, *, any_version: bool) -> str:
    """Return one row for each answer and score, however often it was judged.

    Of several versions of a scorer the one that has judged most of these answers speaks: a new one takes over when the
    past was scored with it. What counts every failing answer (``any_version``) does not wait for that. What
    applications send is counted as often as they said it.
    """
    names = ("tenant_id", "model", "use_case", "prompt_name", "prompt_version")
    about = ", ".join(f"any_value({name}) AS {name}" for name in names)
    judged = f"""
        SELECT owner, name, source, coalesce(scorer_version, '') AS version, hash(trace_id, span_id) AS answer,
            {about}, arg_max(label, rowid) AS label, arg_max(value, rowid) AS value
        FROM {PRIVATE}.scores WHERE {where}
        GROUP BY owner, name, source, version, answer, CASE WHEN source = 'spanledger' THEN -1 ELSE rowid END
    """
    if any_version:
        return judged
    return f"""
        WITH judged AS ({judged}), versions AS (
            SELECT owner, name, source, version, count(*) AS answers FROM judged
            GROUP BY owner, name, source, version
            QUALIFY source <> 'spanledger' OR row_number() OVER (
                PARTITION BY owner, name, source ORDER BY answers DESC, version DESC) = 1)
        SELECT judged.* FROM judged SEMI JOIN versions USING (owner, name, source, version)
    """


_TABLES: Final = {"calls": "llm_calls", "scores": "scores", "rejections": "rejections"}


def _dimension(name: str) -> str:
    return _PROMPT if name == "prompt" else quoted(_COLUMNS.get(name, name))


def silence(cursor: duckdb.DuckDBPyConnection, query: SilenceQuery) -> pa.Table:
    """Answer a :class:`SilenceQuery`, to the minute: minutes with calls are few, however many calls there are."""
    sql = f"""
        WITH minutes AS (
            SELECT owner, coalesce(tenant_id, '') AS tenant, coalesce(service_name, '') AS service,
                start_ns // 60000000000 AS minute, count(*) AS calls
            FROM {PRIVATE}.llm_calls WHERE start_ns >= $from_ns AND start_ns < $to_ns GROUP BY ALL),
        gaps AS (
            SELECT *, minute - lag(minute) OVER (PARTITION BY owner, tenant, service ORDER BY minute) AS gap
            FROM minutes)
        SELECT owner, tenant, service, sum(calls)::BIGINT AS calls,
            ($to_ns / 1e9 - 60 * (max(minute) + 1))::DOUBLE AS silent_s,
            (60 * coalesce(max(gap), 0))::DOUBLE AS longest_s,
            ($to_ns / 1e9 - 60 * min(minute))::DOUBLE AS known_s
        FROM gaps GROUP BY owner, tenant, service HAVING sum(calls) >= $min_calls
        ORDER BY silent_s DESC, owner, tenant, service LIMIT {query.limit}
    """
    window = query.window
    values = {"from_ns": window.from_ns, "to_ns": window.to_ns, "min_calls": query.min_calls}
    return fetch(cursor, sql, values).cast(SILENCE_SHAPE)


def anomalies(cursor: duckdb.DuckDBPyConnection, query: AnomalyQuery) -> pa.Table:
    """Answer an :class:`AnomalyQuery`."""
    detected = "coalesce(detected, started)"
    sql = f"""
        SELECT owner, id, tenant_id AS tenant, kind, metric, dimensions, severity, impact_usd, expected, observed,
            cause, summary, epoch_us(started) * 1000 AS started_ns,
            (ended IS NULL OR ended >= make_timestamptz($to_us))
                AND {detected} >= make_timestamptz($to_us) - INTERVAL {_LONGEST_HOURS} HOUR AS "open"
        FROM {PRIVATE}.anomalies
        WHERE {detected} < make_timestamptz($to_us) AND (ended IS NULL OR ended >= make_timestamptz($from_us))
            AND started >= make_timestamptz($from_us)
        ORDER BY started DESC, id LIMIT {query.limit}
    """
    values = {"from_us": query.window.from_ns // 1000, "to_us": query.window.to_ns // 1000}
    return fetch(cursor, sql, values).cast(ANOMALY_SHAPE)
