"""Periods against an independent oracle: the C library, asked for the date of every quarter of an hour."""

import os
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from zoneinfo import TZPATH, available_timezones

import pytest

from spanledger_alerts.budgets import Cycle, Period

FULL = os.environ.get("SPANLEDGER_FULL") == "1"
SECOND = 10**9
QUARTER = 900
ODD = (
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Scoresbysund",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
)
YEARS = (2017, 2027)


def seconds(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


@contextmanager
def local_clock(zone: str) -> Iterator[None]:
    """Let the C library tell the time of a zone."""
    package = str(files("tzdata") / "zoneinfo")
    directory = next((path for path in TZPATH if Path(path, zone).is_file()), package)
    before = {name: os.environ.get(name) for name in ("TZ", "TZDIR")}
    os.environ |= {"TZ": zone, "TZDIR": directory}
    time.tzset()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        time.tzset()


def edges_of_days(zone: str) -> list[tuple[int, tuple[int, int, int]]]:
    """Return when each date was first reached; dates that were skipped do not appear."""
    found: list[tuple[int, tuple[int, int, int]]] = []
    latest = (0, 0, 0)
    with local_clock(zone):
        for moment in range(seconds(YEARS[0]) - 40 * 86_400, seconds(YEARS[1]) + 40 * 86_400, QUARTER):
            date = time.localtime(moment)[:3]
            if date > latest:
                latest = date
                found.append((moment, date))
    return found[1:]


def weekday(date: tuple[int, int, int]) -> int:
    return datetime(*date, tzinfo=UTC).weekday()


def oracle(edges: list[tuple[int, tuple[int, int, int]]], unit: str, week_start: int) -> list[int]:
    if unit == "day":
        return [moment for moment, _ in edges]
    if unit == "month":
        return [moment for (moment, date), (_, before) in zip(edges[1:], edges, strict=False) if date[1] != before[1]]
    starts = []
    for (moment, date), (_, before) in zip(edges[1:], edges, strict=False):
        day = (weekday(date) - week_start) % 7
        if day == 0 or day < (weekday(before) - week_start) % 7:
            starts.append(moment)
    return starts


def zones() -> list[str]:
    return sorted(available_timezones()) if FULL else list(ODD)


@pytest.mark.parametrize("zone", zones())
def test_periods_equal_those_of_the_c_library_over_ten_years(zone: str) -> None:
    edges = edges_of_days(zone)
    assert all(moment % QUARTER == 0 for moment, _ in edges)
    low, high = seconds(YEARS[0]), seconds(YEARS[1])
    for cycle in (Cycle("day", zone=zone), Cycle("week", zone=zone, week_start=6), Cycle("month", zone=zone)):
        starts = oracle(edges, cycle.unit, cycle.week_start)
        inside = [start for start in starts if low <= start < high]
        for start in inside:
            end = starts[bisect_right(starts, start)]
            period = cycle.at(start * SECOND)
            assert (period.start_ns, period.end_ns) == (start * SECOND, end * SECOND)
            assert cycle.at(end * SECOND - 1) == period
            assert cycle.at((start + end) // 2 * SECOND) == period


def test_an_edge_between_quarters_would_be_seen() -> None:
    """The oracle looks at every quarter of an hour; zones of these years are never between two."""
    for zone in zones():
        with local_clock(zone):
            offsets = {time.localtime(moment).tm_gmtoff for moment in range(seconds(2017), seconds(2027), 86_400)}
        assert {offset % QUARTER for offset in offsets} == {0}


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("America/Havana", "2026-03-08", 23),
        ("Antarctica/Troll", "2026-03-29", 22),
        ("UTC", "2028-02-29", 24),
    ],
)
def test_days_are_as_long_as_they_are(zone: str, day: str, hours: float) -> None:
    noon = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * SECOND
    period = Cycle("day", zone=zone).at(noon)
    assert period.label == day
    assert (period.end_ns - period.start_ns) / SECOND / 3600 == hours


def test_a_date_that_a_place_skipped_has_no_period() -> None:
    cycle = Cycle("day", zone="Pacific/Apia")
    before = cycle.at(seconds(2011, 12, 30) * SECOND + 9 * 3600 * SECOND)
    after = cycle.at(before.end_ns)
    assert (before.label, after.label) == ("2011-12-29", "2011-12-31")


def test_months_leap_and_weeks_begin_where_they_are_said_to() -> None:
    month = Cycle("month").at(seconds(2028, 2, 29) * SECOND)
    assert (month.label, month.end_ns) == ("2028-02", seconds(2028, 3) * SECOND)
    for week_start, first in ((0, "2026-11-23"), (6, "2026-11-22"), (2, "2026-11-18")):
        assert Cycle("week", week_start=week_start).at(seconds(2026, 11, 24) * SECOND).label == f"week of {first}"
    assert Cycle("total").at(5) == Period(0, 2**63 - 1, "total")
    assert Cycle("rolling", 2).window(7_200 * SECOND + 1) == (60 * SECOND, 7_260 * SECOND)


def test_a_clock_put_back_across_midnight_leaves_every_moment_in_one_period() -> None:
    cycle = Cycle("day", zone="America/St_Johns")  # until 2011 the clocks were put back at one minute past midnight
    moment = seconds(2010, 11, 6) * SECOND
    starts = set()
    while moment < seconds(2010, 11, 9) * SECOND:
        period = cycle.at(moment)
        assert period.start_ns <= moment < period.end_ns
        starts.add(period.start_ns)
        moment += 60 * SECOND
    ordered = sorted(starts)
    assert [cycle.at(start).end_ns for start in ordered[:-1]] == ordered[1:]
