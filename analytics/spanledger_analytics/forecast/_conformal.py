"""Intervals that learn how wrong forecasts were, of all budgets together, and widen or narrow until 80 % hold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from spanledger_analytics.forecast._models import Reals

COVERED: Final = 0.8
_RATE: Final = 0.03
_POOLED: Final = 4_000
_WEIGHT_OF_OTHERS: Final = 10.0
"""The errors of all others together count like so many of one's own."""
_DEFAULT: Final = (-0.6, -0.35, -0.2, -0.1, -0.04, 0.0, 0.04, 0.1, 0.25, 0.5, 1.0)
"""Relative errors to begin with, before there is any of anybody's."""
_FORGETS: Final = 0.998

Seen: TypeAlias = tuple[int, int, int]
"""A step, how many ahead were forecast, what they came to: one forecast of one budget."""


@dataclass(slots=True)
class Coverage:
    """How many of the intervals held, with what is long ago fading."""

    held: float = 0.0
    seen: float = 0.0

    def add(self, *, held: bool) -> None:
        """Count one."""
        self.held = self.held * _FORGETS + held
        self.seen = self.seen * _FORGETS + 1

    @property
    def share(self) -> float | None:
        """The part that held; ``None`` before there was any."""
        return self.held / self.seen if self.seen else None


@dataclass(slots=True)
class Pool:
    """Errors of forecasts that look about as far ahead."""

    errors: dict[Seen, float] = field(default_factory=dict)
    scale: float = 1.0
    coverage: Coverage = field(default_factory=Coverage)

    def learn(self, seen: Seen, error: float, own: Sequence[float]) -> None:
        """Take a forecast in that has come to its end, once; ``own`` are those of its budget that ended before."""
        if seen in self.errors:
            return
        low, high = self.spread(own)[1]
        held = low <= error <= high
        self.coverage.add(held=held)
        self.scale *= math.exp(_RATE * (COVERED - held))
        self.scale = min(max(self.scale, 0.2), 5.0)
        self.errors[seen] = error
        if len(self.errors) > _POOLED:
            del self.errors[next(iter(self.errors))]

    def spread(self, own: Sequence[float]) -> tuple[Reals, tuple[float, float]]:
        """Return relative errors in order, evenly likely, and the two between which 80 % lie."""
        others = list(self.errors.values()) or list(_DEFAULT)
        values = np.array([*own, *others])
        weights = np.concatenate([np.ones(len(own)), np.full(len(others), _WEIGHT_OF_OTHERS / len(others))])
        order = np.argsort(values)
        places = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
        even = np.interp(np.linspace(0.01, 0.99, 99), places, values[order])
        middle = float(even[49])
        wide: Reals = middle + (even - middle) * self.scale
        return wide, (float(wide[9]), float(wide[89]))
