"""Bringing the file of an earlier release up to this one's schema.

New tables and views need no migration: they are made where they are missing. A migration changes what exists, and is
never edited once it was released. The version stays 1 until the first release.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import duckdb

from spanledger_analytics.errors import StoreTooNewError
from spanledger_ingest.store._copy import copy_into, sync
from spanledger_ingest.store._ddl import PRIVATE
from spanledger_ingest.store._transaction import transaction

_log = logging.getLogger(__name__)

Migration: TypeAlias = Callable[[duckdb.DuckDBPyConnection], None]

MIGRATIONS: Final[tuple[Migration, ...]] = ()
"""In order: the first takes version 1 to 2, the second 2 to 3, ... Each runs in a transaction of its own."""

_META: Final = f"{PRIVATE}.meta"


def migrate(connection: duckdb.DuckDBPyConnection, path: Path, copies: Path) -> None:
    """Run the migrations that the file lacks, after a copy of it was put beside it.

    What is interrupted is rolled back to the last finished step; the next start goes on from there.

    Raises:
        StoreTooNewError: a later release wrote the file.
    """
    current = 1 + len(MIGRATIONS)
    version = _stored_version(connection, current)
    if version > current:
        raise StoreTooNewError(
            f"{path} has schema version {version}, this spanledger knows {current}: "
            "upgrade spanledger, choose another data directory, or restore a backup of this version"
        )
    if version < current:
        kept = path.with_name(f"{path.name}.v{version}")
        _log.warning("migrating %s from schema version %d to %d; %s is a copy of it", path, version, current, kept)
        _keep_copy(connection, kept, copies)
    for number, migration in enumerate(MIGRATIONS[version - 1 :], version + 1):
        with transaction(connection):
            migration(connection)
            connection.execute(f"UPDATE {_META} SET schema_version = ?", [number])  # noqa: S608 - a constant


def _stored_version(connection: duckdb.DuckDBPyConnection, current: int) -> int:
    row = connection.execute(f"SELECT schema_version FROM {_META}").fetchone()  # noqa: S608 - a constant
    if row is not None:
        return int(row[0])
    connection.execute(f"INSERT INTO {_META} VALUES (?, 0)", [current])  # noqa: S608 - same
    return current


def _keep_copy(connection: duckdb.DuckDBPyConnection, kept: Path, copies: Path) -> None:
    copies.mkdir(exist_ok=True, mode=0o700)
    copy = copies / kept.name
    copy_into(connection, copy)
    copy.replace(kept)
    sync(kept.parent)
