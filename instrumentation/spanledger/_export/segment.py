"""Spool files: frames that survive a torn tail, a flipped bit and a kill between any two bytes.

A segment is a row of frames: a 17-byte header (magic, state, signal, number of spans, length, CRC-32 of all but the
state) and a gzipped request. Delivery flips the state byte in place, so that a restart sends only what is left. A
reader that meets nonsense looks for the next frame whose checksum holds.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spanledger._export.parcel import Parcel, Signal

MAGIC = b"\xf5SLs"  # 0xF5 occurs in no UTF-8 text
SUFFIX = ".seg1"  # the format's version: other versions of this library leave foreign files alone
_HEADER = struct.Struct(">4sBBIII")  # magic, state, signal, items, length, crc
_WAITING, _SENT = 0x00, 0xFF  # no flipped bit turns one into the other
_STATE_OFFSET = 4


class Place(NamedTuple):
    """Where a parcel lies on disk."""

    segment: "Segment"
    offset: int
    end: int


class _Frame(NamedTuple):
    start: int
    end: int
    sent: bool
    parcel: Parcel


def encode_frame(parcel: Parcel) -> bytes:
    """Return the bytes that keep a parcel on disk."""
    crc = _checksum(parcel.signal, parcel.items, parcel.body)
    return _HEADER.pack(MAGIC, _WAITING, parcel.signal, parcel.items, len(parcel.body), crc) + parcel.body


def _checksum(signal: int, items: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack(">BII", signal, items, len(body))))


def _frame_at(data: bytes, start: int) -> _Frame | None:
    """Return the frame that begins exactly at ``start``, if a whole and sound one does."""
    if len(data) - start < _HEADER.size:
        return None
    magic, state, signal, items, length, crc = _HEADER.unpack_from(data, start)
    end = start + _HEADER.size + length
    if magic != MAGIC or end > len(data):
        return None
    body = data[start + _HEADER.size : end]
    if crc != _checksum(signal, items, body) or signal not in Signal.__members__.values():
        return None
    return _Frame(start, end, state == _SENT, Parcel(Signal(signal), items, body))


def _frames(data: bytes, start: int = 0) -> Iterator[_Frame]:
    """Yield the sound frames from ``start`` on, whatever lies between them."""
    while start != -1:
        frame = _frame_at(data, start)
        if frame is not None:
            yield frame
        start = frame.end if frame is not None else data.find(MAGIC, start + 1)


class Segment:
    """One spool file, written at its end and read from its beginning by the process that owns it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.items = 0
        """Spans that wait in it."""
        self.damaged = 0
        self.dropped = False
        self._fd = -1
        self._read_at = 0

    @classmethod
    def create(cls, path: Path) -> "Segment":
        """Make a new, private, empty segment."""
        segment = cls(path)
        segment._open(os.O_CREAT | os.O_EXCL)
        return segment

    @classmethod
    def load(cls, path: Path) -> "Segment":
        """Open what a dead process left: count what waits in it and cut off a torn tail."""
        segment = cls(path)
        try:
            segment._survey()
        finally:
            segment.close()
        return segment

    def _open(self, flags: int = 0) -> int:
        """Return a handle, opened when needed: a long outage leaves more segments than a host has handles to spare."""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
        return self._fd

    def _survey(self) -> None:
        fd = self._open()
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        end, left_over = 0, False
        for frame in _frames(data):
            left_over |= frame.start > end or not frame.sent  # damage is counted when a reader meets it
            self.items += 0 if frame.sent else frame.parcel.items
            end = frame.end
        self.damaged += end < len(data)
        os.ftruncate(fd, end)
        self.size, self._read_at = end, 0 if left_over else end

    @property
    def drained(self) -> bool:
        """Whether nothing in it waits."""
        return self._read_at >= self.size

    def append(self, frame: bytes, items: int) -> Place:
        """Write a frame at the end; after an error the segment is as before.

        Raises:
            OSError: The disk did not take it whole.
        """
        written = os.pwrite(self._open(), frame, self.size)
        if written != len(frame):
            raise OSError("the disk took only a part of the frame")
        place = Place(self, self.size, self.size + written)
        self.size = place.end
        self.items += items
        return place

    def head(self) -> Parcel | None:
        """Return the oldest parcel that waits, passing over what is damaged or sent already.

        Raises:
            OSError: The file cannot be read.
        """
        if self.drained:
            return None
        frame = self._read_frame()
        if frame is None or frame.sent:
            frame = self._seek_frame()
        if frame is None:
            self._read_at = self.size
            return None
        self._read_at = frame.start
        frame.parcel.place = Place(self, frame.start, frame.end)
        return frame.parcel

    def _read_frame(self) -> _Frame | None:
        header = os.pread(self._open(), _HEADER.size, self._read_at)
        if len(header) < _HEADER.size:
            return None
        length = min(_HEADER.unpack(header)[4], self.size)
        frame = _frame_at(header + os.pread(self._fd, length, self._read_at + _HEADER.size), 0)
        return frame and frame._replace(start=self._read_at, end=self._read_at + frame.end)

    def _seek_frame(self) -> _Frame | None:
        data = os.pread(self._open(), self.size, 0)
        expected = self._read_at
        for frame in _frames(data, self._read_at):
            self.damaged += frame.start > expected
            expected = frame.end
            if not frame.sent:
                return frame
        self.damaged += expected < self.size
        return None

    def mark_sent(self, place: Place, items: int) -> None:
        """Note on disk that a parcel needs no sending any more."""
        self.items -= items
        if self._read_at == place.offset:
            self._read_at = place.end
        with contextlib.suppress(OSError):  # at worst it is sent twice after a restart
            os.pwrite(self._open(), bytes([_SENT]), place.offset + _STATE_OFFSET)

    def close(self) -> None:
        """Give the file handle back; the file stays, and opens again when needed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def delete(self) -> None:
        """Remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)
