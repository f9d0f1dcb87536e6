"""Backups: a folder with copies of the database and the state, and a manifest that tells what has to be in them."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from spanledger_analytics import schema
from spanledger_ingest.auth import FILE, check_state
from spanledger_ingest.errors import IngestError
from spanledger_ingest.journal import DataDirLock
from spanledger_ingest.store import inspect

DATABASE: Final = "spanledger.duckdb"
STATE: Final = FILE
MANIFEST: Final = "manifest.json"
_PART: Final = ".part"


class BackupError(IngestError):
    """A backup that cannot be made, trusted or restored; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds."""

    created: str
    """RFC 3339."""
    spanledger: str
    """The release that made it."""
    schema_version: int
    journal_position: int
    """Everything before this offset of the service's journal is in the backup."""
    bytes: int
    sha256: str
    rows: Mapping[str, int]
    """By table."""
    state_sha256: str = ""
    """Of ``state.db``; empty if it is not in the backup."""


def prepare(directory: Path) -> Path:
    """Make the folder of a new backup; return the file to write the database to.

    Raises:
        BackupError: the folder has something in it, or cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(directory.iterdir()):
            raise BackupError(f"{directory} is not empty: name a new folder for each backup")
    except OSError as error:
        raise BackupError(f"{directory} cannot be made the folder of a backup: {error.strerror}") from error
    return directory / (DATABASE + _PART)


def seal(directory: Path) -> Manifest:
    """Read all of the files that were written to a prepared folder, and write down what is in them.

    Raises:
        StoreError: it is not a sound database.
        StateError: it is not a sound state.
    """
    part, database = directory / (DATABASE + _PART), directory / DATABASE
    found = inspect(part)
    manifest = Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        spanledger=version("spanledger"),
        schema_version=found.schema_version,
        journal_position=found.journal_position,
        bytes=part.stat().st_size,
        sha256=_sha256(part),
        rows=found.rows,
        state_sha256=_seal_state(directory / STATE),
    )
    _sync(part)
    part.replace(database)
    (directory / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    _sync(directory / MANIFEST)
    _sync(directory)
    return manifest


def _seal_state(state: Path) -> str:
    if not state.exists():
        return ""
    check_state(state)
    _sync(state)
    return _sha256(state)


def verify(directory: Path) -> Manifest:
    """Check a backup against its manifest, byte by byte and row by row.

    Raises:
        BackupError: it is not complete, not what was written, or of a later release.
        StoreError: it is not a sound database.
    """
    manifest, database = _read_manifest(directory), directory / DATABASE
    if not database.is_file() or database.stat().st_size != manifest.bytes or _sha256(database) != manifest.sha256:
        raise BackupError(f"{database} is not what was backed up: use another copy of the backup")
    state = directory / STATE
    if manifest.state_sha256 and (not state.is_file() or _sha256(state) != manifest.state_sha256):
        raise BackupError(f"{state} is not what was backed up: use another copy of the backup")
    if manifest.schema_version > schema.VERSION:
        raise BackupError(
            f"{directory} has schema version {manifest.schema_version}, this spanledger knows {schema.VERSION}: "
            f"restore it with spanledger {manifest.spanledger} or later"
        )
    if dict(inspect(database).rows) != dict(manifest.rows):
        raise BackupError(f"{database} does not have the rows that its manifest tells: use another backup")
    return manifest


def restore(directory: Path, data: Path, *, keep_journal: bool = False) -> Manifest:
    """Put a verified backup into a data directory that has no database. A state that is there stays: it is newer.

    Args:
        directory: of the backup.
        data: the data directory.
        keep_journal: the journal there is of the service that made the backup: what it holds from the backup's
            position on is stored again at the next start.

    Raises:
        BackupError: the backup is not sound, or the data directory has data.
        DataDirError: the data directory cannot be used, or a service is running on it.
    """
    manifest = verify(directory)
    with DataDirLock(data):
        _refuse_data(data, keep_journal=keep_journal)
        if manifest.state_sha256 and not (data / STATE).exists():
            _copy(directory / STATE, data / STATE)
        _copy(directory / DATABASE, data / DATABASE)
    return manifest


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(target.name + _PART)
    try:
        shutil.copyfile(source, part)
        part.chmod(0o600)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BackupError(f"{source.name} cannot be copied to {target.parent}: {error.strerror}") from error


def _refuse_data(data: Path, *, keep_journal: bool) -> None:
    found = sorted(path.name for path in data.glob(DATABASE + "*") if not path.name.endswith(_PART))
    if found:
        raise BackupError(f"{data} has {', '.join(found)}: move that away, or restore to another directory")
    if not keep_journal and any((data / "journal").glob("*.journal")):
        raise BackupError(
            f"{data} has a journal with requests that were acknowledged: if it is of the service that made the backup, "
            "say --keep-journal, and they are stored at the next start; otherwise move the folder journal away"
        )


def _read_manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(**found)
    except OSError as error:
        raise BackupError(f"{directory} is no complete backup: {MANIFEST} {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise BackupError(f"{path} is not the manifest of a backup: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
