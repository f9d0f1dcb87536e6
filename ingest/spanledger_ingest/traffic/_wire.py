"""The few protobuf encodings that OTLP spans need (https://protobuf.dev/programming-guides/encoding).

Encoding by hand keeps the bytes the same whatever protobuf release is installed, and needs no message objects.
"""

from functools import lru_cache
from struct import Struct

_DOUBLE = Struct("<d")
_FIXED64 = Struct("<Q")


def varint(number: int) -> bytes:
    """Encode a non-negative integer below 2**64."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(field: int, payload: bytes) -> bytes:
    """Encode a length-delimited field: a sub-message, a string or bytes. ``field`` is below 16."""
    return bytes((field << 3 | 2,)) + varint(len(payload)) + payload


def text(field: int, value: str) -> bytes:
    """Encode a string field."""
    return message(field, value.encode())


def fixed64(field: int, value: int) -> bytes:
    """Encode a fixed64 field, as OTLP does its times."""
    return bytes((field << 3 | 1,)) + _FIXED64.pack(value)


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return text(1, name)


def _attribute(name: str, value: bytes) -> bytes:
    """Encode field 9 of a span: a KeyValue around an AnyValue already encoded."""
    return message(9, _key(name) + message(2, value))


def string(name: str, value: str) -> bytes:
    """Encode a string attribute of a span."""
    return _attribute(name, text(1, value))


def strings(name: str, *values: str) -> bytes:
    """Encode a string array attribute of a span."""
    return _attribute(name, message(5, b"".join(message(1, text(1, value)) for value in values)))


def integer(name: str, value: int) -> bytes:
    """Encode a non-negative integer attribute of a span."""
    return _attribute(name, b"\x18" + varint(value))


def boolean(name: str, *, value: bool) -> bytes:
    """Encode a boolean attribute of a span."""
    return _attribute(name, b"\x10\x01" if value else b"\x10\x00")


def double(name: str, value: float) -> bytes:
    """Encode a double attribute of a span."""
    return _attribute(name, b"\x21" + _DOUBLE.pack(value))
