"""The share of answers that fail: flagged by a scorer that errs, corrected by what people say of some answers.

Rogan and Gladen (1978): with sensitivity ``se`` and specificity ``sp`` of the scorer, the true share behind the flagged
share ``q`` is ``(q + sp - 1) / (se + sp - 1)``. The interval resamples all three, because all are estimates.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

import numpy as np

_Z: Final = 1.959964
_DRAWS: Final = 2_000
_LEAST_SKILL: Final = 0.1
"""``se + sp - 1`` below it: the flags say nothing about the answers."""
MIN_AGREEMENT: Final = 50
"""Labels below which a share is not corrected."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers under one name: how many were judged, and how many of those failed."""

    evaluable: int
    failing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How a scorer's flags and people's labels meet; weighted sums, and how many labels they are worth."""

    both_fail: float = 0.0
    missed: float = 0.0
    """People say fail, the scorer does not."""
    false_alarm: float = 0.0
    both_pass: float = 0.0
    labels: int = 0

    @property
    def sensitivity(self) -> float:
        """The share of bad answers that are flagged, shrunk a little towards a half."""
        return (self.both_fail + 0.5) / (self.both_fail + self.missed + 1)

    @property
    def specificity(self) -> float:
        """The share of good answers that are not flagged, shrunk likewise."""
        return (self.both_pass + 0.5) / (self.both_pass + self.false_alarm + 1)

    @property
    def usable(self) -> bool:
        """Whether there are enough labels of both kinds, and the flags mean something."""
        bad, good = self.both_fail + self.missed, self.both_pass + self.false_alarm
        return (
            self.labels >= MIN_AGREEMENT
            and min(bad, good) >= 10
            and self.sensitivity + self.specificity - 1 > _LEAST_SKILL
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with a 95 % interval; ``uncorrected`` is the flagged share as it is."""

    value: float | None
    low: float | None
    high: float | None
    method: Literal["corrected", "uncorrected", "none"]


def rate_of(tally: Tally, agreement: Agreement | None = None, seed: int = 7) -> Rate:
    """Return the share that fails: corrected if the labels allow it, else as flagged, with Wilson's interval."""
    if not tally.evaluable:
        return Rate(None, None, None, "none")
    if agreement is None or not agreement.usable:
        return Rate(tally.failing / tally.evaluable, *wilson(tally.failing, tally.evaluable), "uncorrected")
    value = _corrected(tally.failing / tally.evaluable, agreement.sensitivity, agreement.specificity)
    return Rate(float(value), *_interval(tally, agreement, seed), "corrected")


def wilson(failing: float, total: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    share, z2 = failing / total, _Z * _Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def _corrected(flagged: "np.ndarray | float", se: "np.ndarray | float", sp: "np.ndarray | float") -> "np.ndarray":
    return np.clip((np.asarray(flagged) + sp - 1) / np.maximum(np.asarray(se) + sp - 1, 1e-9), 0.0, 1.0)


def _interval(tally: Tally, agreement: Agreement, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    flagged = rng.beta(tally.failing + 0.5, tally.evaluable - tally.failing + 0.5, _DRAWS)
    se = rng.beta(agreement.both_fail + 0.5, agreement.missed + 0.5, _DRAWS)
    sp = rng.beta(agreement.both_pass + 0.5, agreement.false_alarm + 0.5, _DRAWS)
    skilled = se + sp - 1 > 0
    low, high = np.quantile(_corrected(flagged[skilled], se[skilled], sp[skilled]), [0.025, 0.975])
    return float(low), float(high)
