"""What every figure of quality is printed with: its size, its base rate, an interval, and what costs nothing."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
_DRAWS: Final = 500
_BINS: Final = 10


def auroc(scores: Array, positive: Array) -> float:
    """Return the chance that a positive has the higher score; ties count a half."""
    count = float(positive.sum())
    rest = len(positive) - count
    if not count or not rest:
        return float("nan")
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    return float((ranks[positive > 0].sum() - count * (count + 1) / 2) / (count * rest))


def interval(scores: Array, positive: Array, of: Callable[[Array, Array], float], groups: Sequence[str]) -> list[float]:
    """Return a 95 % interval by bootstrap over groups: answers to one text rise and fall together."""
    _, member = np.unique(np.array(groups), return_inverse=True)
    places = [np.flatnonzero(member == group) for group in range(member.max() + 1)]
    rng = np.random.default_rng(7)
    draws = []
    for _ in range(_DRAWS):
        taken = np.concatenate([places[group] for group in rng.integers(0, len(places), len(places))])
        draws.append(of(scores[taken], positive[taken]))
    return [round(float(edge), 4) for edge in np.nanquantile(draws, [0.025, 0.975])]


def f1(flagged: "np.ndarray[Any, np.dtype[np.bool_]]", positive: Array) -> float:
    """Return the harmonic mean of precision and recall."""
    right = float(positive[flagged].sum())
    return 2 * right / (float(flagged.sum()) + float(positive.sum())) if right else 0.0


def best_threshold(scores: Array, positive: Array) -> float:
    """Return the threshold with the best F1."""
    steps = np.unique(np.quantile(scores, np.linspace(0, 1, 101)))
    return float(max(steps, key=lambda step: f1(scores >= step, positive)))


def expected_calibration_error(probability: Array, positive: Array) -> float:
    """Return the mean distance between what was foretold and what was, in ten bins of equal width."""
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    gaps = [abs(float((probability - positive)[bins == one].sum())) for one in range(_BINS)]
    return sum(gaps) / len(positive)


def rounded(value: Any) -> Any:
    """Return nested figures with four digits."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return round(float(value), 4) if isinstance(value, float) else value
