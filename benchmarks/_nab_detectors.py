"""Detectors for one series of which nothing is known: no look-ahead, the same setting for all files.

The ledger's own detector knows what its numbers are, so it is no detector for temperatures and taxis. What it shares
with the one here is how scores become comparable: by their rank among the scores of the past (conformal p-values).
"""

import bisect
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from benchmarks._nab_score import Reals, Series

_DAYS: Final = 7
_WARM: Final = 50
_QUIET_ROWS: Final = 150
"""One event is told once: a row scores only if none of so many before it scored as much."""


def _rows_a_day(series: Series) -> int:
    return max(round(86_400 / max(float(np.median(np.diff(series.seconds[:200]))), 1.0)), 2)


def _z(values: Reals, rows: int) -> Reals:
    """Return deviations from the mean of the last rows, in their standard deviations."""
    sums, squares = np.cumsum(np.append(0, values)), np.cumsum(np.append(0, values**2))
    at = np.arange(len(values))
    low = np.maximum(at - rows, 0)
    number = np.maximum(at - low, 1)
    mean = (sums[at] - sums[low]) / number
    variance = np.maximum((squares[at] - squares[low]) / number - mean**2, 0)
    return np.where(at >= 20, np.abs(values - mean) / np.sqrt(variance + (1e-3 * mean) ** 2 + 1e-9), 0.0)


def rolling_z(series: Series) -> Reals:
    """Over seven days."""
    return _z(series.values, _DAYS * _rows_a_day(series))


def seasonal_mad(series: Series) -> Reals:
    """Against the same time of the last seven days."""
    values, day = series.values, _rows_a_day(series)
    found = np.zeros(len(values))
    for at in range(day, len(values)):
        backs = [at - number * day for number in range(1, _DAYS + 1) if at >= number * day]
        same = np.concatenate([values[max(0, back - 2) : back + 3] for back in backs])
        middle = np.median(same)
        spread = 1.4826 * np.median(np.abs(same - middle)) + 0.05 * np.std(values[max(0, at - _DAYS * day) : at])
        found[at] = abs(values[at] - middle) / (spread + 1e-9)
    return found


def holt_winters(series: Series) -> Reals:
    """Errors of exponential smoothing, in their running deviation."""
    level, variance = series.values[0], 0.0
    found = np.zeros(len(series.values))
    for at, value in enumerate(series.values):
        error = value - level
        found[at] = abs(error) / np.sqrt(variance + 1e-9) if at > 20 else 0.0
        held = min(error**2, 9 * variance) if at > 20 else error**2
        variance = 0.98 * variance + 0.02 * held
        level += 0.3 * error
    return found


def isolation_forest(series: Series) -> Reals:
    """On windows of features, fitted each day on what came before."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - of the dev extra

    table = np.stack([rolling_z(series), _change(series), _variation(series), _smooth(series)], axis=1)
    found, day = np.zeros(len(table)), _rows_a_day(series)
    for start in range(max(day, 100), len(table), day):
        forest = IsolationForest(n_estimators=50, random_state=1).fit(table[max(0, start - _DAYS * day) : start])
        found[start : start + day] = -forest.score_samples(table[start : start + day])
    return found


def _change(series: Series) -> Reals:
    return _z(np.abs(np.diff(series.values, prepend=series.values[0])), _DAYS * _rows_a_day(series))


def _variation(series: Series) -> Reals:
    values = series.values
    spread = np.array([np.std(values[max(0, at - 24) : at + 1]) for at in range(len(values))])
    return _z(spread, _DAYS * _rows_a_day(series))


def _smooth(series: Series) -> Reals:
    sums = np.cumsum(np.append(0, series.values))
    at = np.arange(len(series.values))
    low = np.maximum(at - 11, 0)
    return _z((sums[at + 1] - sums[low]) / (at + 1 - low), _DAYS * _rows_a_day(series))


def together(series: Series) -> Reals:
    """Five views of the series as the sum of their ranks: change, season, forecast error, variation, level."""
    parts = (_change, seasonal_mad, holt_winters, _variation, _smooth)
    return np.asarray(np.sum([ranked(part(series)) for part in parts], axis=0))


def ranked(scores: Reals) -> Reals:
    """Return the logarithm of one over each score's rank in its own past."""
    found, past = np.zeros(len(scores)), list[float]()
    for at, score in enumerate(scores.tolist()):
        if at >= _WARM:
            above = len(past) - bisect.bisect_left(past, score)
            found[at] = -np.log10((above + 1) / (len(past) + 1))
            found[at] += 1e-3 * score / (past[-1] + 1e-9) if above == 0 else 0.0
        bisect.insort(past, score)
    return found


def once(scores: Reals) -> Reals:
    """Keep of each event the rows that exceed all that came shortly before."""
    found, largest = scores.copy(), deque[tuple[int, float]]()
    for at, score in enumerate(scores.tolist()):
        while largest and largest[0][0] < at - _QUIET_ROWS:
            largest.popleft()
        if largest and largest[0][1] >= score:
            found[at] = 0.0
        while largest and largest[-1][1] <= score:
            largest.pop()
        largest.append((at, score))
    return found


DETECTORS: Final[dict[str, Callable[[Series], Reals]]] = {
    "spanledger, five ranks": together,
    "rolling z, 7 days": rolling_z,
    "seasonal median/MAD": seasonal_mad,
    "Holt-Winters": holt_winters,
    "IsolationForest": isolation_forest,
}
