"""Periods of a budget: half-open stretches of time whose edges are midnights of a place.

An edge is the first moment at which the date there is the one wanted or a later one. So days of 23 and 25 hours, dates
that a place skipped, clocks put back across midnight and changes of the zone itself need no care elsewhere: every
moment is in exactly one period.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

Unit: TypeAlias = Literal["day", "week", "month", "rolling", "total"]

SECOND_NS: Final = 10**9
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
END_NS: Final = 2**63 - 1
"""The end of a period that has none."""
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_ROLLING_HOURS: Final = 31 * 24

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, ``[start_ns, end_ns)``."""

    start_ns: int
    end_ns: int
    label: str
    """Of people: ``2026-11-24``, ``2026-11``, ``week of 2026-11-23``, ``24h``, ``total``."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """How a budget begins anew: by day, week or month in a zone, with a window that rolls, or never."""

    unit: Unit
    hours: int = 0
    """Of a rolling window."""
    zone: str = "UTC"
    week_start: int = 0
    """0 is Monday."""

    @property
    def name(self) -> str:
        """As it is configured."""
        return f"rolling {self.hours}h" if self.unit == "rolling" else self.unit

    @property
    def length_ns(self) -> int | None:
        """About how long a period is, ``None`` for one without an end."""
        lengths = {"day": DAY_NS, "week": 7 * DAY_NS, "month": 30 * DAY_NS, "rolling": self.hours * HOUR_NS}
        return lengths.get(self.unit)

    def at(self, moment_ns: int) -> Period:
        """Return the period that a moment is in; a rolling window is one without an end here."""
        if self.unit == "total":
            return Period(0, END_NS, "total")
        if self.unit == "rolling":
            return Period(0, END_NS, f"{self.hours}h")
        first = self._first_day(_local_date(self.zone, moment_ns))
        # The clock may have been put back across midnight: edges decide, not the date.
        while _edge(self.zone, first) > moment_ns:
            first = self._first_day(first - _DAY)
        while _edge(self.zone, self._next(first)) <= moment_ns:
            first = self._next(first)
        return Period(_edge(self.zone, first), _edge(self.zone, self._next(first)), self._label(first))

    def window(self, now_ns: int) -> tuple[int, int]:
        """Return the whole minutes that a rolling window holds at a moment."""
        end = now_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS
        return end - self.hours * HOUR_NS, end

    def _first_day(self, day: date) -> date:
        if self.unit == "week":
            return day - timedelta(days=(day.weekday() - self.week_start) % 7)
        return day.replace(day=1) if self.unit == "month" else day

    def _next(self, first: date) -> date:
        if self.unit == "month":
            return (first + timedelta(days=31)).replace(day=1)
        return first + (_DAY if self.unit == "day" else timedelta(days=7))

    def _label(self, first: date) -> str:
        if self.unit == "month":
            return f"{first:%Y-%m}"
        return f"week of {first}" if self.unit == "week" else str(first)


def parse_cycle(text: str) -> tuple[Unit, int]:
    """Return the unit and hours of ``day``, ``week``, ``month``, ``total`` or ``rolling 24h``.

    Raises:
        ValueError: it is none of these.
    """
    match = re.fullmatch(r"rolling ([0-9]{1,4})h", text)
    if match is not None and 1 <= int(match[1]) <= MAX_ROLLING_HOURS:
        return "rolling", int(match[1])
    for unit in ("day", "week", "month", "total"):
        if text == unit:
            return unit, 0
    raise ValueError(
        f"{text!r} is no period: day, week, month, total, or rolling Nh with up to {MAX_ROLLING_HOURS} hours"
    )


def _local_date(zone: str, moment_ns: int) -> date:
    return _zoned(zone, moment_ns // SECOND_NS).date()


def _zoned(zone: str, seconds: int) -> datetime:
    return (_EPOCH + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))


@lru_cache(maxsize=65_536)
def _edge(zone: str, day: date) -> int:
    """Return the first moment at which it is this date, or a later one, in the zone."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    first, second = (_seconds(midnight.replace(fold=fold)) for fold in (0, 1))
    if second < first:  # there is no such midnight: the clock was put forward over it
        return _search(zone, day, second, first) * SECOND_NS
    return first * SECOND_NS


def _seconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(seconds=1)


def _search(zone: str, day: date, low: int, high: int) -> int:
    """Return the first second from ``low`` to ``high`` at which the date is reached; it is at ``high``."""
    while low < high:
        middle = (low + high) // 2
        if _zoned(zone, middle).date() >= day:
            high = middle
        else:
            low = middle + 1
    return low
