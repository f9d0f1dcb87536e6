"""All of it or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit at the end, roll back on any exception."""
    cursor.begin()
    try:
        yield
        cursor.commit()
    except BaseException:
        _roll_back(cursor)
        raise


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.rollback()
    except duckdb.Error:
        return  # a database that gave up has nothing left to roll back
