"""What a dashboard would alert on: each number of each series by itself, in bins of ten minutes.

The same series and the same numbers as the detector's, without the mix taken out, and at thresholds at which a world
without incidents has one false group a week.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from benchmarks._anomaly_truth import Report
from numpy.typing import NDArray

from spanledger_analytics.detect import AT, Cells, Grouping

Reals = NDArray[np.float64]

_BIN: Final = 10
_DAY: Final = 144
_LEAST: Final = 20.0
_GAP_BINS: Final = 6
_RATIOS: Final = {
    "cost": ("cost", "calls"),
    "errors": ("errors", "calls"),
    "length": ("length", "answers"),
    "cached": ("cached", "input"),
    "input": ("input", "answers"),
    "output": ("output", "answers"),
    "time": ("log_time", "timed"),
}


def series_of(cells: Cells) -> tuple[Grouping, int, Reals]:
    """Return the series, the first minute, and values [metric, series, bin]; NaN where there are too few calls."""
    grouping = Grouping(cells.leaves)
    first = int(cells.minute[0]) // _BIN * _BIN
    count = (int(cells.minute[-1]) - first) // _BIN + 1
    place = (cells.minute - first) // _BIN

    def binned(name: str) -> Reals:
        table = np.zeros((len(cells.leaves), count))
        np.add.at(table, (cells.leaf, place), cells.values[:, AT[name]])
        return grouping.sums(table)

    found = [np.sqrt(binned("calls"))]
    for top, below in _RATIOS.values():
        under = binned(below)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.where(under >= _LEAST, binned(top) / under, np.nan))
    return grouping, first, np.stack(found)


def rolling_z(values: Reals) -> Reals:
    """Return deviations from the mean of the last day, in its standard deviations."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    sums = [np.cumsum(np.pad(part, ((0, 0), (0, 0), (1, 0))), axis=-1) for part in (known, filled, filled**2)]
    at = np.arange(values.shape[-1])
    low = np.maximum(at - _DAY, 0)
    number, total, squares = (part[..., at] - part[..., low] for part in sums)
    mean = total / np.maximum(number, 1)
    spread = np.sqrt(np.maximum(squares / np.maximum(number, 1) - mean**2, 0)) + 1e-3 * np.abs(mean) + 1e-9
    return np.where(known & (number >= _DAY // 4), np.abs(values - mean) / spread, 0.0)


def seasonal_mad(values: Reals) -> Reals:
    """Return deviations from the median of the same time on the last seven days, in its median deviations."""
    shifted = np.stack([_shift(values, day * _DAY + step) for day in range(1, 8) for step in (-1, 0, 1)])
    with np.errstate(all="ignore"):
        middle = _median(shifted)
        spread = 1.4826 * _median(np.abs(shifted - middle)) + 0.02 * np.abs(middle) + 1e-9
        z = np.abs(values - middle) / spread
    enough = np.isfinite(shifted).sum(axis=0) >= 9
    return np.where(np.isfinite(z) & enough, z, 0.0)


def holt_winters(values: Reals) -> Reals:
    """Return errors of an additive Holt-Winters forecast with a daily season, in their running deviations."""
    level = np.zeros(values.shape[:-1])
    season = np.zeros((*values.shape[:-1], _DAY))
    variance, seen = np.zeros_like(level), np.zeros_like(level)
    result = np.zeros_like(values)
    for at in range(values.shape[-1]):
        value, slot = values[..., at], at % _DAY
        known = np.isfinite(value)
        error = np.where(known, value - level - season[..., slot], 0.0)
        spread = np.sqrt(variance) + 1e-3 * np.abs(level) + 1e-9
        result[..., at] = np.where(known & (seen > _DAY), np.abs(error) / spread, 0.0)
        held = np.clip(error, -3 * spread, 3 * spread) if at > _DAY else error
        level = np.where(seen == 0, np.where(known, value, 0.0), level + 0.1 * held)
        season[..., slot] += np.where(seen > 0, 0.2 * held, 0.0)
        variance = np.where(known & (seen > 0), 0.97 * variance + 0.03 * held**2, variance)
        seen += known
    return result


def isolation_forest(values: Reals) -> Reals:
    """Return, for each series, scikit-learn's anomaly score of all its numbers together, on their rolling z."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - of the dev extra

    z = np.minimum(rolling_z(values), 20.0)
    table = np.moveaxis(z, 0, -1)
    rows = table.reshape(-1, table.shape[-1])
    train = rows[:: max(len(rows) // 20_000, 1)]
    forest = IsolationForest(n_estimators=100, max_samples=1024, random_state=1).fit(train)
    score = -forest.score_samples(rows)
    return np.asarray(score.reshape(1, *table.shape[:-1]))


BASELINES: Final[dict[str, Callable[[Reals], Reals]]] = {
    "rolling z, 1 day": rolling_z,
    "seasonal median/MAD": seasonal_mad,
    "Holt-Winters": holt_winters,
    "IsolationForest": isolation_forest,
}


def groups(grouping: Grouping, first: int, scores: Reals, threshold: float) -> list[Report]:
    """Return groups of alarms: everything over the threshold with less than an hour between is one."""
    best = scores.max(axis=0)
    bins = np.flatnonzero(best.max(axis=0) >= threshold)
    found = []
    for run in _runs(bins):
        part = best[:, run[0] : run[-1] + 1]
        order = np.argsort(-part.max(axis=1), kind="stable")[:3]
        causes = [grouping.series[place].dimensions for place in order]
        start = first + int(run[0]) * _BIN
        end = first + (int(run[-1]) + 1) * _BIN
        found.append(Report(start, start + _BIN, end, causes[0], causes))
    return found


def threshold_for(grouping: Grouping, first: int, scores: Reals, most: float) -> float:
    """Return the lowest threshold at which there are at most so many groups."""
    levels = np.quantile(scores.max(axis=0).max(axis=0), np.linspace(0.5, 1.0, 400))
    for level in levels:
        if len(groups(grouping, first, scores, float(level))) <= most:
            return float(level)
    return float(levels[-1])


def _runs(bins: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    if len(bins):
        yield from np.split(bins, np.flatnonzero(np.diff(bins) > _GAP_BINS) + 1)


def _shift(values: Reals, by: int) -> Reals:
    result = np.full_like(values, np.nan)
    if by < values.shape[-1]:
        result[..., by:] = values[..., : values.shape[-1] - by]
    return result


def _median(stack: Reals) -> Reals:
    """Return the median over the first axis without the unknown; numpy's warns where all are."""
    ordered = np.sort(stack, axis=0)
    number = np.isfinite(stack).sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum(number - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.maximum(number, 1)[None] // 2, axis=0)[0]
    return np.where(number > 0, (low + high) / 2, np.nan)
