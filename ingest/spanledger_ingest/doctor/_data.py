"""The data directory, the database and the journal."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spanledger_analytics.errors import StoreError
from spanledger_ingest.backup import DATABASE
from spanledger_ingest.doctor._finding import Finding, fail, ok, warn
from spanledger_ingest.errors import DataDirError, DataDirInUseError
from spanledger_ingest.journal import DataDirLock, report
from spanledger_ingest.store import Inspection, inspect

_MIB: Final = 1024 * 1024
_LITTLE_SPACE: Final = 1024 * _MIB
_NO_SPACE: Final = 64 * _MIB
"""Where the journal stops to take requests."""
_READ_ALL_BYTES: Final = 1024 * _MIB
_LARGE_BACKLOG: Final = 256 * _MIB


class Directory:
    """The data directory as such."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.process: int | None = None
        """Who uses it."""
        self.is_free = False
        """Whether it is there and nobody uses it."""

    def findings(self) -> Iterator[Finding]:
        """Look at the owner, the rights, the space, and who uses it."""
        if not self._path.is_dir():
            yield warn("data", f"{self._path} is not there", "it is made at the first start; name another with --data")
            return
        yield self._rights()
        yield self._space()
        yield self._use()

    def _rights(self) -> Finding:
        found = self._path.stat()
        if not os.access(self._path, os.R_OK | os.W_OK | os.X_OK):
            mend = f"run as its owner, or give it to this user: chown -R {os.geteuid()} {self._path}"
            return fail("data", f"{self._path} cannot be written to by user {os.geteuid()}", mend)
        if stat.S_IMODE(found.st_mode) & 0o077:
            return warn("data", f"{self._path} can be read by other users", f"chmod 700 {self._path}")
        return ok("data", f"{self._path} belongs to user {found.st_uid}, and to nobody else")

    def _space(self) -> Finding:
        disk = os.statvfs(self._path)
        free = disk.f_bavail * disk.f_frsize
        text = f"{free // _MIB:,} MiB are free"
        mend = "free some, shorten [retention], or run: spanledger compact"
        if free < _NO_SPACE:
            return fail("disk space", text + ": spans are refused", mend)
        return warn("disk space", text, mend) if free < _LITTLE_SPACE else ok("disk space", text)

    def _use(self) -> Finding:
        if not (self._path / "spanledger.lock").exists():
            self.is_free = True
            return ok("use", "no service has used it yet")
        try:
            DataDirLock(self._path).close()
        except DataDirInUseError as error:
            number = re.search(r"by process (\d+)", str(error))
            self.process = int(number[1]) if number else 0
            return ok("use", f"a service runs on it, process {self.process or 'unknown'}")
        except DataDirError as error:
            return fail("use", str(error), "mend its owner and rights")
        self.is_free = True
        return ok("use", "no service runs on it")


class Store:
    """The database and the journal of a service that is stopped."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.newest_ns: int | None = None
        """When the newest span began."""

    def findings(self) -> Iterator[Finding]:
        """Open the database, read it, and read the journal."""
        path, position = self._data / DATABASE, 0
        if path.exists():
            try:
                thorough = path.stat().st_size <= _READ_ALL_BYTES
                found = inspect(path, read_all=thorough)
            except StoreError as error:
                yield fail("store", str(error), "see docs/operations.md, Backup and restore")
                return
            self.newest_ns, position = found.newest_ns, found.journal_position
            yield _store(found, thorough=thorough)
        else:
            yield ok("store", "there is no database yet")
        yield from self._journal(position)

    def _journal(self, position: int) -> Iterator[Finding]:
        try:
            found = report(self._data / "journal", position)
        except DataDirError as error:
            yield fail("journal", str(error), "mend its owner and rights")
            return
        if found.damages:
            text = f"{len(found.damages)} damaged places, the first: {found.damages[0].reason}"
            yield warn("journal", text, "start the service: it keeps all the rest, and a copy of these in quarantine")
        text = f"{found.waiting:,} requests, {found.waiting_bytes // _MIB:,} MiB, wait to be stored"
        if found.waiting_bytes > _LARGE_BACKLOG:
            yield warn("journal", text, "start the service and let it catch up before you stop it again")
        else:
            yield ok("journal", text)


def _store(found: Inspection, *, thorough: bool) -> Finding:
    rows = sum(found.rows.values())
    return ok("store", f"version {found.schema_version}, {rows:,} rows {'read' if thorough else 'counted'}")
