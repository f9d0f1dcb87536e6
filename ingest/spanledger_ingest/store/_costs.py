"""Reading and replacing what stored calls cost, without touching who is billed."""
# ruff: noqa: S608 - identifiers come from the schema module

from typing import Final

import duckdb
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.queries import Window
from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._changes import Revisions, note, places
from spanledger_ingest.store._ddl import PRIVATE
from spanledger_ingest.store._transaction import transaction

_CALLS: Final = f"{PRIVATE}.llm_calls"
KEY: Final = ("start_ns", "owner", "trace_id", "span_id")
COST: Final = ("cost_usd", "cost_status", "price_id")
UNCHANGED: Final = ("end_ns", "billable", *schema.USAGE_TOKENS)
"""What a cost rests on: if any of it changed since it was read, the cost is not replaced."""

After = tuple[int, str, str, str]
"""The key of the last row of a page."""


def page(cursor: duckdb.DuckDBPyConnection, window: Window, after: After | None, limit: int) -> pa.Table:
    """Return billable calls in the order of their keys, from the one behind ``after`` on."""
    names = ", ".join((*KEY, *COST, *UNCHANGED, "response_id", "model"))
    where, values = _where(window, after)
    sql = f"SELECT {names} FROM {_CALLS} WHERE billable AND {where} ORDER BY {', '.join(KEY)} LIMIT {limit}"
    return fetch(cursor, sql, values)


def remaining(cursor: duckdb.DuckDBPyConnection, window: Window, after: After | None) -> int:
    """Return how many calls are behind ``after``."""
    where, values = _where(window, after)
    return int(cursor.execute(f"SELECT count(*) FROM {_CALLS} WHERE billable AND {where}", values).fetchall()[0][0])


def _where(window: Window, after: After | None) -> tuple[str, dict[str, int | str]]:
    values: dict[str, int | str] = {"low": window.from_ns, "high": window.to_ns}
    if after is None:
        return "start_ns >= $low AND start_ns < $high", values
    behind = f"start_ns >= $a0 AND start_ns < $high AND row({', '.join(KEY)}) > row($a0, $a1, $a2, $a3)"
    start, owner, trace_id, span_id = after
    return behind, {"high": window.to_ns, "a0": start, "a1": owner, "a2": trace_id, "a3": span_id}


def replace(cursor: duckdb.DuckDBPyConnection, changes: pa.Table, revisions: Revisions) -> int:
    """Set ``new_cost_usd``, ``new_cost_status`` and ``new_price_id`` where a row is still as it was read.

    Returns:
        how many rows were.
    """
    same = " AND ".join(f"c.{name} = n.{name}" for name in KEY)
    still = " AND ".join(f"c.{name} IS NOT DISTINCT FROM n.{name}" for name in (*COST, *UNCHANGED))
    new = ", ".join(f"{name} = n.new_{name}" for name in COST)
    with registered(cursor, "changes", changes), transaction(cursor):
        note(cursor, revisions.next(cursor), places(changes))
        row = cursor.execute(
            f"UPDATE {_CALLS} AS c SET {new} FROM changes n WHERE {same} AND {still} AND c.start_ns BETWEEN "
            "(SELECT min(start_ns) FROM changes) AND (SELECT max(start_ns) FROM changes)"
        ).fetchall()[0]
    return int(row[0])
