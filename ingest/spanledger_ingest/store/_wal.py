"""DuckDB's write-ahead log: how large it is, when to merge it into the file, and what to do if it cannot be replayed.

Measured with DuckDB 2.0: a log cut short, or with a damaged head, is silently ignored from there on; any other damage
makes the database refuse to open. In both cases the file is as it was at its last checkpoint.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

_log = logging.getLogger(__name__)

_SUFFIXES: Final = (".wal", ".wal.checkpoint", ".wal.recovery")
_DAMAGE: Final = ("replaying WAL", "replaying checkpoint WAL", "Corrupt WAL", "Corrupt Encrypted WAL", "WAL entry type")
_NOT_DAMAGE: Final = ("No space left", "Permission denied", "Out of Memory", "could not allocate")
_MIB: Final = 1024 * 1024
_SPARE: Final = 8 * _MIB


def log_files(path: Path) -> list[Path]:
    """Return the files of the log beside a database."""
    named = (path.with_name(path.name + suffix) for suffix in _SUFFIXES)
    return [log for log in named if log.exists()]


def checkpoint_due(path: Path, threshold: int, *, force: bool) -> bool:
    """Tell whether to merge the log now.

    It is due at ``threshold`` bytes or when wanted by ``force``, and earlier when space gets short: a checkpoint that
    runs out of space makes DuckDB give up, so it is not begun where it would not fit, and not put off until then.
    """
    size = sum(log.stat().st_size for log in log_files(path))
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    need = _SPARE + size // 4  # the file is compressed, the log is not
    if not size or free < need:
        return False
    return force or size >= threshold or (free < 4 * need and size >= _MIB)


def is_log_damage(error: duckdb.Error) -> bool:
    """Tell whether a database did not open because its log cannot be replayed."""
    text = str(error)
    return any(sign in text for sign in _DAMAGE) and not any(sign in text for sign in _NOT_DAMAGE)


@contextmanager
def log_set_aside(path: Path, quarantine: Path) -> Iterator[None]:
    """Move the log away, so that the database opens as of its last checkpoint; put it back if that fails, too.

    Raises:
        OSError: it cannot be moved.
    """
    quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = time.time_ns()
    moved = [(log, quarantine / f"{log.name}.{stamp}") for log in log_files(path)]
    for log, aside in moved:
        log.replace(aside)
    try:
        yield
    except BaseException:
        for log, aside in moved:
            aside.replace(log)
        raise
    for log, aside in moved:
        _log.error("%s cannot be replayed and is now %s; the database is as of its last checkpoint", log.name, aside)
