"""Copying the database into another file: a snapshot beside the writer, and what gives disk space back.

DuckDB reuses the blocks of deleted rows but neither clears them nor, as a rule, shortens its file; CHECKPOINT and
VACUUM change nothing about that. A copy has the live rows only.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb

from spanledger_analytics.errors import StoreUnavailableError
from spanledger_ingest.store._transaction import transaction

_NAME: Final = "copied"


def copy_into(cursor: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write a snapshot of the database to a new file and wait until it is on the disk.

    ``target`` must be where the locked-down database may write, see ``Database.copies``.
    """
    source = cursor.execute("SELECT current_database()").fetchall()[0][0]
    escaped = str(target).replace("'", "''")
    cursor.execute(f"ATTACH '{escaped}' AS {_NAME}")
    try:
        with transaction(cursor):
            cursor.execute(f'COPY FROM DATABASE "{source}" TO {_NAME}')
        cursor.execute(f"CHECKPOINT {_NAME}")
    finally:
        # A copy that failed for want of space cannot be detached cleanly either; the first error is the one to tell.
        with suppress(duckdb.Error):
            cursor.execute(f"DETACH {_NAME}")
    sync(target)


def check_space(database: Path, unused: int) -> None:
    """Refuse to begin a copy that would fill the disk of the database, of which ``unused`` bytes are free inside.

    Raises:
        StoreUnavailableError: a copy might not fit.
    """
    log = database.with_name(database.name + ".wal")
    needed = sum(path.stat().st_size for path in (database, log) if path.exists()) - unused
    free = shutil.disk_usage(database.parent).free
    if needed > free:
        raise StoreUnavailableError(f"a copy needs {needed >> 20} MiB, and {database.parent} has {free >> 20} MiB left")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_inside(cursor: duckdb.DuckDBPyConnection) -> int:
    """Return the bytes of the database file that are free for new rows."""
    block, free = cursor.execute(
        "SELECT block_size, free_blocks FROM pragma_database_size() WHERE database_name = current_database()"
    ).fetchall()[0]
    return int(block * free)
