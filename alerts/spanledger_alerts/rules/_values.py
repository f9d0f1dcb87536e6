"""Reading single values of the configuration; every refusal says where and what can be meant."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

from spanledger_alerts._hints import nearest
from spanledger_alerts.errors import RuleError
from spanledger_alerts.records import Severity
from spanledger_alerts.rules._model import SECOND, SEVERITIES

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST: Final = 60 * 86_400 * SECOND


def refuse_unknown(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that do not exist.

    Raises:
        RuleError: there is one; the message names the nearest known.
    """
    known = list(known)
    for key in table:
        if key not in known:
            raise RuleError(f"{where}.{key}: no such setting{nearest(key, known)}")


def text(where: str, value: Any) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise RuleError(f"{where}: {value!r} is not text")
    return value


def texts(where: str, value: Any) -> tuple[str, ...]:
    """Return a list of texts; a single one may stand alone."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise RuleError(f"{where}: {value!r} is not a list of texts")
    return tuple(text(where, one) for one in listed)


def number(where: str, value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise RuleError(f"{where}: {value!r} is not a number")
    return float(value)


def share(where: str, value: Any) -> float:
    """Return a number between 0 and 1."""
    found = number(where, value)
    if not 0 <= found < 1:
        raise RuleError(f"{where}: {value!r} is not from 0 up to, not including, 1")
    return found


def whole(where: str, value: Any) -> int:
    """Return a whole number from 0 on."""
    found = number(where, value)
    if found < 0 or found != int(found):
        raise RuleError(f"{where}: {value!r} is not a whole number of zero or more")
    return int(found)


def switch(where: str, value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise RuleError(f"{where}: {value!r} is neither true nor false")
    return value


def one_of(where: str, value: Any, kind: Any) -> Any:
    """Return a value of a ``Literal``."""
    known = get_args(kind) if not isinstance(kind, tuple) else kind
    if value not in known:
        raise RuleError(f"{where}: {value!r} is not one of {', '.join(known)}")
    return value


def severity(where: str, value: Any) -> Severity:
    """Return a severity."""
    found: Literal["info", "warning", "critical"] = one_of(where, value, SEVERITIES)
    return found


def duration(where: str, value: Any) -> int:
    """Return ``"90s"``, ``"5m"``, ``"6h"``, ``"3d"``, or a number of seconds, in nanoseconds; at most 60 days."""
    match = re.fullmatch(r"([0-9]{1,7})([smhdw])", value) if isinstance(value, str) else None
    if match is not None:
        found = int(match[1]) * _SECONDS[match[2]] * SECOND
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value * SECOND
    else:
        raise RuleError(f"{where}: {value!r} is no duration such as '90s', '5m', '6h' or '3d'")
    if not 0 <= found <= _LONGEST:
        raise RuleError(f"{where}: {value!r} is not from 0 to 60 days")
    return found


def window(where: str, value: Any) -> int:
    """Return a duration of at least a second."""
    found = duration(where, value)
    if found < SECOND:
        raise RuleError(f"{where}: {value!r} is shorter than a second")
    return found
