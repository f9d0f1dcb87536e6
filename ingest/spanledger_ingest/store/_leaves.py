"""What the detector reads: calls to add up, and its own findings."""
# ruff: noqa: S608 - identifiers come from the schema module

from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.queries import Window
from spanledger_ingest.store._arrow import fetch
from spanledger_ingest.store._ddl import PRIVATE, columns

_CALLS: Final = f"{PRIVATE}.llm_calls"
_ANOMALIES: Final = f"{PRIVATE}.{schema.ANOMALIES.name}"
_COPIED: Final = (
    *("start_ns", "status", "trace_id", "parent_span_id", "duration_ms", "ttft_ms"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
)
_NAMES: Final = (
    *("owner", "tenant_id", "model", "provider", "use_case", "region", "user_id", "error_type", "finish_reason"),
    *("response_model", "prompt_name", "prompt_version"),
)
_NANO: Final = "(cost_usd::DECIMAL(38, 9) * 1000000000)::BIGINT AS cost_nano"  # DECIMAL(18) overflows at 1 USD


def calls(cursor: duckdb.DuckDBPyConnection, window: Window) -> pa.Table:
    """Return the billable calls of a window with what :func:`spanledger_analytics.detect.cells_of` reads."""
    names = ", ".join(f"coalesce({name}, '') AS {name}" for name in _NAMES)
    sql = f"""
        SELECT {", ".join(_COPIED)}, {names}, {_NANO} FROM {_CALLS}
        WHERE billable AND start_ns >= $from_ns AND start_ns < $to_ns
    """
    return fetch(cursor, sql, {"from_ns": window.from_ns, "to_ns": window.to_ns})


def bounds(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int] | None:
    """Return the start of the first and of the last billable call, ns."""
    row = cursor.execute(f"SELECT min(start_ns), max(start_ns) FROM {_CALLS} WHERE billable").fetchall()[0]
    return None if row[0] is None else (int(row[0]), int(row[1]))


def open_anomalies(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the findings that have not ended, all columns."""
    shape = schema.ANOMALIES.arrow
    return fetch(cursor, f"SELECT {columns(shape)} FROM {_ANOMALIES} WHERE ended IS NULL", {}).cast(shape)


def is_heard(cursor: duckdb.DuckDBPyConnection, owner: str, tenant: str | None, window: Window) -> bool:
    """Tell whether any span of a tenant (or of the owner) is from this window: its exporter lives."""
    values: dict[str, Any] = {"owner": owner, "from_ns": window.from_ns, "to_ns": window.to_ns}
    mine = "owner = $owner"
    if tenant is not None:
        mine += " AND tenant_id = $tenant"
        values["tenant"] = tenant
    sql = f"SELECT 1 FROM {PRIVATE}.spans WHERE start_ns >= $from_ns AND start_ns < $to_ns AND {mine} LIMIT 1"
    return bool(cursor.execute(sql, values).fetchall())


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyFilter:
    """Which findings: equality where not ``None``."""

    window: Window
    owner: str | None = None
    tenant: str | None = None
    kind: str | None = None
    severity: str | None = None
    is_open: bool | None = None


AnomalyPlace = tuple[int, str]
"""Where a page of findings ended: microseconds of its start, and id."""


def anomalies(
    cursor: duckdb.DuckDBPyConnection, wanted: AnomalyFilter, after: AnomalyPlace | None, limit: int
) -> pa.Table:
    """Return findings that were going on in the window, the latest start first."""
    values: dict[str, Any] = {"from_us": wanted.window.from_ns // 1000, "to_us": wanted.window.to_ns // 1000}
    conditions = [
        "started < make_timestamptz($to_us)",
        "(ended IS NULL OR ended >= make_timestamptz($from_us))",
    ]
    for column, value in (
        ("owner", wanted.owner),
        ("tenant_id", wanted.tenant),
        ("kind", wanted.kind),
        ("severity", wanted.severity),
    ):
        if value is not None:
            conditions.append(f"{column} = ${column}")
            values[column] = value
    if wanted.is_open is not None:
        conditions.append(f"ended IS {'' if wanted.is_open else 'NOT '}NULL")
    if after is not None:
        values |= {"a_us": after[0], "a_id": after[1]}
        conditions.append("(started < make_timestamptz($a_us) OR started = make_timestamptz($a_us) AND id > $a_id)")
    sql = f"""
        SELECT {columns(schema.ANOMALIES.view)} FROM {_ANOMALIES} WHERE {" AND ".join(conditions)}
        ORDER BY started DESC, id LIMIT {limit}
    """
    return fetch(cursor, sql, values)
