"""Point forecasts of the next steps from those before: steps are days with a week's shape, or hours with a day's."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]

LEAST: Final = 3
"""Fewer whole steps say nothing."""
_SEASONS: Final = 8
_SHRINK: Final = 2.0
"""So many steps of the average are mixed into each place of the season."""
_FLOOR: Final = 0.05
"""Of the error of a model, relative: no model is trusted beyond all measure."""


def paced(past: Reals, ahead: int, season: int) -> Reals:
    """Return the pace of the last season for each of the next steps."""
    return np.full(ahead, past[-season:].mean())


def seasonal(past: Reals, ahead: int, season: int) -> Reals:
    """Return the recent level times the factor of each place in the season."""
    recent = past[-_SEASONS * season :]
    mean = recent.mean()
    if mean <= 0 or len(recent) <= season:
        return paced(past, ahead, season)
    # Places are counted backwards from the last step, so that they stay the same for the steps ahead.
    places = (np.arange(len(recent)) - len(recent)) % season
    sums = np.bincount(places, recent, season) + _SHRINK * mean
    factors = sums / (np.bincount(places, minlength=season) + _SHRINK) / mean
    weights = 0.5 ** (np.arange(len(recent))[::-1] / season)
    level = float((weights * recent).sum() / (weights * factors[places]).sum())
    wanted: Reals = level * factors[np.arange(ahead) % season]
    return wanted


def blended(past: Reals, ahead: int, season: int, errors: tuple[float, float]) -> Reals:
    """Return both models together, each by how wrong it was before."""
    weights = [1 / (error + _FLOOR) ** 2 for error in errors]
    first, second = seasonal(past, ahead, season), paced(past, ahead, season)
    result: Reals = (weights[0] * first + weights[1] * second) / sum(weights)
    return result


def scale_of(past: Reals, predicted: float, ahead: float) -> float:
    """Return what errors are measured in: the prediction, and a little of the usual, so that zero can be wrong too."""
    return predicted + 0.1 * float(past.mean()) * ahead + 1.0
