"""Messages of the PostgreSQL protocol 3.0, as bytes."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from spanledger_ingest.pgwire._errors import PROTOCOL, WireError

INT16: Final = struct.Struct("!h")
COUNT16: Final = struct.Struct("!H")
INT32: Final = struct.Struct("!i")
SSL_REQUEST: Final = 80877103
GSS_REQUEST: Final = 80877104
CANCEL_REQUEST: Final = 80877102
VERSION_3: Final = 3
AUTH_OK: Final = 0
AUTH_SASL: Final = 10
AUTH_SASL_CONTINUE: Final = 11
AUTH_SASL_FINAL: Final = 12
EMPTY: Final = b"I\0\0\0\x04"
PARSE_COMPLETE: Final = b"1\0\0\0\x04"
BIND_COMPLETE: Final = b"2\0\0\0\x04"
CLOSE_COMPLETE: Final = b"3\0\0\0\x04"
NO_DATA: Final = b"n\0\0\0\x04"
SUSPENDED: Final = b"s\0\0\0\x04"
_FIELD: Final = struct.Struct("!IhIhih")


class Field(NamedTuple):
    """A column as it is described: type and its size in bytes, -1 for any."""

    name: str
    oid: int
    size: int
    modifier: int = -1


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return one message."""
    return kind + INT32.pack(len(body) + 4) + body


def text(value: str) -> bytes:
    """Return a text as it stands in a message; zero bytes would end it early."""
    return value.replace("\0", "").encode("utf-8", "replace") + b"\0"


def authentication(step: int, data: bytes = b"") -> bytes:
    """Return a step of the login."""
    return message(b"R", INT32.pack(step) + data)


def parameter_status(name: str, value: str) -> bytes:
    """Tell the client of a setting."""
    return message(b"S", text(name) + text(value))


def backend_key(pid: int, secret: int) -> bytes:
    """Tell the client what to send to cancel."""
    return message(b"K", struct.pack("!II", pid, secret))


def ready(status: bytes) -> bytes:
    """Tell that the next query may come: ``I`` idle, ``T`` in a transaction, ``E`` in a failed one."""
    return message(b"Z", status)


def complete(tag: str) -> bytes:
    """Tell that a command is done."""
    return message(b"C", text(tag))


def row_description(fields: Sequence[Field], formats: Sequence[int]) -> bytes:
    """Describe the rows that follow."""
    parts = [COUNT16.pack(len(fields))]
    for field, code in zip(fields, formats, strict=True):
        parts += (text(field.name), _FIELD.pack(0, 0, field.oid, field.size, field.modifier, code))
    return message(b"T", b"".join(parts))


def parameter_description(oids: Sequence[int]) -> bytes:
    """Tell the types of parameters."""
    return message(b"t", COUNT16.pack(len(oids)) + b"".join(struct.pack("!I", oid) for oid in oids))


def error(failure: WireError) -> bytes:
    """Tell of a failure."""
    severity = "FATAL" if failure.fatal else "ERROR"
    return _report(b"E", {"S": severity, "V": severity, "C": failure.code, "M": str(failure)})


def notice(words: str) -> bytes:
    """Tell something that is no failure."""
    return _report(b"N", {"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": words})


def _report(kind: bytes, fields: Mapping[str, str]) -> bytes:
    return message(kind, b"".join(name.encode() + text(value) for name, value in fields.items()) + b"\0")


def negotiate(options: Iterable[str]) -> bytes:
    """Tell that we speak 3.0, and which options we do not know."""
    names = [text(option) for option in options]
    return message(b"v", INT32.pack(0) + INT32.pack(len(names)) + b"".join(names))


class Body:
    """Reads the body of a message that a stranger wrote.

    Every method raises :class:`WireError` where the body ends too early.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return so many bytes."""
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise WireError(PROTOCOL, "a message is shorter than it says")
        found = self._data[self._at : end]
        self._at = end
        return found

    def int16(self) -> int:
        """Return a signed number."""
        return int(INT16.unpack(self.take(2))[0])

    def count(self) -> int:
        """Return how many of something follow."""
        return int(COUNT16.unpack(self.take(2))[0])

    def int32(self) -> int:
        """Return a signed number."""
        return int(INT32.unpack(self.take(4))[0])

    def oid(self) -> int:
        """Return an unsigned number."""
        return int.from_bytes(self.take(4))

    def text(self) -> str:
        """Return a text up to its zero byte.

        Raises:
            WireError: it is not UTF-8.
        """
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise WireError(PROTOCOL, "a text in a message does not end")
        found = self._data[self._at : end]
        self._at = end + 1
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise WireError("22021", "text must be UTF-8") from None

    def value(self) -> bytes | None:
        """Return a value with its length before it; -1 is NULL."""
        size = self.int32()
        return None if size == -1 else self.take(size)

    def rest(self) -> bytes:
        """Return everything left."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Refuse what nobody asked for."""
        if self._at != len(self._data):
            raise WireError(PROTOCOL, "a message is longer than it should be")
