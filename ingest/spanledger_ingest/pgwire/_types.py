"""Arrow columns as PostgreSQL types, in text and in binary."""

import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from spanledger_ingest.pgwire._errors import WireError
from spanledger_ingest.pgwire._messages import COUNT16, INT32, Field
from spanledger_ingest.pgwire._numeric import binary_numeric

BOOL, BYTEA, INT8, INT2, INT4, TEXT, JSON, FLOAT4, FLOAT8, VARCHAR = 16, 17, 20, 21, 23, 25, 114, 700, 701, 1043
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, NUMERIC, UUID = 1082, 1083, 1114, 1184, 1186, 1700, 2950

EPOCH_DAYS: Final = 10_957
"""Days from 1970 to 2000, where PostgreSQL counts from."""
EPOCH_US: Final = EPOCH_DAYS * 86_400_000_000
_FIRST_US: Final = -62_135_596_800_000_000
_LAST_US: Final = 253_402_300_799_999_999
_INFINITY_US: Final = 2**63 - 1

Cell = bytes | None
Column = Any
"""An Arrow array."""


class _Type(NamedTuple):
    oid: int
    size: int
    text: Callable[[Column], list[Cell]]
    binary: Callable[[Column], list[Cell]]


def fields(schema: pa.Schema) -> list[Field]:
    """Describe columns. A decimal's places are told as a modifier, as PostgreSQL does."""
    found = []
    for column in schema:
        type_ = column.type
        known = _type(type_)
        modifier = -1
        if pa.types.is_decimal(type_):
            modifier = (type_.precision << 16 | type_.scale) + 4
        found.append(Field(column.name, known.oid, known.size, modifier))
    return found


def data_rows(batch: pa.RecordBatch, formats: Sequence[int]) -> bytes:
    """Return the messages of some rows; formats are 0 for text, 1 for binary, by column.

    Raises:
        WireError: a value is none that PostgreSQL has.
    """
    try:
        columns = [_cells(column, code) for column, code in zip(batch.columns, formats, strict=True)]
    except (ValueError, OverflowError, struct.error) as error:  # dates beyond the year 9999 and their like
        raise WireError("22003", f"the result holds a value that cannot be sent: {error}") from error
    head = COUNT16.pack(len(columns))
    if not columns:
        return (b"D" + INT32.pack(6) + head) * batch.num_rows
    parts: list[bytes] = []
    for cells in zip(*columns, strict=True):
        body = b"".join(cells)
        parts += (b"D", INT32.pack(len(body) + 6), head, body)
    return b"".join(parts)


def _cells(column: Column, code: int) -> list[bytes]:
    known = _type(column.type)
    pack = INT32.pack
    cells = known.binary(column) if code else known.text(column)
    return [b"\xff\xff\xff\xff" if cell is None else pack(len(cell)) + cell for cell in cells]


def _each(convert: Callable[[Any], bytes]) -> Callable[[Column], list[Cell]]:
    def column(values: Column) -> list[Cell]:
        return [None if value is None else convert(value) for value in values.to_pylist()]

    return column


def _packed(layout: str) -> Callable[[Column], list[Cell]]:
    return _each(struct.Struct(layout).pack)


def _text_float(value: float) -> bytes:
    known = {"inf": b"Infinity", "-inf": b"-Infinity", "nan": b"NaN"}
    return known.get(repr(value)) or repr(value).encode()


def _text_decimal(value: Decimal | int) -> bytes:
    return format(value, "f" if isinstance(value, Decimal) else "d").encode()


def _microseconds(column: Column) -> Column:
    target = pa.timestamp("us", tz=column.type.tz)
    return pc.cast(column, target, safe=False) if column.type.unit != "us" else column


def _text_times(suffix: str) -> Callable[[Column], list[Cell]]:
    def column(values: Column) -> list[Cell]:
        exact = _microseconds(values)
        numbers = exact.cast(pa.int64())
        ends: Any = pc.min_max(numbers).as_py()
        if ends["min"] is None or (ends["min"] >= _FIRST_US and ends["max"] <= _LAST_US):
            naive = exact.cast(pa.timestamp("us")) if exact.type.tz else exact
            found = pc.strftime(naive, format=f"%Y-%m-%d %H:%M:%S{suffix}").to_pylist()
            return [None if value is None else value.encode() for value in found]
        return [None if value is None else _far_time(value, suffix) for value in numbers.to_pylist()]

    return column


def _far_time(value: int, suffix: str) -> bytes:
    if abs(value) == _INFINITY_US:
        return b"infinity" if value > 0 else b"-infinity"
    if not _FIRST_US <= value <= _LAST_US:
        raise ValueError("a time before the year 1 or after 9999")
    near: Column = pa.array([value]).cast(pa.timestamp("us"))
    text: Any = pc.strftime(near, format=f"%Y-%m-%d %H:%M:%S{suffix}")
    return str(text.to_pylist()[0]).encode()


def _binary_times(values: Column) -> list[Cell]:
    numbers = _microseconds(values).cast(pa.int64()).to_pylist()
    pack = struct.Struct("!q").pack
    return [None if value is None else pack(_since_2000(value)) for value in numbers]


def _since_2000(value: int) -> int:
    if abs(value) == _INFINITY_US:
        return _INFINITY_US if value > 0 else -_INFINITY_US - 1
    return value - EPOCH_US


def _days(values: Column) -> list[Cell]:
    return _packed("!i")(pc.subtract(values.cast(pa.int32()), EPOCH_DAYS))


def _times_of_day(values: Column) -> list[Cell]:
    return _packed("!q")(values.cast(pa.time64("us")).cast(pa.int64()))


def _text_interval(value: Any) -> bytes:
    months, days, nanoseconds = value
    sign = "-" if nanoseconds < 0 else ""
    seconds, micro = divmod(abs(nanoseconds) // 1000, 1_000_000)
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{months} mons {days} days {clock}{f'.{micro:06}' if micro else ''}".encode()


def _binary_interval(value: Any) -> bytes:
    months, days, nanoseconds = value
    return struct.pack("!qii", nanoseconds // 1000, days, months)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_json_default, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)


def _json_default(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def _text_bool(value: Any) -> bytes:
    return b"t" if value else b"f"


def _text_bytes(value: bytes) -> bytes:
    return b"\\x" + value.hex().encode()


def _plain_int(value: int) -> bytes:
    return b"%d" % value


_INTEGERS: Final = _each(_plain_int)
_STRINGS: Final = _each(lambda value: str(value).encode())
_NESTED: Final = _Type(JSON, -1, _each(_json), _each(_json))
_TEXT: Final = _Type(TEXT, -1, _STRINGS, _STRINGS)
_SMALL: Final = _Type(INT2, 2, _INTEGERS, _packed("!h"))
_MIDDLE: Final = _Type(INT4, 4, _INTEGERS, _packed("!i"))
_LARGE: Final = _Type(INT8, 8, _INTEGERS, _packed("!q"))
_EXACT: Final = _Type(NUMERIC, -1, _each(_text_decimal), _each(binary_numeric))
_TYPES: Final[tuple[tuple[Callable[[pa.DataType], bool], _Type], ...]] = (
    (pa.types.is_boolean, _Type(BOOL, 1, _each(_text_bool), _each(lambda value: b"\1" if value else b"\0"))),
    (pa.types.is_string, _TEXT),
    (pa.types.is_int64, _LARGE),
    (lambda type_: pa.types.is_int32(type_) or pa.types.is_uint16(type_), _MIDDLE),
    (lambda type_: pa.types.is_int16(type_) or pa.types.is_int8(type_) or pa.types.is_uint8(type_), _SMALL),
    (pa.types.is_uint32, _LARGE),
    (lambda type_: pa.types.is_decimal(type_) or pa.types.is_uint64(type_), _EXACT),
    (pa.types.is_float64, _Type(FLOAT8, 8, _each(_text_float), _packed("!d"))),
    (pa.types.is_float32, _Type(FLOAT4, 4, _each(_text_float), _packed("!f"))),
    (pa.types.is_date, _Type(DATE, 4, _each(lambda value: str(value).encode()), _days)),
    (pa.types.is_time, _Type(TIME, 8, _each(lambda value: str(value).encode()), _times_of_day)),
    (
        lambda type_: pa.types.is_timestamp(type_) and type_.tz is None,
        _Type(TIMESTAMP, 8, _text_times(""), _binary_times),
    ),
    (pa.types.is_timestamp, _Type(TIMESTAMPTZ, 8, _text_times("+00"), _binary_times)),
    (pa.types.is_interval, _Type(INTERVAL, 16, _each(_text_interval), _each(_binary_interval))),
    (pa.types.is_binary, _Type(BYTEA, -1, _each(_text_bytes), _each(bytes))),
    (pa.types.is_nested, _NESTED),
)


def _type(type_: pa.DataType) -> _Type:
    return next((known for fits, known in _TYPES if fits(type_)), _TEXT)


def formats_for(codes: Sequence[int], columns: int) -> list[int]:
    """Return the format of each column out of what a client asked for: none, one for all, or one for each.

    Raises:
        WireError: their number does not fit, or one is unknown.
    """
    wanted = list(codes) * columns if len(codes) == 1 else list(codes) or [0] * columns
    if len(wanted) != columns or not {0, 1}.issuperset(wanted):
        raise WireError("08P01", "the formats asked for do not fit the columns")
    return wanted
