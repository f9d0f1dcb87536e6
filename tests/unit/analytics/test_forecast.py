"""Forecasts of spending: when there is none, what it says of simple series, and that its intervals hold."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_analytics.forecast import SpendForecaster

HOUR = 3600 * 10**9
DAY = 24 * HOUR
USD = 10**9


class Stretch(NamedTuple):
    start_ns: int
    end_ns: int


MONTH = Stretch(60 * DAY, 90 * DAY)


def even(days: range, nano: int = USD) -> list[tuple[int, int]]:
    return [(day * DAY + hour * HOUR, nano) for day in days for hour in range(24)]


def test_nothing_is_said_before_three_days_or_a_tenth_of_the_period() -> None:
    history = even(range(30, 90))
    said = [SpendForecaster()(history[: 24 * (30 + day)], MONTH, (60 + day) * DAY) for day in (0, 1, 2, 3, 4)]
    assert [forecast is not None for forecast in said] == [False, False, False, True, True]


@pytest.mark.parametrize("history", [[], even(range(61, 63))])
def test_nothing_is_said_with_next_to_no_history(history: list[tuple[int, int]]) -> None:
    assert SpendForecaster()(history, MONTH, 63 * DAY + HOUR) is None


@pytest.mark.parametrize("moment", [65 * DAY, 75 * DAY + 5 * HOUR, 89 * DAY, 90 * DAY - HOUR])
def test_what_is_always_the_same_goes_on(moment: int) -> None:
    history = [(hour, nano) for hour, nano in even(range(30, 90)) if hour < moment]
    forecast = SpendForecaster()(history, MONTH, moment)
    assert forecast is not None
    assert forecast.total == pytest.approx(720 * USD, rel=1e-6)
    assert forecast.low <= forecast.total <= forecast.high


def test_weekends_are_expected() -> None:
    history = [(hour, nano) for hour, nano in even(range(4, 74)) if (hour // DAY) % 7 < 5]
    forecast = SpendForecaster()(history, MONTH, 74 * DAY)
    assert forecast is not None
    came = sum(nano for hour, nano in even(range(60, 90)) if (hour // DAY) % 7 < 5)
    assert forecast.total == pytest.approx(came, rel=0.03)


def test_a_day_has_a_shape_of_hours() -> None:
    history = [(hour, nano) for hour, nano in even(range(40, 61)) if 8 <= hour // HOUR % 24 < 18]
    day = Stretch(60 * DAY, 61 * DAY)
    known = [(hour, nano) for hour, nano in history if hour < 60 * DAY + 9 * HOUR]
    forecast = SpendForecaster()(known, day, 60 * DAY + 9 * HOUR)
    assert forecast is not None
    assert forecast.total == pytest.approx(10 * USD, rel=0.25)


@given(st.lists(st.integers(0, 10**15), min_size=200, max_size=900), st.integers(3, 29))
def test_whatever_was_spent_the_figures_are_in_order(costs: list[int], elapsed: int) -> None:
    now = (60 + elapsed) * DAY
    history = [(now - (len(costs) - place) * HOUR, cost) for place, cost in enumerate(costs) if cost]
    forecast = SpendForecaster()(history, MONTH, now)
    if forecast is not None:
        spent = sum(cost for hour, cost in history if hour >= MONTH.start_ns)
        assert 0 <= spent - 1 <= forecast.total or spent <= forecast.total + 1
        assert forecast.low <= forecast.total <= forecast.high
        assert list(forecast.outcomes) == sorted(forecast.outcomes)
        chances = [forecast.p_exceed(amount) for amount in (0, forecast.low, forecast.high, 10**20)]
        assert chances == sorted(chances, reverse=True)


def test_intervals_hold_about_as_often_as_they_say_over_many_budgets() -> None:
    random = np.random.default_rng(7)
    forecaster = SpendForecaster()
    held = []
    for _ in range(60):
        level = random.lognormal(0, 0.4, 90) * 1e9
        history = [(day * DAY + hour * HOUR, int(level[day] / 24)) for day in range(90) for hour in range(24)]
        for moment in (68 * DAY, 75 * DAY, 82 * DAY):
            known = [(hour, nano) for hour, nano in history if hour < moment]
            forecast = forecaster(known, MONTH, moment)
            assert forecast is not None
            came = sum(nano for hour, nano in history if hour >= MONTH.start_ns)
            held.append(forecast.low <= came <= forecast.high)
    assert 0.7 <= np.mean(held) <= 0.9
    share = forecaster.coverage().share
    assert share is not None
    assert 0.77 <= share <= 0.83


def test_asking_again_teaches_nothing_twice() -> None:
    history = [(hour, nano * (1 + hour // DAY % 5)) for hour, nano in even(range(30, 75))]
    forecaster = SpendForecaster()
    first = forecaster(history, MONTH, 75 * DAY)
    seen = forecaster.coverage().seen
    assert forecaster(history, MONTH, 75 * DAY) is not None
    assert forecaster.coverage().seen == seen
    assert first is not None
