"""Bounded decompression."""

import zlib
from typing import Final

from spanledger_ingest.errors import BadDataError, TooLargeError, UnsupportedEncodingError

GZIP_MAGIC: Final = b"\x1f\x8b"
_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def inflate(body: bytes, content_encoding: str, most: int) -> bytes:
    """Return the body without its content encoding: identity, gzip or deflate.

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
    elif encoding in _WINDOW_BITS:
        plain = _inflate(body, _WINDOW_BITS[encoding], most)
    else:
        raise UnsupportedEncodingError(f"content encoding {encoding[:40]!r} is not read here: use gzip or none")
    if len(plain) > most:
        raise TooLargeError(f"the body is larger than {most} bytes")
    if plain.startswith(GZIP_MAGIC):
        hint = "the body was compressed twice" if plain is not body else "the body is gzip, say so in Content-Encoding"
        raise BadDataError(hint)
    return plain


def _inflate(body: bytes, window_bits: int, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    rest = body
    while rest:  # gzip files may be joined
        stream = zlib.decompressobj(window_bits)
        try:
            part = stream.decompress(rest, most + 1 - size)
        except zlib.error as error:
            raise BadDataError(f"the body does not decompress: {error}") from error
        size += len(part)
        parts.append(part)
        if size > most:
            raise TooLargeError(f"the body is larger than {most} bytes when decompressed")
        if not stream.eof:
            raise BadDataError("the compressed body is cut short")
        rest = stream.unused_data
    return b"".join(parts)
