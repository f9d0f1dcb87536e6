"""Sums over scores and labels: rates by who and what, agreement with people, what to review."""
# ruff: noqa: S608 - identifiers come from the schema module and constants, values are bound

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.queries import Filters, Window
from spanledger_ingest.store._arrow import fetch
from spanledger_ingest.store._ddl import PRIVATE, columns
from spanledger_ingest.store._evidence import Run

_SCORES: Final = f"{PRIVATE}.{schema.SCORES.name}"
_LABELS: Final = f"{PRIVATE}.{schema.LABELS.name}"
_CALLS: Final = f"{PRIVATE}.llm_calls"
_SAME_CALL: Final = "c.owner = s.owner AND c.trace_id = s.trace_id AND c.span_id = s.span_id"
DIMENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "tenant": ("tenant_id",),
    "model": ("model",),
    "use_case": ("use_case",),
    "prompt": ("prompt_name", "prompt_version"),
}
"""What rates can be grouped by."""
_KEY: Final = (
    "s.trace_id, s.span_id, s.name, coalesce(s.scorer_version, ''), coalesce(s.calibration_id, ''), s.source, s.owner"
)
_DRAWS: Final = 2**32
_ORDER: Final = f"s.start_ns DESC, {_KEY}"
ScorePlace = tuple[int, str, str, str, str, str, str, str]
"""Where a page of scores ended: start, trace, span, name, version, calibration, source and owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFilter:
    """Which scores: equality where not ``None``."""

    filters: Filters
    window: Window
    name: str | None = None
    label: str | None = None
    source: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """Answers whose score ``of`` (its confidence, if there is one) is from ``low`` to ``high``."""

    of: str
    by: str
    version: str
    """Those are left out that ``by`` of this version has judged."""
    low: float
    high: float
    share: float
    """The part of them that is wanted; always the same answers."""
    from_ns: int
    tenants: tuple[str, ...] = ()
    """Empty is all."""
    not_use_case: str = ""


def page(cursor: duckdb.DuckDBPyConnection, wanted: ScoreFilter, after: ScorePlace | None, limit: int) -> pa.Table:
    """Return rows of ``scores``, the latest call first, with ``start_ns`` and ``owner`` for the next page."""
    where, values = _where(wanted)
    if after is not None:
        values |= {f"a{number}": part for number, part in enumerate(after)}
        places = ", ".join(f"$a{number}" for number in range(1, len(after)))
        where += f" AND (s.start_ns < $a0 OR s.start_ns = $a0 AND row({_KEY}) > row({places}))"
    shown = columns(schema.SCORES.view, "s.")
    sql = f"SELECT {shown}, s.start_ns, s.owner FROM {_SCORES} s WHERE {where} ORDER BY {_ORDER} LIMIT {limit}"
    return fetch(cursor, sql, values)


def rates(cursor: duckdb.DuckDBPyConnection, wanted: ScoreFilter, by: Sequence[str]) -> pa.Table:
    """Return by dimensions, name and version how many calls were looked at, could be judged, and failed."""
    names = _names(by)
    where, values = _where(wanted)
    keys = "".join(f"s.{name}, " for name in names)
    sql = f"""
        SELECT {keys} s.name, s.scorer_version, max_by(s.calibration_id, s.start_ns) AS calibration_id,
            count(*) AS scored,
            count(*) FILTER (s.evaluable) AS evaluable, count(*) FILTER (s.label = 'fail') AS failing,
            avg(s.value) AS mean, histogram(s.explanation) FILTER (NOT s.evaluable) AS reasons
        FROM {_once(where)} GROUP BY {keys} s.name, s.scorer_version ORDER BY ALL LIMIT 20000
    """
    return fetch(cursor, sql, values)


def calls(cursor: duckdb.DuckDBPyConnection, wanted: ScoreFilter, by: Sequence[str]) -> pa.Table:
    """Return by dimensions how many billable calls there were: what coverage is a part of."""
    names = _names(by)
    where, values = _conditions(wanted, "c", ("provider", "service"))
    keys = "".join(f"c.{name}, " for name in names)
    sql = f"SELECT {keys} count(*) AS calls FROM {_CALLS} c WHERE c.billable AND {where} GROUP BY ALL"
    return fetch(cursor, sql, values)


def agreement(cursor: duckdb.DuckDBPyConnection, wanted: ScoreFilter, *, by_tenant: bool) -> pa.Table:
    """Return how labels of reviewers and judges meet the flags, by name and version (and tenant)."""
    where, values = _where(wanted)
    tenant = "s.tenant_id" if by_tenant else "NULL"
    sql = f"""
        SELECT {tenant} AS tenant_id, s.name, s.scorer_version,
            sum(l.weight) FILTER (l.label = 'fail' AND s.label = 'fail') AS both_fail,
            sum(l.weight) FILTER (l.label = 'fail' AND s.label <> 'fail') AS missed,
            sum(l.weight) FILTER (l.label = 'pass' AND s.label = 'fail') AS false_alarm,
            sum(l.weight) FILTER (l.label = 'pass' AND s.label <> 'fail') AS both_pass,
            sum(l.weight) AS weight, sum(l.weight * l.weight) AS squares, count(*) AS labels
        FROM {_once(where)} JOIN {_LABELS} l
            ON l.owner = s.owner AND l.trace_id = s.trace_id AND l.span_id = s.span_id AND l.name = s.name
        WHERE s.evaluable AND l.source IN ('reviewer', 'judge') GROUP BY ALL
    """
    return fetch(cursor, sql, values)


def unlabelled(cursor: duckdb.DuckDBPyConnection, wanted: ScoreFilter, limit: int) -> pa.Table:
    """Return the latest scores with a number that no reviewer has labelled."""
    where, values = _where(wanted)
    shown = columns(schema.SCORES.view, "s.")
    sql = f"""
        SELECT {shown} FROM {_once(where, of="s.name")} WHERE s.evaluable AND NOT EXISTS (
            SELECT 1 FROM {_LABELS} l WHERE l.owner = s.owner AND l.trace_id = s.trace_id AND l.span_id = s.span_id
            AND l.name = s.name AND l.source = 'reviewer')
        ORDER BY {_ORDER} LIMIT {limit}
    """
    return fetch(cursor, sql, values)


def labelled(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return all labelled scores with what calibration needs: reviewers' first, then judges'."""
    sql = f"""
        SELECT s.owner, s.name, s.scorer_version, s.value, s.detail, l.label, l.weight
        FROM {_SCORES} s JOIN {_LABELS} l
            ON l.owner = s.owner AND l.trace_id = s.trace_id AND l.span_id = s.span_id AND l.name = s.name
        WHERE s.source = 'spanledger' AND s.evaluable AND l.source IN ('reviewer', 'judge')
        QUALIFY row_number() OVER (
            PARTITION BY s.owner, s.trace_id, s.span_id, s.name, s.scorer_version
            ORDER BY l.source = 'reviewer' DESC, l.start_ns DESC) = 1
        ORDER BY ALL LIMIT 200000
    """
    return fetch(cursor, sql)


def doubts(cursor: duckdb.DuckDBPyConnection, wanted: Doubts, limit: int) -> pa.Table:
    """Return owner, trace and span of the latest answers that a score leaves open and another has not judged."""
    values: dict[str, Any] = {
        "of": wanted.of,
        "by": wanted.by,
        "version": wanted.version,
        "low": wanted.low,
        "high": wanted.high,
        "drawn": f"{min(int(wanted.share * _DRAWS), _DRAWS - 1):08x}",
        "from": wanted.from_ns,
        "apart": wanted.not_use_case,
    }
    mine = ""
    if wanted.tenants:
        mine = "AND list_contains($tenants, s.tenant_id)"
        values["tenants"] = list(wanted.tenants)
    sql = f"""
        SELECT s.owner, s.trace_id, s.span_id, max(s.start_ns) AS start_ns FROM {_SCORES} s
        WHERE s.source = 'spanledger' AND s.evaluable AND s.name = $of AND s.start_ns >= $from
            AND coalesce(s.confidence, s.value) BETWEEN $low AND $high
            AND substr(md5(s.trace_id || s.span_id), 1, 8) <= $drawn
            AND s.use_case IS DISTINCT FROM $apart {mine} AND NOT EXISTS (
                SELECT 1 FROM {_SCORES} j WHERE j.owner = s.owner AND j.trace_id = s.trace_id
                AND j.span_id = s.span_id AND j.name = $by AND j.scorer_version = $version AND j.start_ns >= $from)
        GROUP BY s.owner, s.trace_id, s.span_id ORDER BY start_ns DESC, s.trace_id, s.span_id LIMIT {limit}
    """
    return fetch(cursor, sql, values)


def owner_of(cursor: duckdb.DuckDBPyConnection, trace_id: str, span_id: str, owner: str | None) -> pa.Table:
    """Return owner, tenant and start of a stored call, in the scope of ``owner``."""
    mine = "" if owner is None else "AND owner = $owner"
    values = {"trace": trace_id, "span": span_id} | ({} if owner is None else {"owner": owner})
    sql = f"SELECT owner, tenant_id, start_ns FROM {_CALLS} WHERE trace_id = $trace AND span_id = $span {mine} LIMIT 2"
    return fetch(cursor, sql, values)


def of_trace(cursor: duckdb.DuckDBPyConnection, trace_id: str, owner: str | None) -> pa.Table:
    """Return the scores of a trace with their owner."""
    mine = "" if owner is None else "AND s.owner = $owner"
    values = {"trace": trace_id} | ({} if owner is None else {"owner": owner})
    shown = columns(schema.SCORES.view, "s.")
    sql = f"SELECT s.owner, {shown} FROM {_SCORES} s WHERE s.trace_id = $trace {mine} ORDER BY {_ORDER} LIMIT 5000"
    return fetch(cursor, sql, values)


def labels_of_trace(cursor: duckdb.DuckDBPyConnection, trace_id: str, owner: str | None) -> pa.Table:
    """Return what people said of a trace, the latest first."""
    mine = "" if owner is None else "AND owner = $owner"
    values = {"trace": trace_id} | ({} if owner is None else {"owner": owner})
    sql = f"""
        SELECT span_id, name, label, source FROM {_LABELS} WHERE trace_id = $trace {mine}
        ORDER BY start_ns DESC LIMIT 500
    """
    return fetch(cursor, sql, values)


def _once(where: str, of: str = "s.name, s.scorer_version") -> str:
    """Return our scores as a FROM item, once for each answer: the latest, where another calibration judged again."""
    return f"""(
        SELECT s.* FROM {_SCORES} s WHERE s.source = 'spanledger' AND {where}
        QUALIFY row_number() OVER (PARTITION BY s.owner, s.trace_id, s.span_id, {of} ORDER BY s.rowid DESC) = 1) s"""


def _names(by: Sequence[str]) -> list[str]:
    return [name for dimension in by for name in DIMENSIONS[dimension]]


def _where(wanted: ScoreFilter) -> tuple[str, dict[str, Any]]:
    where, values = _conditions(wanted, "s", ())
    for name in ("name", "label", "source"):
        if getattr(wanted, name) is not None:
            where += f" AND s.{name} = ${name}"
            values[name] = getattr(wanted, name)
    about = {name: value for name, value in wanted.filters.wanted.items() if name in ("provider", "service")}
    if about:
        same = " AND ".join(_same("c", name, value) for name, value in about.items())
        where += f" AND EXISTS (SELECT 1 FROM {_CALLS} c WHERE {_SAME_CALL} AND {same})"
        values |= _bound(about)
    return where, values


_COLUMN: Final = {"tenant": "tenant_id", "service": "service_name"}


def _conditions(wanted: ScoreFilter, table: str, further: Sequence[str]) -> tuple[str, dict[str, Any]]:
    known = ("owner", "tenant", "model", "use_case", "trace_id", *further)
    found = {name: value for name, value in wanted.filters.wanted.items() if name in known}
    found |= _bound({"prompt_name": wanted.prompt_name, "prompt_version": wanted.prompt_version})
    where = f"{table}.start_ns >= $low AND {table}.start_ns < $high"
    where += "".join(f" AND {_same(table, name, value)}" for name, value in found.items())
    return where, {"low": wanted.window.from_ns, "high": wanted.window.to_ns, **_bound(found)}


def _same(table: str, name: str, value: Any) -> str:
    column = f"{table}.{_COLUMN.get(name, name)}"
    return f"{column} IS NULL" if value is None else f"{column} = ${name}"


def _bound(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


class QualityReader:
    """Sums over scores and labels, beside the writer.

    Args:
        run: does a piece of work with a cursor of its own.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def page(self, wanted: ScoreFilter, after: ScorePlace | None, limit: int) -> pa.Table:
        """See :func:`page`."""
        return self._run(lambda cursor: page(cursor, wanted, after, limit))

    def rates(self, wanted: ScoreFilter, by: Sequence[str]) -> pa.Table:
        """See :func:`rates`."""
        return self._run(lambda cursor: rates(cursor, wanted, by))

    def calls(self, wanted: ScoreFilter, by: Sequence[str]) -> pa.Table:
        """See :func:`calls`."""
        return self._run(lambda cursor: calls(cursor, wanted, by))

    def agreement(self, wanted: ScoreFilter, *, by_tenant: bool) -> pa.Table:
        """See :func:`agreement`."""
        return self._run(lambda cursor: agreement(cursor, wanted, by_tenant=by_tenant))

    def unlabelled(self, wanted: ScoreFilter, limit: int) -> pa.Table:
        """See :func:`unlabelled`."""
        return self._run(lambda cursor: unlabelled(cursor, wanted, limit))

    def labelled(self) -> pa.Table:
        """See :func:`labelled`."""
        return self._run(labelled)

    def doubts(self, wanted: Doubts, limit: int) -> pa.Table:
        """See :func:`doubts`."""
        return self._run(lambda cursor: doubts(cursor, wanted, limit))

    def owner_of(self, trace_id: str, span_id: str, owner: str | None) -> pa.Table:
        """See :func:`owner_of`."""
        return self._run(lambda cursor: owner_of(cursor, trace_id, span_id, owner))

    def of_trace(self, trace_id: str, owner: str | None) -> pa.Table:
        """See :func:`of_trace`."""
        return self._run(lambda cursor: of_trace(cursor, trace_id, owner))

    def labels_of_trace(self, trace_id: str, owner: str | None) -> pa.Table:
        """See :func:`labels_of_trace`."""
        return self._run(lambda cursor: labels_of_trace(cursor, trace_id, owner))
