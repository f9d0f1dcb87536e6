"""Forecasts of what a period will have cost, from the hours in which something was spent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from spanledger_analytics.forecast._conformal import Coverage, Pool
from spanledger_analytics.forecast._models import LEAST, Reals, blended, paced, scale_of, seasonal

_HOUR_NS: Final = 3600 * 10**9
_DAY_NS: Final = 24 * _HOUR_NS
_SHORT_NS: Final = 2 * _DAY_NS
_EARLIEST_SHARE: Final = 0.1
_EARLIEST_NS: Final = 3 * _DAY_NS
_ORIGINS: Final = 56
"""Past steps from which forecasts are tried again."""
_FADES: Final = 0.97


class Stretch(Protocol):
    """A period."""

    @property
    def start_ns(self) -> int:
        """Its first moment."""
        ...

    @property
    def end_ns(self) -> int:
        """The first moment after it."""
        ...


@dataclass(frozen=True, slots=True)
class SpendForecast:
    """What a period will have cost at its end, nano-USD; between ``low`` and ``high`` in 80 of 100 cases."""

    total: int
    low: int
    high: int
    outcomes: tuple[float, ...]
    """99 ends, in order, one as likely as the other."""

    def p_exceed(self, amount: int) -> float:
        """Return the probability that it will be more than an amount."""
        places = np.arange(1, 100) / 100
        return 1 - float(np.interp(amount, self.outcomes, places, left=0.0, right=1.0))


class SpendForecaster:
    """Forecasts, and learns from how forecasts of all budgets would have turned out. For one thread.

    Nothing has to be kept: what was learnt is learnt again from the history.
    """

    def __init__(self) -> None:
        self._pools: defaultdict[tuple[str, int], Pool] = defaultdict(Pool)

    def __call__(self, history: Sequence[tuple[int, int]], period: Stretch, now_ns: int) -> SpendForecast | None:
        """Return the forecast; ``None`` before three days or a tenth of the period, and with next to no history."""
        length = period.end_ns - period.start_ns
        if not history or now_ns - period.start_ns < min(_EARLIEST_NS, _EARLIEST_SHARE * length):
            return None
        step, season = (_HOUR_NS, 24) if length <= _SHORT_NS else (_DAY_NS, 7)
        past, begun = _steps(history, period.start_ns, now_ns, step)
        ahead = (period.end_ns - now_ns) / step
        if len(past) < LEAST or ahead <= 0:
            return None
        whole = max(1, round(ahead))
        pool = self._pools["hours" if step == _HOUR_NS else "days", whole.bit_length()]
        own, errors = self._try_again(pool, past, whole, season, (now_ns - period.start_ns) // step, period.start_ns)
        rest = _rest(blended(past, int(ahead) + 2, season, errors), ahead, begun)
        spent = sum(nano for hour, nano in history if hour >= period.start_ns)
        return _forecast(spent, rest, scale_of(past, rest, ahead), pool, own)

    def coverage(self) -> Coverage:
        """Return how many of the intervals held, of all budgets."""
        found = Coverage()
        for pool in list(self._pools.values()):  # the thread of the metrics asks
            found.held += pool.coverage.held
            found.seen += pool.coverage.seen
        return found

    def _try_again(
        self, pool: Pool, past: Reals, ahead: int, season: int, elapsed: int, start_ns: int
    ) -> tuple[list[float], tuple[float, float]]:
        """Forecast from past steps as many steps ahead, and compare; return the errors, and those of the two models."""
        found: list[float] = []
        wished = ahead
        wrong, weight = np.zeros(2), 0.0
        ahead = min(ahead, max(1, len(past) // 3))
        for origin in range(max(LEAST, len(past) - ahead - _ORIGINS), len(past) - ahead + 1):
            before, after = past[:origin], float(past[origin : origin + ahead].sum())
            errors = tuple(wrong / weight) if weight else (0.0, 0.0)
            predicted = float(blended(before, ahead, season, errors).sum())
            scale = scale_of(before, predicted, ahead)
            ended = found[: max(0, len(found) - ahead + 1)]  # what had come to its end by then
            error = (after - predicted) / scale
            step = start_ns // _HOUR_NS + (elapsed - len(past) + origin) * (24 if season == 7 else 1)
            pool.learn((int(step), ahead, round(after)), error, ended)
            found.append(error)
            alone = [float(model(before, ahead, season).sum()) for model in (seasonal, paced)]
            wrong = wrong * _FADES + np.abs(np.array(alone) - after) / scale
            weight = weight * _FADES + 1
        # Errors of sums grow with the square root of their length where levels wander.
        stretch = (wished / ahead) ** 0.5
        return [error * stretch for error in found], (tuple(wrong / weight) if weight else (0.0, 0.0))


def _steps(history: Sequence[tuple[int, int]], start_ns: int, now_ns: int, step: int) -> tuple[Reals, float]:
    """Return what whole steps cost since the first one, counted from the period's start, and how much of one is over.

    The first is left out unless it is the first of the period: it may have begun before there was anything.
    """
    places = np.array([(hour - start_ns) // step for hour, _ in history])
    costs = np.array([nano for _, nano in history], dtype=np.float64)
    over, part = divmod(now_ns - start_ns, step)
    first = int(places[0]) + (1 if places[0] < 0 else 0)
    whole = (places >= first) & (places < over)
    found: Reals = np.bincount(places[whole] - first, costs[whole], max(0, over - first)).astype(np.float64)
    return found, part / step


def _rest(predicted: Reals, ahead: float, begun: float) -> float:
    """Add up what is left of the step that is on, the whole ones after it, and the part of the last."""
    left = 1 - begun if begun else 0.0
    if begun and ahead <= left:
        return float(predicted[0]) * ahead
    first = float(predicted[0]) * left
    further = predicted[1:] if begun else predicted
    whole, part = divmod(ahead - left, 1)
    last = float(further[int(whole)]) * part if part else 0.0
    return first + float(further[: int(whole)].sum()) + last


def _forecast(spent: int, rest: float, scale: float, pool: Pool, own: list[float]) -> SpendForecast:
    spread, (low, high) = pool.spread(own)
    ends = spent + np.maximum(rest + spread * scale, 0.0)
    return SpendForecast(
        total=int(spent + rest),
        low=int(min(spent + max(rest + low * scale, 0.0), spent + rest)),
        high=int(max(spent + max(rest + high * scale, 0.0), spent + rest)),
        outcomes=tuple(float(end) for end in ends),
    )
