"""One open DuckDB file: locked down, shared by cursors, opened again once if the engine gives up."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from spanledger_analytics import schema
from spanledger_analytics.errors import StoreInUseError, StoreReopenedError, StoreUnavailableError
from spanledger_ingest.store import _ddl
from spanledger_ingest.store._copy import sync
from spanledger_ingest.store._errors import opening_error, translated
from spanledger_ingest.store._migrations import migrate
from spanledger_ingest.store._wal import is_log_damage, log_files, log_set_aside

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
    quarantine: Path | None = None
    """Where to put a log that cannot be replayed, so that the database opens as of its last checkpoint. Only for those
    who have what came after it elsewhere; without it such a database is not opened."""


class Database:
    """A DuckDB file that no SQL can leave: no other files, no network, no extensions, no changed settings.

    The one exception is the directory :attr:`copies` beside it, which is emptied when the database is opened.

    :meth:`run` hands out cursors; each sees a snapshot beside the one writer. If DuckDB declares the whole instance
    invalid (a full disk can do that), the file is opened again in process and the work tried once more.
    """

    def __init__(self, path: Path, config: DatabaseConfig) -> None:
        self.path = path
        self.copies = path.resolve().with_name(path.name + ".copies")
        self._config = config
        self._gate = threading.Condition()
        self._active = 0
        self._generation = 0
        self._closed = False
        self.quarantined = 0
        """How many logs could not be replayed and were set aside."""
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

    def run(
        self, work: Callable[[duckdb.DuckDBPyConnection], Result], *, retry: bool = True, opening: int | None = None
    ) -> Result:
        """Do ``work`` with a cursor of its own, and again if the database had to be reopened and ``retry`` is set.

        Raises:
            StoreUnavailableError: the database is closed, out of memory or disk, or failed even after it was reopened.
            StoreReopenedError: ``opening`` is given and :attr:`reopened` is another one by now; nothing was done.
        """
        self._ensure_open()
        generation = self._generation
        try:
            return self._attempt(work, opening)
        except _FATAL as error:
            _log.error("the database gave up and is opened again: %s", error)
            self._reopen(generation)
            if not retry:
                raise StoreUnavailableError(f"the database gave up and was reopened: {error}") from error
        try:
            return self._attempt(work)
        except _FATAL as error:
            raise StoreUnavailableError(f"the database failed again after it was reopened: {error}") from error

    def replace_file(self, new: Path) -> None:
        """Put another database file in the place of this one, between two pieces of work.

        The caller makes sure that nothing was written since ``new`` was copied.

        Raises:
            StoreUnavailableError: queries did not end in time, or the log could not be merged; nothing was changed.
        """
        with self._gate:
            if self._reopening or self._connection is None:
                raise StoreUnavailableError("the database is closed or being opened again")
            self._reopening = True
            try:
                if not self._wait_until_idle():
                    raise StoreUnavailableError("the file cannot be replaced now: queries are running on it")
                self._connection.close()
                self._connection = None
                try:
                    self._move_in(new)
                finally:
                    self._connection = self._connect()
            finally:
                self._reopening = False
                self._gate.notify_all()

    def _move_in(self, new: Path) -> None:
        # A log that outlived the close would be applied to the wrong file.
        if log_files(self.path):
            raise StoreUnavailableError("the database could not merge its log; is the disk full?")
        new.replace(self.path)
        sync(self.path.parent)

    def close(self) -> None:
        """Write everything to the file and release it. Idempotent."""
        with self._gate:
            self._wait_until_idle()
            if self._closed:
                return
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        _release(self.path)

    def _attempt(self, work: Callable[[duckdb.DuckDBPyConnection], Result], opening: int | None = None) -> Result:
        with self._cursor(opening) as cursor, translated():
            return work(cursor)

    @contextmanager
    def _cursor(self, opening: int | None) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._gate:
            self._gate.wait_for(lambda: not self._reopening)
            if opening not in {None, self._generation}:
                raise StoreReopenedError("the database was opened again and may be older than it was")
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

    def _ensure_open(self) -> None:
        """Try again if the file could not be opened when the database gave up, on a full disk for instance."""
        with self._gate:
            self._gate.wait_for(lambda: not self._reopening)
            lost, generation = self._connection is None and not self._closed, self._generation
        if lost:
            self._reopen(generation)

    def _reopen(self, generation: int) -> None:
        """Close and open the file, unless another thread did so since ``generation``."""
        with self._gate:
            if self._reopening or self._generation != generation or self._closed:
                return
            self._reopening = True
            try:
                self._wait_until_idle()
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                self._connection = self._connect()
                self._generation += 1
            finally:
                self._reopening = False
                self._gate.notify_all()

    def _wait_until_idle(self) -> bool:
        # Queries on a database that gave up fail at once, the others end by their own time limits.
        idle = self._gate.wait_for(lambda: self._active == 0, timeout=_DRAIN_SECONDS)
        if not idle:
            _log.warning("waited in vain for %d running queries to end", self._active)
        return idle

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(str(self.path), config=_limits(self._config))
        except duckdb.Error as error:
            if self._config.quarantine is None or not is_log_damage(error):
                raise opening_error(error, self.path) from error
            connection = self._connect_without_log(error, self._config.quarantine)
        try:
            _lock_down(connection, self.copies)
            _prepare(connection, self.path, self.copies)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_without_log(self, error: duckdb.Error, quarantine: Path) -> duckdb.DuckDBPyConnection:
        _log.error("%s", str(error).splitlines()[0])
        try:
            with log_set_aside(self.path, quarantine):
                connection = duckdb.connect(str(self.path), config=_limits(self._config))
        except (duckdb.Error, OSError) as second:
            raise opening_error(error, self.path) from second
        self.quarantined += 1
        return connection


def _limits(config: DatabaseConfig) -> dict[str, str | bool | int | float | list[str]]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "max_temp_directory_size": f"{config.spill_mib}MiB",
        # DuckDB would checkpoint as a part of some commit: if that fails, all of the database is invalid although the
        # commit is durable. DuckDBStore.checkpoint does it where it fits.
        "checkpoint_threshold": "1TiB",
    }
    if config.memory_mib:
        settings["memory_limit"] = f"{config.memory_mib}MiB"
    if config.threads:
        settings["threads"] = config.threads
    return settings


def _lock_down(connection: duckdb.DuckDBPyConnection, copies: Path) -> None:
    """Fix the time zone, keep SQL from files outside ``copies``, which is emptied, and lock the settings."""
    shutil.rmtree(copies, ignore_errors=True)
    escaped = str(copies).replace("'", "''")
    connection.execute(f"SET GLOBAL allowed_directories = ['{escaped}']")
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL lock_configuration = true")


def _prepare(connection: duckdb.DuckDBPyConnection, path: Path, copies: Path) -> None:
    """Bring the tables up to this version."""
    try:
        connection.execute(_ddl.META)
        migrate(connection, path, copies)
        connection.execute(_ddl.HELPERS)
        for table in schema.TABLES:
            connection.execute(_ddl.create_table(table))
            connection.execute(_ddl.create_view(table))
    except duckdb.Error as error:
        # A full disk takes no change, but what is there can be read.
        if not isinstance(error, duckdb.OperationalError) or not _ddl.is_complete(connection):
            raise opening_error(error, path) from error
        _log.error("the tables and views are left as they are: %s", str(error).splitlines()[0])


def _claim(path: Path) -> None:
    # DuckDB would share one instance between two stores of one process; two writers must not meet there.
    with _OPEN_PATHS_LOCK:
        if path.resolve() in _OPEN_PATHS:
            raise StoreInUseError(f"{path} is already open in this process")
        _OPEN_PATHS.add(path.resolve())


def _release(path: Path) -> None:
    with _OPEN_PATHS_LOCK:
        _OPEN_PATHS.discard(path.resolve())
