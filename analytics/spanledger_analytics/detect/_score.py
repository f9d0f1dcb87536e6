"""Scores of every series, metric and window of a stretch of minutes."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spanledger_analytics.detect._cells import Cells, Reals
from spanledger_analytics.detect._expect import Dense, Expectation
from spanledger_analytics.detect._metrics import METRICS, Metric, Sums
from spanledger_analytics.detect._series import LEVELS, Grouping
from spanledger_analytics.detect._state import SPREADS, WINDOWS, State

LOOKBACK: Final = max(WINDOWS)
_LEAST_SHARE: Final = 0.05
"""Of calls that had something, for it to be missed."""
_PRIOR: Final = 24.0
"""Windows that what is common to a level counts as."""


def spread_place(window: int) -> int:
    """Return which of the learned spreads fits a window."""
    return 0 if window <= SPREADS[0] else 1 if window <= SPREADS[1] else 2


@dataclass(eq=False)
class Scorer:
    """Judges the minutes ``[start, end)``, all within one hour, with what a state knows."""

    state: State
    cells: Cells
    start: int
    end: int
    _running: dict[int, Sums] = field(default_factory=dict)
    _windows: dict[tuple[int, int], Sums] = field(default_factory=dict)

    @cached_property
    def dense(self) -> Dense:
        """With the minutes before that windows reach back to."""
        return Dense.of(self.cells, self.state, self.start - LOOKBACK + 1, self.end)

    @cached_property
    def expectation(self) -> Expectation:
        """Of the state."""
        return Expectation(self.state)

    @cached_property
    def grouping(self) -> Grouping:
        """Of the state's leaves."""
        return Grouping(self.state.leaves)

    @cached_property
    def tau2(self) -> Reals:
        """By metric, spread and series: variance of the logarithm between windows, drawn to the level's mean."""
        top, weight, samples = (self.state.spread[:, :, place] for place in range(3))
        level = self.grouping.level
        pooled_top, pooled_weight, pooled_samples = (_by_level(level, one) for one in (top, weight, samples))
        default = np.array([metric.tau2 for metric in METRICS])[:, None, None]
        size = np.maximum(np.where(pooled_samples > 0, pooled_weight / np.maximum(pooled_samples, 1e-9), 1.0), 1e-3)
        pooled = (np.maximum(pooled_top, 0) + default * _PRIOR * size) / (pooled_weight + _PRIOR * size)
        own_size = np.maximum(np.where(samples > 0, weight / np.maximum(samples, 1e-9), 1.0), 1e-3)
        own = (top + pooled[..., level] * _PRIOR * own_size) / (weight + _PRIOR * own_size)
        return np.asarray(np.maximum(own, 0.1 * default))

    def cumulated(self, number: int) -> Sums:
        """Return a metric's running sums by leaf, one column more than minutes."""
        if number not in self._running:
            sums = self.expectation.leaf_sums(self.dense, METRICS[number])
            parts = (sums.x, sums.e, sums.v, sums.n)
            self._running[number] = Sums(
                *(np.concatenate([np.zeros((len(part), 1)), np.cumsum(part, axis=1)], axis=1) for part in parts)
            )
        return self._running[number]

    def windows(self, number: int, window: int, keep: NDArray[np.bool_] | None = None) -> Sums:
        """Return the sums of each series over the window that ends with each minute."""
        if keep is None or keep.all():
            if (number, window) not in self._windows:
                self._windows[number, window] = self._windowed(number, window, None)
            return self._windows[number, window]
        return self._windowed(number, window, keep)

    def _windowed(self, number: int, window: int, keep: NDArray[np.bool_] | None) -> Sums:
        running, levels = self.cumulated(number), METRICS[number].levels
        count = self.end - self.start
        high = slice(LOOKBACK, LOOKBACK + count)
        low = slice(LOOKBACK - window, LOOKBACK - window + count)
        parts = [a[:, high] - a[:, low] for a in (running.x, running.e, running.v, running.n)]
        if keep is not None:
            parts = [part * keep[:, None] for part in parts]
        return Sums(*(self.grouping.sums(part, levels) for part in parts))


def matters(metric: Metric, sums: Sums) -> NDArray[np.bool_]:
    """Tell which changes are large enough, and of a direction, to be of interest."""
    if metric.kind == "count":  # fewer calls than usual are life; none at all are not
        return np.asarray(sums.x == 0)
    effect = sums.log_effect(metric)
    up = effect >= np.log(metric.least_up) if 1 in metric.directions else np.zeros(effect.shape, bool)
    down = effect <= np.log(max(metric.least_down, 1e-9)) if -1 in metric.directions else np.zeros(effect.shape, bool)
    if metric.kind == "share":
        up &= sums.x >= 5
        down &= sums.e >= _LEAST_SHARE * sums.n
    return np.asarray(up | down)


def _by_level(level: NDArray[np.int64], values: Reals) -> Reals:
    count = len(LEVELS)
    return np.stack([[np.bincount(level, weights=row, minlength=count) for row in rows] for rows in values])
