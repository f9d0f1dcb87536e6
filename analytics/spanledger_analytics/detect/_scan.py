"""Scores of a stretch of minutes, what in them is no chance, and which one cause explains it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np

from spanledger_analytics.detect._calibrate import Calibration, false_discovery
from spanledger_analytics.detect._cells import LOG_UNIT, Flags, Ints, Reals
from spanledger_analytics.detect._learn import histogram, scores_of_past
from spanledger_analytics.detect._metrics import METRICS, Metric, Sums
from spanledger_analytics.detect._score import LOOKBACK, Scorer, matters, spread_place
from spanledger_analytics.detect._series import LEVEL_NAMES, Grouping
from spanledger_analytics.detect._state import RESTLESS, SPREADS, WINDOWS

ALL_WINDOWS: Final = (*WINDOWS, SPREADS[2])
_CANDIDATE_LOG_P: Final = float(np.log(1e-5))
_STILL_Z: Final = 3.0
_LONGER: Final = 1.15
_WATCHED_HOURS: Final = 144
_HALF_DAYS: Final = 2
_LOG_MINUTES: Final = float(np.log(60))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series that deviates more than chance explains; ``window`` is a place in :data:`ALL_WINDOWS`."""

    series: int
    window: int
    z: float
    log_p: float


Found: TypeAlias = dict[int, dict[int, list[Candidate]]]
"""By minute and metric."""
_Past: TypeAlias = Callable[[Grouping, Reals, Flags], Reals]


class Scan:
    """Scores the minutes of a scorer once, and answers questions about them.

    Args:
        scorer: judges.
        log_q: logarithm of the share of false discoveries that is accepted in one minute.
    """

    def __init__(self, scorer: Scorer, log_q: float) -> None:
        self.scorer = scorer
        self.grouping = scorer.grouping
        self.levels = scorer.grouping.level
        self.names = np.log(np.maximum(scorer.grouping.names_at_level, 1).astype(np.float64))
        self.z: dict[tuple[int, int], tuple[Reals, Flags]] = {}
        """By metric and window: scores by series and minute, and which of them count."""
        self._log_q = log_q
        self._past: list[tuple[int, int, Reals, Flags, _Past]] = []
        self._tests = np.zeros((3, scorer.end - scorer.start))
        """Of everything else, of requests, and of half days of prompts and answers: three families of discoveries."""

    @cached_property
    def calibration(self) -> Calibration:
        """Of the state's past."""
        return Calibration(self.scorer.state.scores)

    def histograms(self, alarmed: Flags) -> Reals:
        """Return the scores for the past, without series (by metric) in an alarm."""
        result = np.zeros_like(self.scorer.state.scores)
        for number, place, signed, use, past in self._past:
            result[number, :, place] += past(self.grouping, signed, use & ~alarmed[number][:, None])
        return result

    def score(self) -> Found:
        """Score everything; return what is no chance, over all series of each minute (false discovery rate)."""
        found: Found = {}
        for number in range(len(METRICS)):
            for place, window in enumerate(WINDOWS):
                if window not in METRICS[number].windows:
                    continue
                sums = self.scorer.windows(number, window)
                z = sums.z(METRICS[number], self.scorer.tau2[number, spread_place(window)][:, None])
                self._collect(found, number, place, (z, sums))
            if METRICS[number].drift:
                self._drift(found, number)
        return {minute: self._discoveries(minute, by_metric) for minute, by_metric in sorted(found.items())}

    def _drift(self, found: Found, number: int) -> None:
        if self.scorer.end % 60:
            return
        last = self.scorer.windows(number, 60)
        hour = np.stack([last.x[:, -1], last.e[:, -1], last.v[:, -1], last.n[:, -1]])
        total = self.scorer.state.hours[1:, number].sum(axis=0) + hour
        sums = Sums(*total[..., None])
        z = sums.z(METRICS[number], self.scorer.tau2[number, 2][:, None])
        # What is over by now is no drift.
        recent = self.z[number, len(WINDOWS) - 1][0][:, -1:]
        z = np.where(recent * np.sign(z) >= _STILL_Z, z, 0.0)
        self._collect(found, number, len(WINDOWS), (z, sums))

    def _collect(
        self,
        found: Found,
        number: int,
        place: int,
        scored: tuple[Reals, Sums],
    ) -> None:
        z, sums = scored
        metric = METRICS[number]
        admitted = sums.admitted(metric)
        admitted &= self.watched(metric)[:, None]
        use = admitted & matters(metric, sums)
        if metric.kind == "count":
            use &= self._is_unheard_of(z)
        self.z[number, place] = z, use
        past = scores_of_past if place < len(WINDOWS) else histogram
        signed = np.abs(z) if len(metric.directions) > 1 else z * metric.directions[0]
        self._past.append((number, place, signed, admitted, past))
        limit = self.calibration.threshold(number, place, _CANDIDATE_LOG_P)[self.levels][:, None]
        first = self.scorer.start if place < len(WINDOWS) else self.scorer.end - 1
        if place < len(WINDOWS) or _family(number, place) == _HALF_DAYS:
            self._tests[_family(number, place), first - self.scorer.start :] += admitted.sum(axis=0)
        for series, column in zip(*np.nonzero(use & (np.abs(z) >= limit)), strict=True):
            value = float(z[series, column])
            log_p = self.log_p(number, int(series), place, abs(value))
            one = Candidate(int(series), place, value, log_p)
            found.setdefault(first + int(column), {}).setdefault(number, []).append(one)

    def log_p(self, number: int, series: int, place: int, z: float) -> float:
        """Return the logarithm of a p-value."""
        return self.calibration.log_p(number, int(self.levels[series]), place, z)

    def _is_unheard_of(self, z: Reals) -> Flags:
        """Tell which silences are longer than any that a series, watched for a week, had by itself."""
        record, watched = self.scorer.state.silence[:2]
        return np.asarray((-z > _LONGER * record[:, None]) & (watched >= _WATCHED_HOURS)[:, None])

    def watched(self, metric: Metric) -> Flags:
        """Tell which series a metric is tested at."""
        if not metric.levels:
            return np.ones(len(self.levels), bool)
        return np.isin(self.levels, [LEVEL_NAMES.index(level) for level in metric.levels])

    def _discoveries(self, minute: int, by_metric: dict[int, list[Candidate]]) -> dict[int, list[Candidate]]:
        kept: dict[int, list[Candidate]] = {}
        every = [(number, one) for number, some in sorted(by_metric.items()) for one in some]
        for family in range(len(self._tests)):
            mine = [(number, one) for number, one in every if _family(number, one.window) == family]
            log_ps = [one.log_p for _, one in mine]
            count = false_discovery(log_ps, self._tested(family, minute), self._share(family))
            limit = sorted(log_ps)[count - 1] if count else -np.inf
            for number, one in mine:
                if one.log_p <= limit:
                    kept.setdefault(number, []).append(one)
        return kept

    def _share(self, family: int) -> float:
        """Return the accepted share of false discoveries: half days are judged once an hour, not every minute."""
        return self._log_q + (_LOG_MINUTES if family == _HALF_DAYS else 0.0)

    def _tested(self, family: int, minute: int) -> int:
        return len(self._tests) * int(self._tests[family, minute - self.scorer.start])

    def sums(self, number: int, minute: int, window: int, keep: Flags) -> Sums:
        """Return the sums of every series over the window that ends with a minute, over the leaves to keep."""
        running = self.scorer.cumulated(number)
        high = LOOKBACK + minute - self.scorer.start
        low = max(high - window, 0)
        parts = [(a[:, high] - a[:, low]) * keep for a in (running.x, running.e, running.v, running.n)]
        if METRICS[number].kind == "price":
            parts[2] = parts[3] * (np.log(np.maximum(parts[0], 1.0)) - np.log(np.maximum(parts[1], 1.0)))
        return Sums(*map(self.grouping.sums, parts))

    def sums_of(self, number: int, minute: int, window: int, members: Ints) -> Sums:
        """Return the sums of some leaves over the window that ends with a minute, as arrays of one."""
        running = self.scorer.cumulated(number)
        high = LOOKBACK + minute - self.scorer.start
        low = max(high - window, 0)
        parts = (running.x, running.e, running.v, running.n)
        return Sums(*(np.array([(a[members, high] - a[members, low]).sum()]) for a in parts))

    def likeliest(self, number: int, minute: int, candidates: list[Candidate], keep: Flags) -> Candidate | None:
        """Return the one series whose factor explains most, of the clearest window in which chance does not."""
        for place in sorted(
            {one.window for one in candidates}, key=lambda w: min(c.log_p for c in candidates if c.window == w)
        ):
            if place >= len(WINDOWS):
                best = self._likeliest_drift(candidates, keep)
            else:
                best = self._best_of(number, minute, place, keep)
            if best is not None:
                return best
        return None

    def _likeliest_drift(self, candidates: list[Candidate], keep: Flags) -> Candidate | None:
        whole = [
            one for one in candidates if one.window >= len(WINDOWS) and keep[self.grouping.members(one.series)].all()
        ]
        return max(whole, key=lambda one: one.z**2 / 2 - self.names[one.series], default=None)

    def _best_of(self, number: int, minute: int, place: int, keep: Flags) -> Candidate | None:
        window = WINDOWS[place]
        metric = METRICS[number]
        sums = self.sums(number, minute, window, keep)
        z = sums.z(metric, self.scorer.tau2[number, spread_place(window)])
        use = sums.admitted(metric) & matters(metric, sums) & self.watched(metric)
        if metric.kind == "count":
            use &= self._is_unheard_of(z[:, None])[:, 0]
        if not use.any():
            return None
        gain = np.where(use, sums.gain(metric) - self.names, -np.inf)
        series = int(np.argmax(gain))
        log_p = self.log_p(number, series, place, abs(float(z[series])))
        tests = self._tested(_family(number, place), minute)
        if log_p > self._log_q - np.log(max(tests, 1)):
            return None
        return Candidate(series, place, float(z[series]), log_p)

    def onset(self, number: int, minute: int, one: Candidate, keep: Flags) -> int:
        """Return the minute from which on the change explains the calls better than none (a running likelihood)."""
        metric = METRICS[number]
        running = self.scorer.cumulated(number)
        members = self.grouping.members(one.series)
        members = members[keep[members]]
        high = LOOKBACK + minute - self.scorer.start
        window = min(ALL_WINDOWS[one.window], LOOKBACK)
        low = max(high - max(2 * window, 60), 0)
        x, e, v, n = (
            np.diff(a[members, low : high + 1].sum(axis=0)) for a in (running.x, running.e, running.v, running.n)
        )
        total = Sums(*(np.array([a[-window:].sum()]) for a in (x, e, v, n)))
        effect = float(total.log_effect(metric)[0])
        gain = _log_likelihood_gain(metric, effect, Sums(x, e, v, n))
        suffix = np.cumsum(gain[::-1])[::-1]
        if suffix.max() <= 0:
            return minute - window + 1
        return self.scorer.start - LOOKBACK + 1 + low + int(np.argmax(suffix))

    def overlap(self, own: Ints, other: Ints, number: int, minute: int, *, of_all: bool = False) -> float:
        """Return the part of the smaller set's calls, or of those of either, that both have."""
        running = self.scorer.cumulated(number)
        high = LOOKBACK + minute - self.scorer.start
        calls = running.n[:, high] - running.n[:, max(high - 60, 0)] + 1e-6
        common = np.intersect1d(own, other)
        both = np.union1d(own, other)
        whole = calls[both].sum() if of_all else min(calls[own].sum(), calls[other].sum())
        return float(calls[common].sum() / whole)


def _family(number: int, place: int) -> int:
    if place >= len(WINDOWS) and METRICS[number].name in RESTLESS:
        return _HALF_DAYS
    return int(METRICS[number].kind == "count")


def _log_likelihood_gain(metric: Metric, effect: float, sums: Sums) -> Reals:
    if metric.kind == "mean":
        scale, shift = np.maximum(sums.v, 1e-9), effect * LOG_UNIT
        return np.asarray(
            np.where(sums.n > 0, (shift * (sums.x - sums.e) - sums.n * shift**2 / 2) * sums.n / scale, 0.0)
        )
    if metric.kind == "price":
        log = np.log(np.maximum(sums.x, 1)) - np.log(np.maximum(sums.e, 1))
        return np.asarray(np.where(sums.n > 0, np.abs(log) - np.abs(log - effect), 0.0))
    dispersion = np.maximum(sums.v.sum() / max(float(sums.e.sum()), 1e-9), 0.05)
    return np.asarray((sums.x * effect - sums.e * (np.exp(effect) - 1)) / dispersion)
