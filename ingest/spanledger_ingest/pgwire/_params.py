"""Values that a client binds to ``$1`` and so on, as Python values for the database."""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from spanledger_ingest.pgwire import _types as types
from spanledger_ingest.pgwire._errors import BAD_VALUE, UNSUPPORTED, WireError
from spanledger_ingest.pgwire._numeric import numeric_of

MAX_PARAMETERS: Final = 100
_UNKNOWN: Final = frozenset({0, types.TEXT, types.VARCHAR, types.JSON, 19, 705, 1042, 3802})
"""What stays text: unknown, text, varchar, json, name, unknown, char and jsonb."""
_Y2K: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MARK: Final = re.compile(r"\$(\d{1,5})")
_CAST: Final = re.compile(
    r"\$(\d{1,5})\s*::\s*(timestamp with time zone|double precision|[a-z]\w*)"
    r"|cast\s*\(\s*\$(\d{1,5})\s+as\s+(timestamp with time zone|double precision|[a-z]\w*)",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_NAMES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("int", "int4", "integer"), types.INT4),
    **dict.fromkeys(("bigint", "int8"), types.INT8),
    **dict.fromkeys(("smallint", "int2"), types.INT2),
    **dict.fromkeys(("double precision", "double", "float8"), types.FLOAT8),
    **dict.fromkeys(("real", "float4", "float"), types.FLOAT4),
    **dict.fromkeys(("numeric", "decimal"), types.NUMERIC),
    **dict.fromkeys(("bool", "boolean"), types.BOOL),
    **dict.fromkeys(("timestamptz", "timestamp with time zone"), types.TIMESTAMPTZ),
    "timestamp": types.TIMESTAMP,
    "date": types.DATE,
    "uuid": types.UUID,
}


def parameter_oids(sql: str, given: Sequence[int]) -> list[int]:
    """Return the type of each parameter: as the client said, as the statement casts it, or else text.

    Raises:
        WireError: there are too many.
    """
    bare = _QUOTED.sub(" ", sql)
    count = max([len(given), *(int(number) for number in _MARK.findall(bare))])
    if count > MAX_PARAMETERS:
        raise WireError("54023", f"a statement has at most {MAX_PARAMETERS} parameters")
    cast = {
        int(first or second): _NAMES.get((one or two).lower(), types.TEXT)
        for first, one, second, two in _CAST.findall(bare)
    }
    said = [*given, *[0] * (count - len(given))]
    return [oid or cast.get(number, types.TEXT) for number, oid in enumerate(said, 1)]


def values_of(oids: Sequence[int], codes: Sequence[int], sent: Sequence[bytes | None]) -> list[Any]:
    """Return what was bound. Codes are 0 for text, 1 for binary.

    Raises:
        WireError: a value does not read as its type.
    """
    if len(sent) != len(oids):
        raise WireError("08P01", f"{len(sent)} values were bound to {len(oids)} parameters")
    formats = types.formats_for(codes, len(sent))
    return [_value(*bound) for bound in zip(oids, formats, sent, strict=True)]


def sample_values(oids: Sequence[int]) -> list[Any]:
    """Return a value of each type, to find out about the columns of a result; ``None`` where that is any text."""
    return [_SAMPLES.get(oid) for oid in oids]


def _value(oid: int, code: int, sent: bytes | None) -> Any:
    if sent is None:
        return None
    if oid in _UNKNOWN:
        return _text(sent.removeprefix(b"\1") if oid == 3802 and code else sent)
    known = (_BINARY if code else _TEXT).get(oid)
    if known is None:
        raise WireError(UNSUPPORTED, f"parameters of type {oid} are not supported: send it as text and cast it")
    try:
        return known(sent)
    except (ValueError, OverflowError, InvalidOperation, struct.error):
        raise WireError(BAD_VALUE, f"a parameter does not read as its type ({oid})") from None


def _text(sent: bytes) -> str:
    try:
        return sent.decode()
    except UnicodeDecodeError:
        raise WireError("22021", "text must be UTF-8") from None


def _packed(layout: str) -> Callable[[bytes], Any]:
    def read(sent: bytes) -> Any:
        return struct.unpack(layout, sent)[0]

    return read


def _flag(sent: bytes) -> bool:
    word = sent.strip().lower()
    for known, meaning in ((b"true yes on 1", True), (b"false no off 0", False)):
        if word and any(full.startswith(word) for full in known.split()) and word != b"o":
            return meaning
    raise ValueError("neither true nor false")


def _moment(sent: bytes) -> Any:
    text = sent.decode()
    if text in ("infinity", "-infinity"):
        return text  # the database reads these itself
    return datetime.fromisoformat(text)


def _aware(sent: bytes) -> Any:
    found = _moment(sent)
    if isinstance(found, datetime):
        return found.replace(tzinfo=found.tzinfo or UTC)
    return found


def _naive(sent: bytes) -> Any:
    found = _moment(sent)
    # PostgreSQL, too, drops the offset of a text that is read as a time without one.
    return found.replace(tzinfo=None) if isinstance(found, datetime) else found


def _binary_aware(sent: bytes) -> Any:
    (microseconds,) = struct.unpack("!q", sent)
    if microseconds in (2**63 - 1, -(2**63)):
        return "infinity" if microseconds > 0 else "-infinity"
    return _Y2K + timedelta(microseconds=microseconds)


def _binary_naive(sent: bytes) -> Any:
    found = _binary_aware(sent)
    return found.replace(tzinfo=None) if isinstance(found, datetime) else found


def _binary_date(sent: bytes) -> date:
    return _Y2K.date() + timedelta(days=struct.unpack("!i", sent)[0])


def _decimal(sent: bytes) -> Decimal:
    found = Decimal(sent.decode())
    if not found.is_finite() or abs(found.adjusted()) > 100:
        raise ValueError("no number that the database can hold")
    return found


_SAMPLES: Final[Mapping[int, Any]] = {
    **dict.fromkeys((types.INT2, types.INT4, types.INT8, 26), 0),
    **dict.fromkeys((types.FLOAT4, types.FLOAT8), 0.0),
    types.NUMERIC: Decimal(0),
    types.BOOL: False,
    types.DATE: _Y2K.date(),
    types.TIMESTAMP: _Y2K.replace(tzinfo=None),
    types.TIMESTAMPTZ: _Y2K,
}
_TEXT: Final[Mapping[int, Callable[[bytes], Any]]] = {
    **dict.fromkeys((types.INT2, types.INT4, types.INT8, 26), int),
    **dict.fromkeys((types.FLOAT4, types.FLOAT8), float),
    types.NUMERIC: _decimal,
    types.BOOL: _flag,
    types.DATE: lambda sent: date.fromisoformat(sent.decode()),
    types.TIMESTAMP: _naive,
    types.TIMESTAMPTZ: _aware,
    types.UUID: lambda sent: str(UUID(sent.decode())),
}
_BINARY: Final[Mapping[int, Callable[[bytes], Any]]] = {
    types.INT2: _packed("!h"),
    types.INT4: _packed("!i"),
    26: _packed("!I"),
    types.INT8: _packed("!q"),
    types.FLOAT4: _packed("!f"),
    types.FLOAT8: _packed("!d"),
    types.NUMERIC: numeric_of,
    types.BOOL: _packed("!?"),
    types.DATE: _binary_date,
    types.TIMESTAMP: _binary_naive,
    types.TIMESTAMPTZ: _binary_aware,
    types.UUID: lambda sent: str(UUID(bytes=sent)),
}
