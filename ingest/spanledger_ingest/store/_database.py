"""One open DuckDB file: locked down, shared by cursors, opened again once if the engine gives up."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from spanledger_analytics import schema
from spanledger_analytics.errors import StoreInUseError, StoreTooNewError, StoreUnavailableError
from spanledger_ingest.store import _ddl
from spanledger_ingest.store._errors import opening_error, translated

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

_FATAL: Final = (duckdb.FatalException, duckdb.InternalException)
_OPEN_PATHS: Final[set[Path]] = set()
_OPEN_PATHS_LOCK: Final = threading.Lock()
_DRAIN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """What DuckDB may use; 0 leaves memory and threads to DuckDB (80 % of the machine, one thread a core)."""

    memory_mib: int = 0
    threads: int = 0
    spill_mib: int = 4096
    checkpoint_mib: int = 128


class Database:
    """A DuckDB file that no SQL can leave: no other files, no network, no extensions, no changed settings.

    :meth:`run` hands out cursors; each sees a snapshot beside the one writer. If DuckDB declares the whole instance
    invalid (a full disk can do that), the file is opened again in process and the work tried once more.
    """

    def __init__(self, path: Path, config: DatabaseConfig) -> None:
        self.path = path
        self._config = config
        self._gate = threading.Condition()
        self._active = 0
        self._generation = 0
        self._reopening = False
        self._connection: duckdb.DuckDBPyConnection | None = None
        _claim(path)
        try:
            self._connection = self._connect()
        except BaseException:
            _release(path)
            raise

    @property
    def reopened(self) -> int:
        """How often the database gave up and was opened again."""
        return self._generation

    def run(self, work: Callable[[duckdb.DuckDBPyConnection], Result], *, retry: bool = True) -> Result:
        """Do ``work`` with a cursor of its own, and again if the database had to be reopened and ``retry`` is set.

        Raises:
            StoreUnavailableError: the database is closed, out of memory or disk, or failed even after it was reopened.
        """
        generation = self._generation
        try:
            return self._attempt(work)
        except _FATAL as error:
            _log.error("the database gave up and is opened again: %s", error)
            self._reopen(generation)
            if not retry:
                raise StoreUnavailableError(f"the database gave up and was reopened: {error}") from error
        try:
            return self._attempt(work)
        except _FATAL as error:
            raise StoreUnavailableError(f"the database failed again after it was reopened: {error}") from error

    def close(self) -> None:
        """Write everything to the file and release it. Idempotent."""
        with self._gate:
            self._wait_until_idle()
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            _release(self.path)

    def _attempt(self, work: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        with self._cursor() as cursor, translated():
            return work(cursor)

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._gate:
            self._gate.wait_for(lambda: not self._reopening)
            if self._connection is None:
                raise StoreUnavailableError("the database is closed")
            cursor = self._connection.cursor()
            self._active += 1
        try:
            yield cursor
        finally:
            cursor.close()
            with self._gate:
                self._active -= 1
                self._gate.notify_all()

    def _reopen(self, generation: int) -> None:
        """Close and open the file, unless another thread did so since ``generation``."""
        with self._gate:
            if self._reopening or self._generation != generation or self._connection is None:
                return
            self._reopening = True
            try:
                self._wait_until_idle()
                self._connection.close()
                self._connection = None
                self._connection = self._connect()
                self._generation += 1
            finally:
                self._reopening = False
                self._gate.notify_all()

    def _wait_until_idle(self) -> None:
        # Queries on a database that gave up fail at once, the others end by their own time limits.
        if not self._gate.wait_for(lambda: self._active == 0, timeout=_DRAIN_SECONDS):
            _log.warning("closing the database under %d running queries", self._active)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(str(self.path), config=_locked_down(self._config))
        except duckdb.Error as error:
            raise opening_error(error, self.path) from error
        try:
            _prepare(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection


def _locked_down(config: DatabaseConfig) -> dict[str, str | bool | int | float | list[str]]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": False,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "max_temp_directory_size": f"{config.spill_mib}MiB",
        "checkpoint_threshold": f"{config.checkpoint_mib}MiB",
    }
    if config.memory_mib:
        settings["memory_limit"] = f"{config.memory_mib}MiB"
    if config.threads:
        settings["threads"] = config.threads
    return settings


def _prepare(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Fix the time zone, lock the settings, bring the tables up to this version."""
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL lock_configuration = true")
    try:
        connection.execute(_ddl.META)
        _check_version(connection, path)
        for table in schema.TABLES:
            connection.execute(_ddl.create_table(table))
            connection.execute(_ddl.create_view(table))
    except duckdb.Error as error:
        raise opening_error(error, path) from error


def _check_version(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    row = connection.execute(f"SELECT schema_version FROM {_ddl.PRIVATE}.meta").fetchone()  # noqa: S608 - a constant
    if row is None:
        connection.execute(f"INSERT INTO {_ddl.PRIVATE}.meta VALUES (?, 0)", [schema.VERSION])  # noqa: S608 - same
    elif row[0] > schema.VERSION:
        raise StoreTooNewError(
            f"{path} has schema version {row[0]}, this spanledger knows {schema.VERSION}: "
            "upgrade spanledger, or choose another data directory"
        )


def _claim(path: Path) -> None:
    # DuckDB would share one instance between two stores of one process; two writers must not meet there.
    with _OPEN_PATHS_LOCK:
        if path.resolve() in _OPEN_PATHS:
            raise StoreInUseError(f"{path} is already open in this process")
        _OPEN_PATHS.add(path.resolve())


def _release(path: Path) -> None:
    with _OPEN_PATHS_LOCK:
        _OPEN_PATHS.discard(path.resolve())
