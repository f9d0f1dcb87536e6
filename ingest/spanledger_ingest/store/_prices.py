"""The price book as it was used, append-only."""
# ruff: noqa: S608 - identifiers come from the schema module and the price book, and are quoted

import duckdb
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_ingest.store._arrow import registered
from spanledger_ingest.store._ddl import PRIVATE, columns, create_view, quoted
from spanledger_ingest.store._transaction import transaction


def save(cursor: duckdb.DuckDBPyConnection, prices: pa.Table) -> int:
    """Insert prices with a new ``price_id``, widening the table where they bring new columns."""
    with registered(cursor, "incoming", prices), transaction(cursor):
        _add_columns(cursor)
        names = columns(prices.schema)
        row = cursor.execute(
            f"INSERT INTO {PRIVATE}.prices ({names}) SELECT DISTINCT ON (price_id) {names} FROM incoming "
            f"WHERE price_id IS NOT NULL AND price_id NOT IN (SELECT price_id FROM {PRIVATE}.prices)"
        ).fetchone()
    return 0 if row is None else int(row[0])


def _add_columns(cursor: duckdb.DuckDBPyConnection) -> None:
    types = "SELECT column_name, column_type FROM (DESCRIBE {})"
    known = {name for name, _ in cursor.execute(types.format(f"{PRIVATE}.prices")).fetchall()}
    added = [pair for pair in cursor.execute(types.format("incoming")).fetchall() if pair[0] not in known]
    for name, type_ in added:
        cursor.execute(f"ALTER TABLE {PRIVATE}.prices ADD COLUMN {quoted(name)} {type_}")
    if added:
        cursor.execute(create_view(schema.PRICES))
