"""What billable calls cost, summed for the ledger of budgets."""
# ruff: noqa: S608 - identifiers are constants

from collections.abc import Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa

from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._ddl import PRIVATE

MINUTE_NS: Final = 60 * 10**9
NAMES: Final = {
    "tenant": "tenant_id",
    "model": "model",
    "provider": "provider",
    "use_case": "use_case",
    "service": "service_name",
    "environment": "environment",
}
"""Dimension of a budget -> column."""

_CALLS: Final = f"{PRIVATE}.llm_calls"
_DIMENSIONS: Final = ", ".join(f"c.{column} AS {name}" for name, column in NAMES.items())
# A call that failed and has no price cost nothing that is known of; one that was answered cost something.
_SUMS: Final = (
    "sum(c.cost_usd) AS cost_usd, count(*) AS calls,"
    " count(*) FILTER (c.status = 'ok' AND c.cost_usd IS NULL) AS unpriced"
)


def of_minutes(cursor: duckdb.DuckDBPyConnection, minutes: pa.Table) -> pa.Table:
    """Return the sums of the minutes (``owner``, ``minute_ns``) by their dimensions."""
    with registered(cursor, "minutes", minutes):
        low, high = "(SELECT min(minute_ns) FROM minutes)", f"(SELECT max(minute_ns) + {MINUTE_NS} FROM minutes)"
        start = f"c.start_ns // {MINUTE_NS} * {MINUTE_NS}"
        return _sums(
            cursor,
            start,
            f"JOIN minutes m ON m.owner = c.owner AND m.minute_ns = {start}"
            f" WHERE c.billable AND c.start_ns >= {low} AND c.start_ns < {high}",
        )


def between(cursor: duckdb.DuckDBPyConnection, from_ns: int, to_ns: int, grain_ns: int) -> pa.Table:
    """Return the sums of the stretches of ``grain_ns`` between two times by their dimensions."""
    start = f"c.start_ns // {int(grain_ns)} * {int(grain_ns)}"
    where = "WHERE c.billable AND c.start_ns >= $low AND c.start_ns < $high"
    return _sums(cursor, start, where, {"low": from_ns, "high": to_ns})


def _sums(
    cursor: duckdb.DuckDBPyConnection, start: str, rest: str, values: Mapping[str, Any] | None = None
) -> pa.Table:
    return fetch(
        cursor,
        f"SELECT c.owner, {start} AS start_ns, {_DIMENSIONS}, {_SUMS} FROM {_CALLS} c {rest} GROUP BY ALL",
        values,
    )


def names(cursor: duckdb.DuckDBPyConnection, owner: str | None) -> dict[str, set[str]]:
    """Return the names that calls have, of an owner or of all, by dimension."""
    where, values = ("", []) if owner is None else (" WHERE owner = ?", [owner])
    return {
        name: {
            str(row[0])
            for row in cursor.execute(f"SELECT DISTINCT {column} FROM {_CALLS}{where}", values).fetchall()
            if row[0]
        }
        for name, column in NAMES.items()
    }


def pairs(cursor: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    """Return the models and providers that calls have together."""
    found = cursor.execute(f"SELECT DISTINCT model, provider FROM {_CALLS}").fetchall()
    return {(str(model), str(provider)) for model, provider in found if model and provider}
