"""Looking into a database file that nobody has open, without changing it."""
# ruff: noqa: S608 - identifiers come from the schema module

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from spanledger_analytics import schema
from spanledger_ingest.store._ddl import PRIVATE, quoted
from spanledger_ingest.store._errors import opening_error


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a database file says of itself."""

    schema_version: int
    journal_position: int
    rows: Mapping[str, int]
    """By table."""
    newest_ns: int | None
    """When the newest span began."""


def inspect(path: Path, *, read_all: bool = True) -> Inspection:
    """Look into a database file; with ``read_all`` at every value, since a damaged block does not show before.

    Raises:
        StoreError: it cannot be opened, or some of it cannot be read; the message says why and what to do.
    """
    try:
        with duckdb.connect(str(path), read_only=True, config={"enable_external_access": False}) as connection:
            version, position = connection.execute(f"SELECT * FROM {PRIVATE}.meta").fetchall()[0]
            tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
            rows = {name: _rows(connection, name, read_all=read_all) for name in tables}
            newest = connection.execute(f"SELECT max(start_ns) FROM {PRIVATE}.spans").fetchall()[0][0]
    except (duckdb.Error, IndexError, UnicodeDecodeError) as error:
        known = error if isinstance(error, duckdb.Error) else duckdb.Error(f"no Spanledger database: {error}")
        raise opening_error(known, path) from error
    return Inspection(int(version), int(position), rows, newest)


_TABLES = (
    f"SELECT table_name FROM duckdb_tables() WHERE schema_name = '{PRIVATE}' "
    f"AND table_name IN ({', '.join(repr(table.name) for table in schema.TABLES)}) ORDER BY table_name"
)


def _rows(connection: duckdb.DuckDBPyConnection, table: str, *, read_all: bool) -> int:
    values = ", max(hash(t))" if read_all else ""
    return int(connection.execute(f"SELECT count(*){values} FROM {PRIVATE}.{quoted(table)} t").fetchall()[0][0])
