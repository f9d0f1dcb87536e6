"""Linear models as JSON: a logistic regression whose weights may be held to one sign. No pickles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

_ROUNDS: Final = 5_000
_ENOUGH: Final = 1e-7
_DIGITS: Final = 6
_STEEPEST: Final = 35.0


def sigmoid(z: float) -> float:
    """Return the logistic function of ``z``."""
    return 1 / (1 + exp(-min(_STEEPEST, max(-_STEEPEST, z))))


@dataclass(frozen=True, slots=True)
class Linear:
    """A weighted sum of features, already divided by their scale, and an intercept."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float

    def logit(self, features: Sequence[float]) -> float:
        """Return the log-odds."""
        return self.intercept + sum(w * f for w, f in zip(self.weights, features, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "weights": {n: round(w, _DIGITS) for n, w in zip(self.names, self.weights, strict=True)},
            "intercept": round(self.intercept, _DIGITS),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Linear":
        """Read what :meth:`as_json` wrote."""
        weights: dict[str, float] = found["weights"]
        return cls(tuple(weights), tuple(map(float, weights.values())), float(found["intercept"]))


def fit(names: Sequence[str], rows: Array, targets: Array, weights: Array, *, ridge: float, rising: bool) -> Linear:
    """Fit a ridge logistic regression on standardised features; with ``rising`` no weight is negative.

    Accelerated projected gradient from zero: the same data gives the same model.
    """
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    design = np.hstack([(rows - mean) / scale, np.ones((len(rows), 1))])
    penalty = np.array([*([ridge] * rows.shape[1]), 1e-6])
    steepest = 0.25 * float(np.linalg.eigvalsh((design * weights[:, None]).T @ design)[-1]) + ridge
    beta = ahead = np.zeros(design.shape[1])
    pace = 1.0
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(design @ ahead, -_STEEPEST, _STEEPEST)))
        after = ahead - (design.T @ (weights * (p - targets)) + penalty * ahead) / steepest
        if rising:
            after[:-1] = np.maximum(after[:-1], 0.0)
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = after + (pace - 1) / faster * (after - beta)
        done = float(np.abs(after - beta).max()) < _ENOUGH
        beta, pace = after, faster
        if done:
            break
    plain = beta[:-1] / scale
    return Linear(tuple(names), tuple(map(float, plain)), float(beta[-1] - plain @ mean))
