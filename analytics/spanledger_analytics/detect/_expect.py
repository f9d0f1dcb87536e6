"""What each leaf would give in each minute if all were as it was: the expectations that findings are measured by."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spanledger_analytics.detect._cells import AT, Cells, Ints, Reals
from spanledger_analytics.detect._metrics import METRICS, NUMBER, Metric, Sums, quantum, rounded
from spanledger_analytics.detect._state import DAY, PROFILE, State, model_numbers

_PRIOR_CALLS: Final = 20.0
_GROWN_CALLS: Final = 40.0
_YOUNG: Final = ("error_rate",)
"""Metrics that are judged by the parent's rate while a leaf is young."""
_CLASS_WEIGHTS: Final = np.array([1.0, 0.25, 1.25, 4.0])
"""Usual prices of cached, written and output tokens in units of the price of plain input."""
TOKENS: Final = ("priced_plain", "priced_cached", "priced_written", "priced_output")
_MIN_CALLS_A_WEEK: Final = 1e-6


def hour_of_week(hour: Ints) -> Ints:
    """Return 0..167 with Monday 0:00 UTC as 0 (the epoch was a Thursday)."""
    return (np.asarray(hour, np.int64) + 72) % PROFILE


def hour_of_day(hour: Ints) -> Ints:
    """Return 0..23 on working days, 24..47 on Saturday and Sunday."""
    week = hour_of_week(hour)
    return np.asarray(week % 24 + np.where(week >= 120, 24, 0), np.int64)


@dataclass(frozen=True, eq=False)
class Dense:
    """Measures of the minutes ``[start, end)`` as arrays by leaf and minute."""

    cells: Cells
    places: Ints
    """Of the cells' leaves in the state."""
    count: int
    start: int
    end: int

    @classmethod
    def of(cls, cells: Cells, state: State, start: int, end: int) -> "Dense":
        """Take the minutes out of cells, all leaves of which the state knows."""
        known = {leaf: place for place, leaf in enumerate(state.leaves)}
        places = np.array([known[leaf] for leaf in cells.leaves], np.int64)
        return cls(cells.between(start, end), places, len(known), start, end)

    def measure(self, name: str) -> Reals:
        """Return one measure."""
        result = np.zeros((self.count, self.end - self.start))
        result[self.places[self.cells.leaf], self.cells.minute - self.start] = self.cells.values[:, AT[name]]
        return result


class Expectation:
    """The expectations of a state, by leaf."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.models, _ = model_numbers(state.leaves)

    @cached_property
    def rates(self) -> Reals:
        """By metric and leaf: the mean, shrunk towards the model's and that towards everyone's."""
        top, below = self.state.base[:, 0], self.state.base[:, 1]
        everyone = _ratio(top.sum(axis=1, keepdims=True), below.sum(axis=1, keepdims=True), 0.0, 1e-9)
        count = self.state.prices.shape[1]
        parents = (
            np.stack(
                [
                    _ratio(
                        _by(self.models, top[m], count), _by(self.models, below[m], count), everyone[m], _PRIOR_CALLS
                    )
                    for m in range(len(METRICS))
                ]
            )
            if count
            else np.zeros((len(METRICS), 0))
        )
        rates = _ratio(top, below, parents[:, self.models], _PRIOR_CALLS)
        # A price index: one where nothing is known yet; nano-USD make calls of a prior weightless.
        price = NUMBER["unit_price"]
        rates[price] = np.where(below[price] > 1.0, np.clip(top[price] / np.maximum(below[price], 1.0), 0.2, 5.0), 1.0)
        return rates

    @cached_property
    def variances(self) -> Reals:
        """By metric and leaf: of one call's logarithm, in squared units."""
        top, below, squares = self.state.base[:, 0], self.state.base[:, 1], self.state.base[:, 2]
        own = squares / np.maximum(below, 1e-9) - (top / np.maximum(below, 1e-9)) ** 2
        pooled = (own * below).sum(axis=1, keepdims=True) / np.maximum(below.sum(axis=1, keepdims=True), 1e-9)
        mixed = (np.maximum(own, 0) * below + pooled * _PRIOR_CALLS) / (below + _PRIOR_CALLS)
        return np.asarray(np.maximum(mixed, 100.0))

    def grown(self, metric: Metric, minute: int) -> NDArray[np.bool_]:
        """Tell of each leaf whether it is known well enough to say that it changed."""
        number = NUMBER[metric.name]
        born = np.where(self.state.born < 0, minute // 60, self.state.born)
        old = minute // 60 - born >= metric.hours
        if metric.name in _YOUNG:
            return np.full(len(old), bool(self.state.base[number, 1].sum() >= 10 * _PRIOR_CALLS))
        if metric.kind == "count":
            return old
        least = _MIN_CALLS_A_WEEK if metric.kind == "price" else _GROWN_CALLS
        calls = self.state.base[NUMBER["input_tokens"], 1]
        return np.asarray(old & (self.state.base[number, 1] >= least) & (calls >= _GROWN_CALLS))

    def leaf_sums(self, dense: Dense, metric: Metric) -> Sums:
        """Return X, E, V, N by leaf and minute; leaves that are not grown count nowhere."""
        if metric.kind == "count":
            sums = self._requests(dense)
        elif metric.kind == "price":
            sums = self._price(dense)
        else:
            sums = self._ratio(dense, metric)
        keep = self.grown(metric, dense.end)[:, None]
        step = quantum(metric)
        return Sums(sums.x * keep, rounded(sums.e * keep, step), rounded(sums.v * keep, step), sums.n * keep)

    def _ratio(self, dense: Dense, metric: Metric) -> Sums:
        number = NUMBER[metric.name]
        rate = self.rates[number][:, None]
        calls = dense.measure(metric.below)
        expected = calls * rate
        spread = self.variances[number][:, None] if metric.kind == "mean" else rate * (1 - np.minimum(rate, 1))
        return Sums(dense.measure(metric.top), expected, calls * spread, calls)

    def _price(self, dense: Dense) -> Sums:
        cost, calls = dense.measure("cost"), dense.measure("priced")
        expected = self.predicted(dense) * self.rates[NUMBER["unit_price"]][:, None]
        return Sums(cost, expected, np.zeros_like(cost), calls)

    def predicted(self, dense: Dense) -> Reals:
        """Return what the tokens would cost at the learned prices of their model."""
        prices = self.token_prices[self.models]
        result = np.zeros((dense.count, dense.end - dense.start))
        for place, name in enumerate(TOKENS):
            result += dense.measure(name) * prices[:, place : place + 1]
        return result

    @cached_property
    def token_prices(self) -> Reals:
        """By model and token class, nano-USD: least squares, drawn towards the usual proportions."""
        count = self.state.prices.shape[1]
        matrix = self.state.prices[:16].T.reshape(count, 4, 4)
        vector = self.state.prices[16:].T
        scale = np.maximum(np.einsum("mii->m", matrix), 1e-9)[:, None]
        usual = np.einsum("mij,i,j->m", matrix, _CLASS_WEIGHTS, _CLASS_WEIGHTS)[:, None]
        unit = (vector @ _CLASS_WEIGHTS)[:, None] / np.maximum(usual, 1e-9)
        prior = unit * _CLASS_WEIGHTS
        ridge = 1e-6 * scale[..., None] * np.diag(1 / _CLASS_WEIGHTS**2)
        solved = np.linalg.solve(
            matrix + ridge + 1e-12 * np.eye(4), (vector + (ridge @ prior[..., None])[..., 0])[..., None]
        )
        return np.asarray(np.maximum(solved[..., 0], 0.0))

    def _requests(self, dense: Dense) -> Sums:
        minutes = np.arange(dense.start, dense.end)
        hours = np.arange(dense.start // 60 - 1, dense.end // 60 + 2)
        means, known = self.hourly(hours)
        centre = (hours * 60 + 30)[None, :]
        left = np.searchsorted(hours * 60 + 30, minutes, side="right") - 1
        part = (minutes - centre[0, left]) / 60
        expected = (means[:, left] * (1 - part) + means[:, left + 1] * part) / 60
        usable = known[minutes // 60 - hours[0]]
        calls = dense.measure("calls") * usable
        expected = expected * usable
        return Sums(calls, expected, expected.copy(), calls)

    def hourly(self, hours: Ints) -> tuple[Reals, NDArray[np.bool_]]:
        """Return the calls expected in each hour by leaf, and which hours of the week are known at all."""
        state = self.state
        week, day = hour_of_week(hours), PROFILE + hour_of_day(hours)
        seen_week, seen_day = state.seen[week], state.seen[day]
        other = PROFILE + (hour_of_day(hours) + 24) % DAY
        by_day = np.where(seen_day > 0, state.day[day - PROFILE].T, state.day[other - PROFILE].T)
        weight = 0.5 * (seen_week > 0)
        mean = state.profile[week].T * weight + by_day * (1 - weight)
        top, below = state.recent[0], state.recent[1]
        level = ((top + 3.0) / (below + 3.0)) ** 0.7
        return mean * level[:, None], seen_day > 0


def _ratio(top: Reals, below: Reals, prior: Reals | float, calls: float) -> Reals:
    return np.asarray((top + calls * prior) / (below + calls))


def _by(numbers: Ints, values: Reals, count: int) -> Reals:
    return np.asarray(np.bincount(numbers, weights=values, minlength=count), np.float64)
