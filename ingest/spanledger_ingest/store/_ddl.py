"""DDL of the DuckDB adapter, derived from the schema module.

Real tables live in the schema ``priv``, the public views in ``ledger``; neither is on the search path, so that an
unqualified name in a user's SQL can reach nothing but what the SQL guard puts there. There are no indexes and no keys:
DuckDB's are its fragile part, and identity is kept by the writer.
"""
# ruff: noqa: S608 - identifiers come from the schema module

from typing import Final

import duckdb
import pyarrow as pa

from spanledger_analytics import schema

PRIVATE: Final = "priv"
VIEWS: Final = "ledger"
LINKS: Final = "span_links"
"""Private: parents of spans that expired before the calls of their trace."""
JOBS: Final = "jobs"
"""Private: when each periodic job ran last, and how far it came."""
CHANGES: Final = "changes"
"""Private: the minutes of calls that each transaction touched."""
FEED: Final = "feed"
"""Private: up to which revision ``changes`` was pruned."""

_SQL_TYPES: Final = {
    schema.TEXT: "VARCHAR",
    schema.COUNT: "BIGINT",
    schema.REAL: "DOUBLE",
    schema.FLAG: "BOOLEAN",
    schema.TIME: "TIMESTAMPTZ",
    schema.MONEY: "DECIMAL(18, 9)",
    schema.TEXTS: "VARCHAR[]",
}

META: Final = f"""
    CREATE SCHEMA IF NOT EXISTS {PRIVATE};
    CREATE SCHEMA IF NOT EXISTS {VIEWS};
    CREATE TABLE IF NOT EXISTS {PRIVATE}.meta (schema_version BIGINT, journal_position BIGINT);
"""

HELPERS: Final = f"""
    CREATE TABLE IF NOT EXISTS {PRIVATE}.{LINKS} (
        owner VARCHAR, start_ns BIGINT, tenant_id VARCHAR, trace_id VARCHAR, span_id VARCHAR, parent_span_id VARCHAR);
    CREATE TABLE IF NOT EXISTS {PRIVATE}.{JOBS} (name VARCHAR, finished_ns BIGINT, watermark VARCHAR);
    CREATE TABLE IF NOT EXISTS {PRIVATE}.{CHANGES} (revision BIGINT, owner VARCHAR, minute_ns BIGINT);
    CREATE TABLE IF NOT EXISTS {PRIVATE}.{FEED} (floor BIGINT);
"""


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def columns(shape: pa.Schema, prefix: str = "") -> str:
    """Return the column list of a SELECT."""
    return ", ".join(prefix + quoted(name) for name in shape.names)


def create_table(table: schema.Table) -> str:
    """Return the statement that creates a table where it is missing."""
    types = ", ".join(f"{quoted(column.name)} {_SQL_TYPES[column.type]}" for column in table.columns)
    return f"CREATE TABLE IF NOT EXISTS {PRIVATE}.{quoted(table.name)} ({types})"


def create_view(table: schema.Table) -> str:
    """Return the statement that creates the view of the public columns."""
    shown = columns(table.view) if table.scoped else "*"
    return f"CREATE OR REPLACE VIEW {VIEWS}.{quoted(table.name)} AS SELECT {shown} FROM {PRIVATE}.{quoted(table.name)}"


def is_complete(connection: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether every table and view exists."""
    found = connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
    names = [table.name for table in schema.TABLES]
    private = [(PRIVATE, name) for name in (*names, LINKS, JOBS, CHANGES, FEED, "meta")]
    return not {*private, *((VIEWS, name) for name in names)} - set(found)
