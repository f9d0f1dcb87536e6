"""DuckDB's exceptions in our words, with what to do about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from spanledger_analytics.errors import (
    StoreDamagedError,
    StoreError,
    StoreInUseError,
    StoreUnavailableError,
    StoreUnreadableError,
)

_IN_USE: Final = ("Could not set lock", "different configuration than existing", "Unique file handle conflict")
_UNREADABLE: Final = ("Permission denied", "Cannot open file", "Is a directory", "Read-only file system")
_NO_ROOM: Final = ("No space left", "File too large", "Out of Memory", "Disk quota exceeded")
_NEWER: Final = ("version number", "newer version of DuckDB")


def opening_error(error: duckdb.Error, path: Path) -> StoreError:
    """Say why a database file could not be opened."""
    text = str(error).strip().splitlines()[0]
    if any(sign in text for sign in _IN_USE):
        return StoreInUseError(
            f"{path} is in use by another process: stop the other spanledger, or choose another data directory ({text})"
        )
    if any(sign in text for sign in _UNREADABLE):
        return StoreUnreadableError(f"{path} cannot be opened: check that it exists and who owns it ({text})")
    if any(sign in text for sign in _NEWER):
        return StoreDamagedError(f"{path} was written by another release of DuckDB: install that one ({text})")
    if isinstance(error, duckdb.OperationalError) and any(sign in text for sign in _NO_ROOM):
        return StoreUnavailableError(f"{path} cannot be opened now: free some space or memory ({text})")
    return StoreDamagedError(
        f"{path} is not a sound database: move it and {path.name}.wal away and restore a backup, "
        f"or start with an empty directory ({text})"
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raise DuckDB's failures under our names; what is our own mistake passes as it is."""
    try:
        yield
    except duckdb.FatalException:
        raise
    except duckdb.OperationalError as error:  # disk, memory, or a commit that could not be written to the log
        text = str(error).strip().splitlines()[0]
        raise StoreUnavailableError(f"the database could not do it now; nothing was changed ({text})") from error
