"""One process per data directory."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from spanledger_ingest.errors import DataDirError, DataDirInUseError

_FILE: Final = "spanledger.lock"


class DataDirLock:
    """Holds a data directory for this process until closed or until the process ends, however it ends.

    The directory is made if it is missing.

    Raises:
        DataDirInUseError: another process holds it; the message names it.
        DataDirError: the directory cannot be made or written to.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / _FILE
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            hint = "choose another with --data, or mend its owner and rights"
            raise DataDirError(f"cannot use data directory {str(directory)!r}: {error.strerror}: {hint}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._file, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            hint = "stop it, or choose another with --data"
            raise DataDirInUseError(
                f"data directory {str(directory)!r} is in use by process {owner}: {hint}"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        self._open = True

    def close(self) -> None:
        """Give the directory free. Idempotent."""
        if self._open:
            self._open = False
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
