"""Bounded decompression, by ISA-L: quicker than zlib, and it builds the result without a second copy of it."""

import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

from isal import isal_zlib

from spanledger_ingest.errors import BadDataError, TooLargeError, UnsupportedEncodingError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_IsalError: Final = cast("type[Exception]", isal_zlib.error)  # its stub takes the class for an instance
GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_WINDOW_LOG: Final = 26
"""Frames that ask for a window over 64 MiB are refused: it would be memory beside the limit of the body."""

_MAX_JOINED: Final = 32
"""Streams in one body. Each costs a copy of the rest: millions of empty ones would cost hours."""


class _Stream(Protocol):
    """One compressed stream, in the shape that zlib and zstd share."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _zstd() -> _Stream:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})


_STREAMS: Final[Mapping[str, Callable[[], _Stream]]] = {
    "gzip": lambda: isal_zlib.decompressobj(31),
    "x-gzip": lambda: isal_zlib.decompressobj(31),
    "deflate": lambda: isal_zlib.decompressobj(15),
    "zstd": _zstd,
}


def inflate(body: bytes, content_encoding: str, most: int) -> bytes:
    """Return the body without its content encoding: identity, gzip, deflate or zstd.

    Args:
        body: the bytes as received.
        content_encoding: the header's value; empty for none.
        most: bytes that the result may have. No more than that is ever allocated.

    Raises:
        UnsupportedEncodingError: the encoding is another one, or several.
        TooLargeError: the result would be larger.
        BadDataError: the bytes are not what the encoding says, or were compressed twice.
    """
    encoding = content_encoding.strip().lower()
    if encoding in {"", "identity"}:
        plain = body
    elif encoding in _STREAMS:
        plain = _inflate(body, _STREAMS[encoding], most)
    else:
        raise UnsupportedEncodingError(f"content encoding {encoding[:40]!r} is not read here: use gzip, zstd or none")
    if len(plain) > most:
        raise TooLargeError(f"the body is larger than {most} bytes")
    if plain.startswith(GZIP_MAGIC):
        hint = "the body was compressed twice" if plain is not body else "the body is gzip, say so in Content-Encoding"
        raise BadDataError(hint)
    return plain


def _inflate(body: bytes, new_stream: Callable[[], _Stream], most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    rest = body
    while rest:  # gzip files and zstd frames may be joined
        if len(parts) == _MAX_JOINED:
            raise BadDataError(f"the body is more than {_MAX_JOINED} compressed streams")
        stream = new_stream()
        try:
            part = stream.decompress(rest, most + 1 - size)
        except (_IsalError, zstd.ZstdError) as error:
            raise BadDataError(f"the body does not decompress: {error}") from error
        size += len(part)
        parts.append(part)
        if size > most:
            raise TooLargeError(f"the body is larger than {most} bytes when decompressed")
        if not stream.eof:
            raise BadDataError("the compressed body is cut short")
        rest = stream.unused_data
    return b"".join(parts)
