"""Arrow in and out of a DuckDB cursor."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa


def fetch(cursor: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any] | None = None) -> pa.Table:
    """Return all rows of a query."""
    table: pa.Table = cursor.sql(sql, params=dict(values) if values else None).to_arrow_table()
    return table


@contextmanager
def registered(cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[None]:
    """Show an Arrow table to this cursor alone."""
    cursor.register(name, table)
    try:
        yield
    finally:
        cursor.unregister(name)
