"""The scorer of the Numenta Anomaly Benchmark, as its paper defines it (Lavin and Ahmad, 2015, arXiv:1510.03336).

A detection within a labelled window counts once, the more the earlier; each other detection costs, the more the farther
it lies behind a window; a window without any costs. One threshold serves all series. The sum is put on a scale on which
a detector that says nothing has 0 and a perfect one 100.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

PROFILES: Final = {"standard": (1.0, 0.11, 1.0), "low FP": (1.0, 0.22, 1.0), "low FN": (1.0, 0.11, 2.0)}
"""Weights of a found window, of a false detection, of a missed window."""
_PROBATION: Final = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One file: values over time, and the labelled windows as ranges of rows."""

    name: str
    seconds: Reals
    values: Reals
    windows: Sequence[tuple[int, int]]

    @property
    def probation(self) -> int:
        """Rows at the start in which nothing counts."""
        return min(int(_PROBATION * len(self.values)), int(_PROBATION * 5000))


def read(folder: Path) -> list[Series]:
    """Read every file that has labels."""
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    return [
        _series(name, folder / "data" / name, found)
        for name, found in sorted(labels.items())
        if (folder / "data" / name).is_file()
    ]


def _series(name: str, path: Path, labelled: Sequence[Sequence[str]]) -> Series:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    seconds = np.array([_seconds(row["timestamp"]) for row in rows])
    values = np.array([float(row["value"]) for row in rows])
    windows = []
    for first, last in labelled:
        inside = np.flatnonzero((seconds >= _seconds(first)) & (seconds <= _seconds(last)))
        windows.append((int(inside[0]), int(inside[-1])))
    return Series(name, seconds, values, windows)


def _seconds(text: str) -> float:
    return (datetime.fromisoformat(text.split(".", maxsplit=1)[0]) - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001 - no zone


def scores(series: Sequence[Series], found: Sequence[Reals]) -> dict[str, float]:
    """Return the score of each profile, each at its best threshold (as NAB does it)."""
    return {name: _best(series, found, *weights) for name, weights in PROFILES.items()}


def _best(series: Sequence[Series], found: Sequence[Reals], hit: float, false: float, miss: float) -> float:
    changes = [
        change for one, score in zip(series, found, strict=True) for change in _changes(one, score, hit, false, miss)
    ]
    windows = sum(len(one.windows) for one in series)
    levels = np.array([level for level, _ in changes])
    gains = np.array([gain for _, gain in changes])
    order = np.argsort(-levels, kind="stable")
    totals = np.cumsum(gains[order])
    last = np.append(np.flatnonzero(np.diff(levels[order])), len(order) - 1) if len(order) else np.array([], int)
    best = max(0.0, float(totals[last].max())) if len(last) else 0.0
    raw = best - miss * windows
    return 100 * (raw + miss * windows) / ((hit + miss) * windows)


def _changes(one: Series, score: Reals, hit: float, false: float, miss: float) -> Iterator[tuple[float, float]]:
    """Yield by how much the total changes when the threshold falls to a level."""
    inside = np.zeros(len(score), bool)
    for first, last in one.windows:
        inside[first : last + 1] = True
        yield from _window(score, max(first, one.probation), last, first, hit, miss)
    rows = np.flatnonzero(~inside)
    rows = rows[rows >= one.probation]
    for row, cost in zip(rows, _false(one, rows), strict=True):
        yield float(score[row]), false * cost


def _window(score: Reals, start: int, last: int, first: int, hit: float, miss: float) -> Iterator[tuple[float, float]]:
    """The first row over the threshold counts; as it falls, ever earlier rows become the first."""
    before, width = -miss, last - first + 1
    row = last + 1
    levels: list[tuple[float, int]] = []
    best = -np.inf
    for place in range(start, last + 1):
        if score[place] > best:
            best = float(score[place])
            levels.append((best, place))
    for level, row in reversed(levels):
        worth = hit * _sigmoid(-(last - row + 1) / width) / _sigmoid(-1.0)
        yield level, worth - before
        before = worth


def _false(one: Series, rows: NDArray[np.int64]) -> Reals:
    """Return the cost of a detection at rows outside of windows: -1 far from all, less just behind one."""
    cost = np.full(len(rows), -1.0)
    for first, last in one.windows:
        behind = rows > last
        position = np.abs(last - rows[behind]) / max(last - first, 1)
        cost[behind] = np.where(position > 3.0, -1.0, _sigmoid(position))
    return cost


def _sigmoid(position: Any) -> Any:
    """Return NAB's scaled sigmoid: 1 at the start of a window, 0 at its end, -1 behind."""
    return 2 / (1 + np.exp(5 * position)) - 1
