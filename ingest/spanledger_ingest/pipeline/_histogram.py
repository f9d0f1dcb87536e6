"""How long things take, as Prometheus wants it."""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of buckets for what takes milliseconds when all is well and seconds when it is not."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Observations so far: ``cumulative[i]`` of them were at most ``bounds[i]``, the last counts all."""

    bounds: Sequence[float]
    cumulative: Sequence[int]
    sum: float

    @property
    def count(self) -> int:
        """Observations in all."""
        return self.cumulative[-1]


class Histogram:
    """Counts observations by size, on any thread."""

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count one observation."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def distribution(self) -> Distribution:
        """Return the observations so far."""
        with self._lock:
            return Distribution(self._bounds, tuple(accumulate(self._counts)), self._sum)
