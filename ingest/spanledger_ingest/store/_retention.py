"""Deleting what is older than it may be kept, a bounded number of rows at a time."""
# ruff: noqa: S608 - identifiers come from the schema module

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from spanledger_analytics import schema
from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._ddl import LINKS, PRIVATE, quoted
from spanledger_ingest.store._transaction import transaction

EXPIRING: Final = {
    table.name: table
    for table in (
        schema.LLM_CALLS,
        schema.SPANS,
        schema.SPAN_CONTENT,
        schema.SCORES,
        schema.LABELS,
        schema.LOGS,
        schema.METRICS,
        schema.REJECTIONS,
    )
}
"""Tables whose rows have a time of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Rows of ``table`` that start before ``before_ns``: of one tenant, or of all tenants but ``exempt``."""

    table: str
    before_ns: int
    tenant: str | None = None
    exempt: Sequence[str] = ()


def expire(cursor: duckdb.DuckDBPyConnection, expiry: Expiry, limit: int) -> int:
    """Delete at most ``limit`` of the rows in one transaction; return how many it were."""
    table = EXPIRING[expiry.table].name
    with transaction(cursor):
        deleted = _delete(cursor, table, expiry, limit)
        if table == schema.LLM_CALLS.name and deleted < limit:
            _delete(cursor, LINKS, expiry, limit)
    return deleted


def _delete(cursor: duckdb.DuckDBPyConnection, table: str, expiry: Expiry, limit: int) -> int:
    where, values = _where(expiry)
    rows = fetch(cursor, f"SELECT rowid AS expired FROM {PRIVATE}.{quoted(table)} WHERE {where} LIMIT {limit}", values)
    if rows.num_rows:
        with registered(cursor, "expired", rows):
            if table == schema.SPANS.name:
                cursor.execute(_KEEP_LINKS)
            cursor.execute(f"DELETE FROM {PRIVATE}.{quoted(table)} WHERE rowid IN (SELECT expired FROM expired)")
    return int(rows.num_rows)


_KEEP_LINKS: Final = f"""
    INSERT INTO {PRIVATE}.{LINKS}
    WITH going AS (
        SELECT s.owner, s.start_ns, s.tenant_id, s.trace_id, s.span_id, s.parent_span_id
        FROM {PRIVATE}.spans s SEMI JOIN expired e ON s.rowid = e.expired WHERE s.parent_span_id IS NOT NULL),
    nested AS (
        SELECT c.owner, c.trace_id FROM {PRIVATE}.llm_calls c
        SEMI JOIN going g ON c.owner = g.owner AND c.trace_id = g.trace_id GROUP BY ALL HAVING count(*) > 1)
    SELECT g.* FROM going g SEMI JOIN nested n ON g.owner = n.owner AND g.trace_id = n.trace_id
"""
"""Calls outlive spans, and which of a trace's calls is billed depends on which lies inside which: who is whose parent
stays known as long as the calls do."""


def _where(expiry: Expiry) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"before": expiry.before_ns}
    if expiry.tenant is not None:
        return "start_ns < $before AND tenant_id = $tenant", values | {"tenant": expiry.tenant}
    if expiry.exempt:
        exempt = "start_ns < $before AND (tenant_id IS NULL OR NOT list_contains($exempt, tenant_id))"
        return exempt, values | {"exempt": list(expiry.exempt)}
    return "start_ns < $before", values
