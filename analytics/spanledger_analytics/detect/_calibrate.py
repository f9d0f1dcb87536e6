"""From scores to p-values: ranks in the past of the same metric, level and window, with an extrapolated tail."""

from typing import Final

import numpy as np

from spanledger_analytics.detect._cells import Reals
from spanledger_analytics.detect._metrics import NUMBER
from spanledger_analytics.detect._state import BUCKET, BUCKETS, RESTLESS

_SURE: Final = 1e-3
_BEFORE: Final = 1e-2
"""The tail goes on as it fell between these shares of the past: what lies farther out may be incidents."""
_SURE_OF_HALF_DAYS: Final = 1e-2
_BEFORE_OF_HALF_DAYS: Final = 1e-1
"""Of prompts and answers. Half days are few and each counts twelve times: one that nobody saw weighs a thousandth."""
_ENOUGH: Final = 3000.0
_CAUTIOUS: Final = 2.1
"""How fast the tail falls while little is known."""
_WORST: Final = 1.5
"""A past that falls more slowly is one of incidents that nobody saw."""
_EDGES: Final = np.arange(BUCKETS, dtype=np.float64) * BUCKET


class Calibration:
    """p-values (as natural logarithms) of scores by Mondrian class: metric, level, window.

    A rank says nothing beyond the largest score of the past, and incidents that nobody saw are part of the past: so
    from the last thousandth on, the tail goes on exponentially. It is never lighter than the normal distribution's.
    """

    def __init__(self, histograms: Reals) -> None:
        total = np.maximum(histograms.sum(axis=-1, keepdims=True), 1e-9)
        share = np.cumsum(histograms[..., ::-1], axis=-1)[..., ::-1] / total
        tails, befores = (np.full((*histograms.shape[:-1], 1), one) for one in (_SURE, _BEFORE))
        restless = [NUMBER[name] for name in RESTLESS]
        tails[restless, :, -1], befores[restless, :, -1] = _SURE_OF_HALF_DAYS, _BEFORE_OF_HALF_DAYS
        sure, before = (_quantile(share, tail) for tail in (tails, befores))
        scale = np.clip((sure - before) / np.log(befores / tails), 0.25, 3.0)
        beyond = np.log(tails) - (_EDGES - sure) / scale
        with np.errstate(divide="ignore"):
            learned = np.where(sure > _EDGES, np.log(np.maximum(share, 1e-300)), beyond)
        cautious, worst = (np.minimum(np.log(0.05) - slope * (_EDGES - 2.0), 0.0) for slope in (_CAUTIOUS, _WORST))
        learned = np.minimum(learned, worst)
        enough = total >= _ENOUGH
        self._table = np.maximum(np.where(enough, learned, cautious), log_normal_tail(_EDGES))
        self._slope = np.where(enough, np.maximum(1 / scale, _WORST), _CAUTIOUS)[..., 0]

    def threshold(self, metric: int, window: int, log_p: float) -> Reals:
        """Return for each level the score whose p-value is ``exp(log_p)``."""
        table = self._table[metric, :, window]
        place = (table > log_p).sum(axis=-1)
        last = table[:, -1]
        inside = place * BUCKET
        outside = _EDGES[-1] + (last - log_p) / self._slope[metric, :, window]
        return np.asarray(np.where(place < BUCKETS, inside, outside), np.float64)

    def log_p(self, metric: int, level: int, window: int, z: float) -> float:
        """Return the logarithm of a p-value."""
        table = self._table[metric, level, window]
        if z >= _EDGES[-1]:
            return float(table[-1] - (z - _EDGES[-1]) * self._slope[metric, level, window])
        place = int(z / BUCKET)
        part = z / BUCKET - place
        return float(table[place] * (1 - part) + table[min(place + 1, BUCKETS - 1)] * part)


def _quantile(share: Reals, tail: Reals) -> Reals:
    """Return the score beyond which this share of the past lies, interpolated in its logarithm."""
    place = np.maximum((share > tail).sum(axis=-1, keepdims=True) - 1, 0)
    above = np.maximum(np.take_along_axis(share, place, axis=-1), 1e-12)
    below = np.take_along_axis(share, np.minimum(place + 1, BUCKETS - 1), axis=-1)
    part = np.log(above / tail) / np.maximum(np.log(above / np.maximum(below, 1e-12)), 1e-9)
    return np.asarray((place + np.clip(part, 0.0, 1.0)) * BUCKET)


def log_normal_tail(z: Reals) -> Reals:
    """Return the logarithm of the two-sided normal tail, a close upper bound from 1 on."""
    z = np.asarray(z, np.float64)
    return np.asarray(np.minimum(-0.5 * z * z - np.log(np.maximum(z, 0.8) * np.sqrt(np.pi / 2)), 0.0))


def false_discovery(log_ps: list[float], tests: int, log_q: float) -> int:
    """Return how many of the smallest p-values are discoveries (Benjamini-Hochberg)."""
    found = 0
    for rank, log_p in enumerate(sorted(log_ps), start=1):
        if log_p <= log_q + np.log(rank / max(tests, 1)):
            found = rank
    return found
