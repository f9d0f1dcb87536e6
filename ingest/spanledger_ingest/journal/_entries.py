r"""What the journal keeps, and its form on disk.

    segment = header, frame*                    header = b"SPANLEDGER1\n"
    frame   = marker (8 bytes), length (u32), crc32 of length and rest (u32), rest (length bytes)
    rest    = signal (u8), encoding (u8), content encoding (u8), owner bytes (u16), received ns (u64), owner, body

Numbers are little-endian. The marker is random per segment and stands in the file's name: a reader that lost its way
after damage searches for it, and a body cannot forge a frame without knowing it.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Final, TypeAlias, TypeVar

from spanledger_ingest.otlp import Encoding, Signal

HEADER: Final = b"SPANLEDGER1\n"
MARKER_BYTES: Final = 8

_LENGTH_AND_SUM: Final = struct.Struct("<II")
_REST: Final = struct.Struct("<BBBHQ")
FRAME_HEAD_BYTES: Final = MARKER_BYTES + _LENGTH_AND_SUM.size
"""Bytes of a frame before its payload."""

UNFINISHED: Final = "unfinished write at the end"
"""What a kill in the middle of a write leaves behind; such a request was never acknowledged."""

_SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")
_ENCODINGS: Final[tuple[Encoding, ...]] = ("protobuf", "json")
_CONTENT_ENCODINGS: Final = ("", "gzip", "deflate", "zstd")

_T = TypeVar("_T")
Bytes: TypeAlias = bytes | mmap


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One Export request as it came: the body is untouched, still compressed if it was."""

    signal: Signal
    encoding: Encoding
    content_encoding: str = ""
    """``""`` for none, or "gzip", "deflate", "zstd"."""
    owner: str = ""
    received_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A request with its place in the journal: bytes ``offset`` to ``end``, counted over all segments ever written."""

    offset: int
    end: int
    received: Received


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no valid frame."""

    segment: str
    position: int
    """Bytes from the start of the segment's file."""
    length: int
    reason: str


def payload(received: Received) -> bytes:
    """Return what of a frame depends on the request alone."""
    owner = received.owner.encode("utf-8", "replace")
    numbers = _REST.pack(
        _SIGNALS.index(received.signal),
        _ENCODINGS.index(received.encoding),
        _CONTENT_ENCODINGS.index(received.content_encoding),
        len(owner),
        received.received_ns,
    )
    return b"".join((numbers, owner, received.body))


def frame_head(rest: bytes, marker: bytes) -> bytes:
    """Return what stands before the payload in a segment with this marker."""
    length = struct.pack("<I", len(rest))
    return marker + length + struct.pack("<I", zlib.crc32(rest, zlib.crc32(length)))


def read_frame(data: Bytes, position: int, limit: int, marker: bytes) -> tuple[Received, int] | None:
    """Return the request at the position and where its frame ends, or ``None`` if no valid frame ends by the limit."""
    start = position + FRAME_HEAD_BYTES
    if start > limit or data[position : position + MARKER_BYTES] != marker:
        return None
    length, checksum = _LENGTH_AND_SUM.unpack_from(data, position + MARKER_BYTES)
    end = start + length
    if length < _REST.size or end > limit:
        return None
    rest = data[start:end]
    if zlib.crc32(rest, zlib.crc32(struct.pack("<I", length))) != checksum:
        return None
    received = _received(rest)
    return None if received is None else (received, end)


def _received(rest: bytes) -> Received | None:
    signal, encoding, content_encoding, owner_length, received_ns = _REST.unpack_from(rest)
    names = _at(_SIGNALS, signal), _at(_ENCODINGS, encoding), _at(_CONTENT_ENCODINGS, content_encoding)
    if names[0] is None or names[1] is None or names[2] is None:
        return None  # written by a later version that knows more
    body = _REST.size + owner_length
    return Received(
        signal=names[0],
        encoding=names[1],
        content_encoding=names[2],
        owner=rest[_REST.size : body].decode("utf-8", "replace"),
        received_ns=received_ns,
        body=rest[body:],
    )


def _at(names: Sequence[_T], index: int) -> _T | None:
    return names[index] if index < len(names) else None


def scan(data: Bytes, segment: str, base: int, marker: bytes, span: range) -> Iterator[Entry | Damage]:
    """Yield every valid entry within the span of the segment's bytes, and what lies between them that is none."""
    position, limit = span.start, span.stop
    if position < len(HEADER) and limit:
        if data[: len(HEADER)] != HEADER:
            yield Damage(segment, 0, min(len(HEADER), limit), "segment header")
        position = len(HEADER)
    while position < limit:
        found = read_frame(data, position, limit, marker)
        if found is not None:
            received, end = found
            yield Entry(base + position, base + end, received)
            position = end
            continue
        following = _next_frame(data, position + 1, limit, marker)
        reason = UNFINISHED if following == limit else "no valid frame"
        yield Damage(segment, position, following - position, reason)
        position = following


def _next_frame(data: Bytes, position: int, limit: int, marker: bytes) -> int:
    while (position := data.find(marker, position, limit)) >= 0:
        if read_frame(data, position, limit, marker) is not None:
            return position
        position += 1
    return limit
