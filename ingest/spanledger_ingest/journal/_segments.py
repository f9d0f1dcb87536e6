"""The files of the journal."""

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final, Self

from spanledger_ingest.journal._entries import HEADER, MARKER_BYTES, Bytes, Damage

_NAME: Final = re.compile(r"(\d{20})-([0-9a-f]{16})\.journal\Z")
_datasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment file: where its first byte stands in the journal, and its marker."""

    path: Path
    base: int
    marker: bytes

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """Return the segment that a file's name describes, or ``None`` if it is no segment."""
        match = _NAME.match(path.name)
        return cls(path, int(match[1]), bytes.fromhex(match[2])) if match else None

    def size(self) -> int:
        """Return the bytes of the file."""
        return self.path.stat().st_size

    @contextmanager
    def bytes(self) -> Iterator[Bytes]:
        """Map the file into memory for reading."""
        with self.path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                yield b""
                return
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                yield data


class SegmentWriter:
    """The segment that is written to. Its methods raise :class:`OSError` as the disk does."""

    def __init__(self, directory: Path, base: int) -> None:
        marker = secrets.token_bytes(MARKER_BYTES)
        path = directory / f"{base:020d}-{marker.hex()}.journal"
        self.segment = Segment(path, base, marker)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.position = 0
        try:
            self.write((HEADER,))
            self.sync()
            sync_directory(directory)
        except OSError:
            self.close()
            path.unlink()
            raise

    def write(self, frames: Iterable[bytes]) -> None:
        """Append the frames to the file, without waiting for the disk."""
        for one in frames:
            rest = memoryview(one)
            while rest:
                written = os.write(self._file, rest)
                self.position += written
                rest = rest[written:]

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        _datasync(self._file)

    def truncate(self, position: int) -> None:
        """Give back what was written behind the position."""
        os.ftruncate(self._file, position)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def free_bytes(directory: Path) -> int:
    """Return the free space of the directory's disk."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def sync_directory(directory: Path) -> None:
    """Make the directory's own entries durable: a new file whose name is lost is lost."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def list_segments(directory: Path) -> list[Segment]:
    """Return the segments of a directory in order."""
    found = (Segment.at(path) for path in directory.iterdir())
    return sorted((segment for segment in found if segment), key=lambda segment: segment.base)


def quarantine(directory: Path, segment: Segment, damage: Damage) -> Path:
    """Copy damaged bytes aside, for whoever wants to look at them, before the segment is deleted in its turn."""
    directory.mkdir(exist_ok=True, mode=0o700)
    target = directory / f"{segment.path.name}.{damage.position}"
    if not target.exists():
        with segment.bytes() as data:
            target.write_bytes(data[damage.position : damage.position + damage.length])
    return target
