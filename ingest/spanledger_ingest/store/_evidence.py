"""What scorers need of the store: calls whose text is here, everything said in their traces, and what is scored."""
# ruff: noqa: S608 - identifiers come from the schema module

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from spanledger_analytics import schema
from spanledger_analytics.queries import Window
from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._ddl import PRIVATE

Result = TypeVar("Result")


class Run(Protocol):
    """Does work with a cursor."""

    def __call__(self, work: Callable[[duckdb.DuckDBPyConnection], Result], /) -> Result:
        """Return what ``work`` returns."""
        ...


_HOUR_NS: Final = 3600 * 10**9
_MINUTE_NS: Final = 60 * 10**9
_MAX_TEXT: Final = 200_000
"""Characters of one text that are read."""
_MAX_TEXTS: Final = 20_000
_KEY: Final = ("start_ns", "owner", "trace_id", "span_id")
_ABOUT: Final = (
    *_KEY, "end_ns", "tenant_id", "service_name", "use_case", "provider", "model", "operation", "prompt_name",
    "prompt_version", "response_id", "finish_reason", "status",
)  # fmt: skip
CallKey: TypeAlias = tuple[int, str, str, str]
"""``start_ns``, ``owner``, ``trace_id``, ``span_id``: the order in which calls are scored."""


@dataclass(frozen=True, slots=True)
class Material:
    """Calls with what is known of their traces."""

    calls: pa.Table
    texts: pa.Table
    """``owner``, ``trace_id``, ``span_id``, ``start_ns``, ``kind``, ``text`` of the calls' traces."""
    spans: pa.Table
    """``owner``, ``trace_id``, ``span_id``, ``start_ns``, ``attributes`` of the calls and of spans that have text."""
    scored: pa.Table
    """``owner``, ``trace_id``, ``span_id``, ``evidence``: the digests of what was scored before."""


def _minutes_with_text(cursor: duckdb.DuckDBPyConnection, minutes: pa.Table) -> pa.Table:
    if not minutes.num_rows:
        return minutes
    first, last = _bounds(minutes["minute_ns"])
    with registered(cursor, "minutes", minutes):
        return fetch(
            cursor,
            f"""
            WITH hours AS (
                SELECT DISTINCT owner, start_ns // {_HOUR_NS} AS hour FROM {PRIVATE}.span_content
                WHERE kind <> 'other' AND start_ns BETWEEN $low AND $high)
            SELECT m.owner, m.minute_ns FROM minutes m
            WHERE EXISTS (
                SELECT 1 FROM hours h WHERE h.owner = m.owner AND abs(h.hour - m.minute_ns // {_HOUR_NS}) <= 1)
            ORDER BY m.minute_ns, m.owner
            """,
            {"low": first - 2 * _HOUR_NS, "high": last + 2 * _HOUR_NS},
        )


def _calls_of_minutes(
    cursor: duckdb.DuckDBPyConnection, minutes: pa.Table, after: CallKey | None, limit: int
) -> Material:
    first, last = _bounds(minutes["minute_ns"])
    window = Window(first, last + _MINUTE_NS)
    minute = f"c.start_ns // {_MINUTE_NS} * {_MINUTE_NS}"
    cell = f"EXISTS (SELECT 1 FROM minutes m WHERE m.owner = c.owner AND m.minute_ns = {minute})"
    with registered(cursor, "minutes", minutes):
        calls = _calls(cursor, window, after, limit, f"AND {cell}")
    return _material(cursor, calls)


def _calls_of_window(cursor: duckdb.DuckDBPyConnection, window: Window, after: CallKey | None, limit: int) -> Material:
    return _material(cursor, _calls(cursor, window, after, limit, ""))


def _calls_of_trace(cursor: duckdb.DuckDBPyConnection, trace_id: str, owner: str | None) -> Material:
    mine = "" if owner is None else "AND owner = $owner"
    values: dict[str, str] = {"trace": trace_id} | ({} if owner is None else {"owner": owner})
    sql = f"SELECT {', '.join(_ABOUT)} FROM {PRIVATE}.llm_calls WHERE billable AND trace_id = $trace {mine} LIMIT 1000"
    return _material(cursor, fetch(cursor, sql, values))


def _remaining(cursor: duckdb.DuckDBPyConnection, window: Window, after: CallKey | None) -> int:
    where, values = _where(window, after)
    row = cursor.execute(f"SELECT count(*) FROM {PRIVATE}.llm_calls c WHERE {where}", values).fetchall()[0]
    return int(row[0])


def _calls(cursor: duckdb.DuckDBPyConnection, window: Window, after: CallKey | None, limit: int, more: str) -> pa.Table:
    where, values = _where(window, after)
    said = f"""EXISTS (SELECT 1 FROM {PRIVATE}.span_content t WHERE t.owner = c.owner AND t.trace_id = c.trace_id
        AND t.kind <> 'other'
        AND t.start_ns BETWEEN {max(0, window.from_ns - _HOUR_NS)} AND {min(2**62, window.to_ns + _HOUR_NS)})"""
    names = ", ".join(f"c.{name}" for name in _ABOUT)
    order = ", ".join(f"c.{name}" for name in _KEY)
    sql = f"SELECT {names} FROM {PRIVATE}.llm_calls c WHERE {where} AND {said} {more} ORDER BY {order} LIMIT {limit}"
    return fetch(cursor, sql, values)


def _where(window: Window, after: CallKey | None) -> tuple[str, dict[str, int | str]]:
    values: dict[str, int | str] = {"low": window.from_ns, "high": window.to_ns}
    if after is None:
        return "c.billable AND c.start_ns >= $low AND c.start_ns < $high", values
    start, owner, trace_id, span_id = after
    key = ", ".join(f"c.{name}" for name in _KEY)
    behind = f"c.billable AND c.start_ns >= $a0 AND c.start_ns < $high AND row({key}) > row($a0, $a1, $a2, $a3)"
    return behind, {"high": window.to_ns, "a0": start, "a1": owner, "a2": trace_id, "a3": span_id}


def _bounds(times: "pa.ChunkedArray[Any]") -> tuple[int, int]:
    return pc.min(times).as_py(), pc.max(times).as_py()


def _material(cursor: duckdb.DuckDBPyConnection, calls: pa.Table) -> Material:
    if not calls.num_rows:
        return Material(calls, _EMPTY, _EMPTY, _EMPTY)
    first, last = _bounds(calls["start_ns"])
    near = {"low": max(0, first - _HOUR_NS), "high": last + _HOUR_NS}
    with registered(cursor, "calls", calls):
        texts = fetch(cursor, _TEXTS, near)
        with registered(cursor, "texts", texts):
            spans = fetch(cursor, _SPANS, near)
        scored = fetch(cursor, _SCORED, near)
    return Material(calls, texts, spans, scored)


class EvidenceReader:
    """What is stored about calls to be judged, beside the writer.

    Args:
        run: does a piece of work with a cursor of its own.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def minutes_with_text(self, minutes: pa.Table) -> pa.Table:
        """Return those of the minutes (``owner``, ``minute_ns``) around which some text of the owner is stored."""
        return self._run(lambda cursor: _minutes_with_text(cursor, minutes))

    def calls_of_minutes(self, minutes: pa.Table, after: CallKey | None, limit: int) -> Material:
        """Return billable calls of these minutes with text in their trace, from the one behind ``after`` on."""
        return self._run(lambda cursor: _calls_of_minutes(cursor, minutes, after, limit))

    def calls_of_window(self, window: Window, after: CallKey | None, limit: int) -> Material:
        """Return billable calls that start in the window with text in their trace, from the one behind ``after`` on."""
        return self._run(lambda cursor: _calls_of_window(cursor, window, after, limit))

    def calls_of_trace(self, trace_id: str, owner: str | None) -> Material:
        """Return the billable calls of a trace."""
        return self._run(lambda cursor: _calls_of_trace(cursor, trace_id, owner))

    def remaining(self, window: Window, after: CallKey | None) -> int:
        """Return how many calls of the window are behind ``after``."""
        return self._run(lambda cursor: _remaining(cursor, window, after))


_EMPTY: Final = pa.table({})
_OF_TRACES: Final = "(SELECT DISTINCT owner, trace_id FROM calls)"
_TEXTS: Final = f"""
    SELECT t.owner, t.trace_id, t.span_id, t.start_ns, t.kind, left(t.text, {_MAX_TEXT}) AS text
    FROM {PRIVATE}.span_content t SEMI JOIN {_OF_TRACES} c ON t.owner = c.owner AND t.trace_id = c.trace_id
    WHERE t.start_ns BETWEEN $low AND $high ORDER BY t.start_ns, t.span_id, t.kind LIMIT {_MAX_TEXTS}
"""
_SPANS: Final = f"""
    SELECT s.owner, s.trace_id, s.span_id, s.start_ns, s.attributes
    FROM {PRIVATE}.spans s
    SEMI JOIN (SELECT owner, trace_id, span_id FROM texts UNION SELECT owner, trace_id, span_id FROM calls) c
        ON s.owner = c.owner AND s.trace_id = c.trace_id AND s.span_id = c.span_id
    WHERE s.start_ns BETWEEN $low AND $high
"""
_SCORED: Final = f"""
    SELECT DISTINCT s.owner, s.trace_id, s.span_id, s.evidence
    FROM {PRIVATE}.{schema.SCORES.name} s
    SEMI JOIN calls c ON s.owner = c.owner AND s.trace_id = c.trace_id AND s.span_id = c.span_id
    WHERE s.start_ns BETWEEN $low AND $high AND s.evidence IS NOT NULL
"""
SCORE_KEY: Final[Sequence[str]] = (
    "owner",
    "start_ns",
    "trace_id",
    "span_id",
    "name",
    "scorer_version",
    "calibration_id",
)
"""A score is written once under this; more evidence about the call replaces it, another version stands beside it."""
