"""Two prompt or model versions: which passes more often, however often one looks.

A fixed-sample test that is looked at every day is wrong far more often than it says. The interval here is a confidence
sequence: that of the normal mixture (Robbins 1970; Johari et al. 2015), valid at all sample sizes at once, by the
normal approximation of the two shares. Ask it as often as you like, and stop when it is clear.
"""

from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import Any, Final

from spanledger_analytics.quality._rates import Tally

_ALPHA: Final = 0.05
_EXPECTED: Final = 0.05
"""The difference that the sequence is sharpest for: five points."""
_MIN_EACH: Final = 30
"""Answers a side below which the normal approximation says nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A, in points of the share that passes; positive is B better."""

    difference: float | None
    low: float | None
    high: float | None
    enough: bool
    worse: bool
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON, differences in points."""
        points = {
            "difference_points": _points(self.difference),
            "low_points": _points(self.low),
            "high_points": _points(self.high),
        }
        return points | {"enough_data": self.enough, "b_is_worse": self.worse, "sentence": self.sentence}


def compare(a: Tally, b: Tally, alpha: float = _ALPHA) -> Comparison:
    """Compare two versions by their tallies."""
    if min(a.evaluable, b.evaluable) < _MIN_EACH:
        short = f"enough data to compare A and B: no, there have to be {_MIN_EACH} judged answers of each"
        return Comparison(None, None, None, enough=False, worse=False, sentence=short)
    difference = _passing(b) - _passing(a)
    half = half_width(_variance(a) + _variance(b), alpha)
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    enough = low > 0 or high < 0
    sentence = _clear(difference, low, high) if enough else _unclear(difference, low, high, a, b)
    return Comparison(difference, low, high, enough=enough, worse=high < 0, sentence=sentence)


def half_width(variance: float, alpha: float = _ALPHA) -> float:
    """Return half the width of the sequence at an estimate of this variance."""
    prior = _EXPECTED * _EXPECTED
    return sqrt(variance * (variance + prior) / prior * (2 * log(1 / alpha) + log((variance + prior) / variance)))


def _passing(tally: Tally) -> float:
    return 1 - tally.failing / tally.evaluable


def _variance(tally: Tally) -> float:
    # One failure and one pass more: a share of 0 or 1 is not known without error.
    share = (tally.failing + 1) / (tally.evaluable + 2)
    return share * (1 - share) / tally.evaluable


def _clear(difference: float, low: float, high: float) -> str:
    sizes = sorted((abs(low), abs(high)))
    word = "worse" if difference < 0 else "better"
    shown = f"{difference * 100:+.1f} points [{sizes[0] * 100:.1f}, {sizes[1] * 100:.1f}]"
    return f"enough data to say B is {word}: yes, {shown}"


def _unclear(difference: float, low: float, high: float, a: Tally, b: Tally) -> str:
    shown = f"{difference * 100:+.1f} points [{low * 100:.1f}, {high * 100:.1f}]"
    return (
        f"enough data to say A and B differ: no, {shown}; about {_needed(a, b):,} answers of each would tell five apart"
    )


def _needed(a: Tally, b: Tally) -> int:
    spread = max(_variance(a) * a.evaluable + _variance(b) * b.evaluable, 0.01)
    size = 100
    while half_width(spread / size) > _EXPECTED:
        size = ceil(size * 1.1)
    return size


def _points(value: float | None) -> float | None:
    return None if value is None else round(value * 100, 2)
