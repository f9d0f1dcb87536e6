"""Values as people read them: each number with its unit, money to what matters, the unknown as unknown."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from spanledger_dashboards.panels import Unit

NOTHING: Final = "\u2013"
UNKNOWN: Final = "unknown"
_UNITS_IN_WORDS: Final[dict[Unit, str]] = {
    "usd": "US dollars", "ms": "milliseconds", "s": "seconds", "share": "per cent", "tokens/s": "tokens per second",
    "calls/min": "calls per minute", "number": "", "time": "", "text": "", "score": "score, 0 to 1",
}  # fmt: skip
_SCALES: Final = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
"""From where on, divided by what; up to ten thousand every digit is shown."""
_BYTES: Final = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def in_words(unit: Unit) -> str:
    """Return the name of a unit, for captions and screen readers."""
    return _UNITS_IN_WORDS.get(unit, unit)


def shown(value: Any, unit: Unit, decimals: int | None = None) -> str:
    """Return a value with its unit."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return UNKNOWN if unit == "usd" else NOTHING
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float | Decimal):
        return str(value)
    return _FORMATS.get(unit, _plain(unit))(float(value), decimals)


def moment(at: datetime) -> str:
    """Return a time as text in UTC; the browser shows it in its own zone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def exact_usd(value: Any) -> str:
    """Return all that is known of an amount, to a billionth."""
    return UNKNOWN if value is None else f"${Decimal(value):,.9f}"


def _usd(value: float, decimals: int | None) -> str:
    sign, amount = "\u2212" * (value < 0), abs(value)
    if decimals is None:
        decimals = 0 if amount >= 100_000 else 2 if amount >= 1 or amount == 0 else _significant(amount)
    return f"{sign}${amount:,.{decimals}f}"


def _significant(amount: float) -> int:
    """Return the decimals that leave two digits of a small amount; a billionth is the least there is."""
    return min(max(2, 1 - math.floor(math.log10(amount))), 9)


def _ms(value: float, decimals: int | None) -> str:
    if value >= 1000:
        return _s(value / 1000, decimals)
    return f"{value:.{_some(value, decimals)}f} ms"


def _s(value: float, decimals: int | None) -> str:
    for length, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * length:
            return f"{value / length:.1f} {name}"
    return f"{value:.{2 if decimals is None else decimals}f} s"


def _share(value: float, decimals: int | None) -> str:
    per_cent = value * 100
    if 0 < per_cent < 0.1 and not decimals:
        return "<0.1 %"
    if 99.95 <= per_cent < 100:
        return ">99.9 %"  # what is not all must not read as all
    return f"{per_cent:.{_some(per_cent, decimals)}f} %"


def _score(value: float, decimals: int | None) -> str:
    return f"{value:.{2 if decimals is None else decimals}f}"


def _bytes(value: float, _decimals: int | None) -> str:
    for size, name in _BYTES:
        if value >= size:
            return f"{value / size:.1f} {name}"
    return f"{value:.0f} B"


def _some(value: float, decimals: int | None) -> int:
    return decimals if decimals is not None else 0 if value == round(value) or abs(value) >= 100 else 1


def number(value: float, decimals: int | None = None) -> str:
    """Return a number in short: 12,345 is 12.3k."""
    for least, size, name in _SCALES:
        if abs(value) >= least:
            return f"{value / size:.{1 if decimals is None else decimals}f}{name}"
    if decimals is None:
        decimals = 0 if value == round(value) else 2 if abs(value) < 10 else 1
    return f"{value:,.{decimals}f}"


def _plain(unit: Unit) -> Callable[[float, int | None], str]:
    ending = "" if unit in ("number", "time", "text") else f" {unit}"

    def written(value: float, decimals: int | None) -> str:
        one = ending.removesuffix("s") if value == 1 and ending in (" calls", " spans", " rows", " events") else ending
        return number(value, decimals) + one

    return written


_FORMATS: Final[dict[Unit, Callable[[float, int | None], str]]] = {
    "usd": _usd,
    "ms": _ms,
    "s": _s,
    "share": _share,
    "score": _score,
    "bytes": _bytes,
}
