"""``state.db``: what the service must know beside the telemetry. SQLite, shared by the service and the command line."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from spanledger_alerts import admission_tables, alert_tables, budget_tables, delivery_tables
from spanledger_analytics.quality import judge_tables
from spanledger_analytics.quality import tables as calibration_tables
from spanledger_ingest.auth import _session_tables
from spanledger_ingest.auth._errors import StateError
from spanledger_ingest.detection import _schema as detector_tables

FILE: Final = "state.db"
_BUSY_SECONDS: Final = 5.0

_MIGRATIONS: Final = (
    """
    CREATE TABLE keys (
        id TEXT PRIMARY KEY, hash BLOB NOT NULL, name TEXT NOT NULL, tenants TEXT NOT NULL, role TEXT NOT NULL,
        scopes TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER, revoked INTEGER, last_used INTEGER,
        rotated_from TEXT REFERENCES keys (id)
    ) STRICT;
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, actor TEXT NOT NULL, tenant TEXT NOT NULL,
        action TEXT NOT NULL, detail TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT;
    CREATE TABLE quota_use (
        tenant TEXT NOT NULL, day INTEGER NOT NULL, items INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (tenant, day)
    ) STRICT;
    """,
    "ALTER TABLE keys ADD COLUMN scram BLOB",
    _session_tables.TABLES,
    alert_tables.TABLES,
    budget_tables.TABLES,
    delivery_tables.TABLES,
    detector_tables.TABLES,
    calibration_tables.TABLES,
    admission_tables.TABLES,
    judge_tables.TABLES,
)
"""One script for each version; ``PRAGMA user_version`` tells how many were run. Times are seconds since the epoch."""

Row: TypeAlias = tuple[Any, ...]


class StateDb:
    """The database file, for any thread.

    Args:
        directory: the data directory; it is made if it is missing.

    Raises:
        StateError: the file cannot be used; the message says why and what to do.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.RLock()
        path = directory / FILE
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_private(path)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"cannot use {path}: {error}: mend its owner and rights") from error
        try:
            self._prepare(path)
        except sqlite3.Error as error:
            self._connection.close()
            raise StateError(f"cannot use {path}: {error}: restore it from a backup") from error
        except StateError:
            self._connection.close()
            raise

    def _prepare(self, path: Path) -> None:
        for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            self._connection.execute(f"PRAGMA {setting}")
        self._migrate(path)

    def _migrate(self, path: Path) -> None:
        if self._version() == len(_MIGRATIONS):
            return
        with self.transaction():
            version = self._version()
            if version > len(_MIGRATIONS):
                raise StateError(f"{path} was written by a newer Spanledger: install that version or a later one")
            for number, script in enumerate(_MIGRATIONS[version:], version + 1):
                for statement in filter(str.strip, script.split(";")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all of what is executed inside, or nothing. One inside another is a part of it.

        Raises:
            StateError: the disk refuses, or another process holds the file for long.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._connection.rollback()
                    raise
                self._connection.commit()
            except sqlite3.Error as error:
                raise StateError(f"cannot write {self.directory / FILE}: {error}") from error

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and return its rows.

        Raises:
            StateError: the file cannot be read or written.
        """
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise StateError(f"cannot use {self.directory / FILE}: {error}") from error

    def data_version(self) -> int:
        """Return a number that is another one after some other process, or connection, has written."""
        return int(self.execute("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Release the file. Idempotent."""
        with self._lock:
            self._connection.close()


def _make_private(path: Path) -> None:
    """Create the file, for its owner alone; SQLite gives the files beside it (WAL, shared memory) the same rights.

    One that is there is not opened: to close it again would take away the locks that this process has on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError("it may not be read and written") from None
