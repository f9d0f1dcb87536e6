"""Turning a scorer's value into a probability, on what people said of its answers.

Below 50 labels, or ten of either kind, a score stays uncalibrated. From 50 on Platt's two parameters are fitted. Above
200 a logistic regression on the features of the explanation is fitted beside it, and takes over only if its AUROC in
cross-validation is better by more than a standard error. Everything is JSON: coefficients, never code.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

MIN_LABELS: Final = 50
MIN_CLASS: Final = 10
REFIT_LABELS: Final = 200
_FOLDS: Final = 5
_RIDGE: Final = 1.0
_ROUNDS: Final = 50
_EDGE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Labelled:
    """A score that somebody labelled: ``positive`` if they agree with what a value of 1 means."""

    value: float
    positive: bool
    features: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A logistic model: of the value's log-odds (``platt``) or of features (``refit``)."""

    kind: Literal["platt", "refit"]
    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    labels: int

    @property
    def id(self) -> str:
        """A digest of the parameters."""
        return f"{self.kind}-{hashlib.sha256(self.dump().encode()).hexdigest()[:12]}"

    def confidence(self, value: float, features: Mapping[str, Any]) -> float:
        """Return the probability that people agree with a value of 1."""
        row = _row(self.names, value, features)
        z = float(np.dot((row - np.array(self.mean)) / np.array(self.scale), self.coefficients)) + self.intercept
        return float(1 / (1 + np.exp(-np.clip(z, -35, 35))))

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> "Calibration":
        """Read what :meth:`dump` wrote."""
        found: dict[str, Any] = json.loads(text)
        parts: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in found.items()}
        return cls(**parts)


def calibrate(labelled: Sequence[Labelled]) -> Calibration | None:
    """Return the calibration that these labels allow, ``None`` while there are too few."""
    positives = sum(one.positive for one in labelled)
    if len(labelled) < MIN_LABELS or min(positives, len(labelled) - positives) < MIN_CLASS:
        return None
    platt = _fit(labelled, "platt", ("logit",))
    names = _shared_features(labelled)
    if len(labelled) <= REFIT_LABELS or not names:
        return platt
    champion, challenger = (_cross_validated(labelled, kind, of) for kind, of in _models(names))
    lead = challenger - champion
    wins = lead.mean() > lead.std(ddof=1) / np.sqrt(len(lead))
    return _fit(labelled, "refit", names) if wins else platt


def _models(names: tuple[str, ...]) -> tuple[tuple[Literal["platt", "refit"], tuple[str, ...]], ...]:
    return ("platt", ("logit",)), ("refit", names)


def _shared_features(labelled: Sequence[Labelled]) -> tuple[str, ...]:
    shared = set.intersection(*(set(one.features) for one in labelled))
    return ("logit", *sorted(shared)) if shared else ()


def _row(names: Sequence[str], value: float, features: Mapping[str, Any]) -> Array:
    inner = min(1 - _EDGE, max(_EDGE, value))
    known = {**features, "logit": float(np.log(inner / (1 - inner)))}
    return np.array([float(known.get(name) or 0.0) for name in names])


def _fit(labelled: Sequence[Labelled], kind: Literal["platt", "refit"], names: tuple[str, ...]) -> Calibration:
    rows = np.array([_row(names, one.value, one.features) for one in labelled])
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    weights = np.array([one.weight for one in labelled])
    coefficients, intercept = _logistic(
        (rows - mean) / scale, np.array([float(one.positive) for one in labelled]), weights / weights.mean()
    )
    return Calibration(
        kind=kind,
        names=names,
        mean=tuple(map(float, mean)),
        scale=tuple(map(float, scale)),
        coefficients=tuple(map(float, coefficients)),
        intercept=float(intercept),
        labels=len(labelled),
    )


def _logistic(rows: Array, targets: Array, weights: Array) -> tuple[Array, float]:
    """Fit by Newton's method with a ridge on everything but the intercept (Platt's smoothed targets)."""
    positives, negatives = targets.sum(), (1 - targets).sum()
    targets = np.where(targets > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.hstack([rows, np.ones((len(rows), 1))])
    ridge = np.diag([*([_RIDGE] * rows.shape[1]), 1e-6])
    beta = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -35, 35)))
        gradient = design.T @ (weights * (p - targets)) + ridge @ beta
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.abs(step).max() < 1e-8:
            break
    return beta[:-1], float(beta[-1])


def _cross_validated(labelled: Sequence[Labelled], kind: Literal["platt", "refit"], names: tuple[str, ...]) -> Array:
    """Return the AUROC of each fold; folds are the same for every model."""
    order = np.random.default_rng(7).permutation(len(labelled))
    found = []
    for fold in range(_FOLDS):
        held = {int(place) for place in order[fold::_FOLDS]}
        model = _fit([one for n, one in enumerate(labelled) if n not in held], kind, names)
        tested = [labelled[n] for n in sorted(held)]
        guesses = np.array([model.confidence(one.value, one.features) for one in tested])
        found.append(auroc(guesses, np.array([one.positive for one in tested])))
    return np.array(found)


def auroc(guesses: Array, positive: "np.ndarray[Any, np.dtype[np.bool_]]") -> float:
    """Return the chance that a positive is guessed higher than a negative; a half if there is only one kind."""
    if positive.all() or not positive.any():
        return 0.5
    above = guesses[positive][:, None] - guesses[~positive][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())
