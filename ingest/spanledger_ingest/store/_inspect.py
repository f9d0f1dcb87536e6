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
    """What a database file says of itself; every row of it was read."""

    schema_version: int
    journal_position: int
    rows: Mapping[str, int]
    """By table."""
    free_bytes: int


def inspect(path: Path) -> Inspection:
    """Read all of a database file.

    Raises:
        StoreError: it cannot be opened, or some of it cannot be read; the message says why and what to do.
    """
    try:
        with duckdb.connect(str(path), read_only=True, config={"enable_external_access": False}) as connection:
            version, position = connection.execute(f"SELECT * FROM {PRIVATE}.meta").fetchall()[0]
            tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
            rows = {name: _read(connection, name) for name in tables}
            block, free = connection.execute("SELECT block_size, free_blocks FROM pragma_database_size()").fetchall()[0]
    except (duckdb.Error, IndexError, UnicodeDecodeError) as error:
        known = error if isinstance(error, duckdb.Error) else duckdb.Error(f"no Spanledger database: {error}")
        raise opening_error(known, path) from error
    return Inspection(int(version), int(position), rows, int(block * free))


_TABLES = (
    f"SELECT table_name FROM duckdb_tables() WHERE schema_name = '{PRIVATE}' "
    f"AND table_name IN ({', '.join(repr(table.name) for table in schema.TABLES)}) ORDER BY table_name"
)


def _read(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Count the rows of a table, having read every value of them: a damaged block does not show before."""
    sql = f"SELECT count(*), max(hash(t)) FROM {PRIVATE}.{quoted(table)} t"
    return int(connection.execute(sql).fetchall()[0][0])
