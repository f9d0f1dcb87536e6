"""Converters: what an attribute may hold, whatever type it arrived in.

Each takes the raw value of a source and returns the clean one, or ``None`` for "this source does not say". None raises:
telemetry is written by strangers, and a bad attribute must cost its field, never its span.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

MAX_COUNT = 10**12
"""No call has a trillion tokens; larger numbers are noise and would overflow sums."""
MAX_TEXT = 512
_MAX_COST = Decimal(10**6)
_NANOS = 1_000_000_000
_MAX_SECONDS = 86_400.0
_NANO_USD = Decimal("0.000000001")
_WHITESPACE = re.compile(r"\s+")


def text(value: Any) -> str | None:
    """One line of text; numbers become text, everything else and blank text says nothing."""
    if type(value) is not str:
        if type(value) is not int:
            return None
        value = str(value) if abs(value) < MAX_COUNT else ""
    elif len(value) > MAX_TEXT:
        return None
    if "\n" in value or "\x00" in value:
        value = _WHITESPACE.sub(" ", value.replace("\x00", ""))
    return value.strip() or None


def unquoted(value: Any) -> str | None:
    """Text that some SDKs wrap in JSON quotes: ``'"acme"'`` is ``acme``."""
    if type(value) is str and len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return text(value)


def model(value: Any) -> str | None:
    """The name of a model; ``unknown`` is none."""
    name = text(value)
    return None if name == "unknown" else name


def count(value: Any) -> int | None:
    """A number of tokens: a whole number >= 0, also as ``17.0`` or ``"17"``; a bool is not a number."""
    kind = type(value)
    if kind is int:
        return value if 0 <= value <= MAX_COUNT else None
    if kind is float:
        return int(value) if 0 <= value <= MAX_COUNT and value.is_integer() else None
    if kind is str and len(value) <= 20 and value.strip().isascii() and value.strip().isdigit():
        return count(int(value))
    return None


def flag(value: Any) -> bool | None:
    """A bool, also as the words ``True`` and ``false``."""
    if type(value) is bool:
        return value
    if type(value) is str:
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def is_true(value: Any) -> bool | None:
    """``True`` where the value says so, else nothing."""
    return flag(value) or None


def number(value: Any) -> float | None:
    """A finite number, also as text."""
    if type(value) is str and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            return None
    if type(value) is int:
        return float(value) if abs(value) <= MAX_COUNT else None
    return value if type(value) is float and math.isfinite(value) else None


def seconds(value: Any) -> int | None:
    """A duration in seconds as nanoseconds; negative ones and those over a day say nothing."""
    amount = number(value)
    return round(amount * _NANOS) if amount is not None and 0 <= amount <= _MAX_SECONDS else None


def millis(value: Any) -> int | None:
    """A duration in milliseconds as nanoseconds."""
    amount = number(value)
    return None if amount is None else seconds(amount / 1000)


def instant(value: Any) -> int | None:
    """An ISO 8601 time, possibly in JSON quotes, as nanoseconds since the epoch."""
    clean = unquoted(value)
    if clean is None:
        return None
    try:
        moment = datetime.fromisoformat(clean)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * _NANOS + delta.microseconds * 1000


def money(value: Any) -> Decimal | None:
    """A cost in USD. Zero says nothing: several SDKs report 0 when they do not know the price."""
    if type(value) is bool or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value).strip())
        rounded = amount.quantize(_NANO_USD) if 0 < amount <= _MAX_COST else None
    except InvalidOperation:
        return None
    return rounded or None


def http_status(value: Any) -> int | None:
    """An HTTP status code, also as text."""
    code = count(value)
    return code if code is not None and 100 <= code <= 599 else None


def words(value: Any) -> tuple[str, ...] | None:
    """A list of words: a sequence, a JSON array in a string, or one word."""
    if type(value) is str and value.startswith("["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    if type(value) is str:
        value = (value,)
    if not isinstance(value, Sequence):
        return None
    return tuple(word for item in value[:64] if (word := text(item)) is not None) or None
