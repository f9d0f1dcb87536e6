"""Copies of ``state.db`` for backups."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from spanledger_ingest.auth._errors import StateError
from spanledger_ingest.auth._state import FILE


def copy_state(directory: Path, target: Path) -> None:
    """Write a copy of the state in a data directory as it is at one moment, beside whoever uses it.

    Sessions of browsers are not in it. Neither is the pepper: nobody gets in with the copy alone.

    Args:
        directory: the data directory.
        target: a file that does not exist.

    Raises:
        StateError: it cannot be read, or not be written.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        source = f"{(directory / FILE).resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(source, uri=True)) as state, closing(sqlite3.connect(target)) as copy:
            state.backup(copy)
            copy.execute("PRAGMA secure_delete = ON")
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("DELETE FROM sessions")
            copy.commit()
            copy.execute("VACUUM")
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise StateError(f"cannot copy {directory / FILE}: {error}") from error


def check_state(file: Path) -> None:
    """Read all of a copy.

    Raises:
        StateError: it is not a sound state database.
    """
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as copy:
            ((found,),) = copy.execute("PRAGMA quick_check(1)").fetchall()
            copy.execute("SELECT 1 FROM keys LIMIT 1")
    except sqlite3.Error as error:
        raise StateError(f"{file} is no sound state: {error}") from error
    if found != "ok":
        raise StateError(f"{file} is damaged: {found}")
