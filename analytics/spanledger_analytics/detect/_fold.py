"""Folding scores into incidents, minute by minute."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Final

import numpy as np

from spanledger_analytics.detect._anomaly import Planned
from spanledger_analytics.detect._cells import Flags, Ints, Reals
from spanledger_analytics.detect._facts import plan_of, what_changed
from spanledger_analytics.detect._incident import ACCEPT_MINUTES, PLANNED_MINUTES, QUIET_MINUTES, Evidence, Incident
from spanledger_analytics.detect._metrics import METRICS, NUMBER, Sums
from spanledger_analytics.detect._scan import ALL_WINDOWS, Candidate, Scan
from spanledger_analytics.detect._score import LOOKBACK, Scorer, matters, spread_place
from spanledger_analytics.detect._series import Series
from spanledger_analytics.detect._state import WINDOWS

_WITNESS_LOG_P: Final = float(np.log(1e-3))
_ALIVE_Z: Final = 2.5
_REFINE_MINUTES: Final = 45
_JOIN_MINUTES: Final = 90
_PENDING_MINUTES: Final = 30
_SAME_SHARE: Final = 0.3
_ONE_SHARE: Final = 0.4
_FACTORS: Final = ("input_tokens", "output_tokens", "unit_price", "cache_rate")
_MOST_CAUSES: Final = 3


class Fold:
    """Goes through the minutes of a scorer.

    Args:
        scorer: judges.
        incidents: what was open, or ended lately, before; not changed.
        log_q: logarithm of the share of false discoveries that is accepted in one minute.
        planned: changes that were announced.
    """

    def __init__(
        self, scorer: Scorer, incidents: list[Incident], log_q: float, planned: Sequence[Planned] = ()
    ) -> None:
        self.scorer = scorer
        self.incidents = deepcopy(incidents)
        self.scan = Scan(scorer, log_q)
        self._planned = planned

    def run(self) -> None:
        """Judge every minute; afterwards :attr:`incidents` is as of the end."""
        found = self.scan.score()
        for minute in range(self.scorer.start, self.scorer.end):
            for incident in self.incidents:
                if incident.open:
                    self._follow(incident, minute)
            for metric, candidates in sorted(found.get(minute, {}).items()):
                self._place(metric, minute, candidates)
            self._confirm(minute)
            self._end(minute)
        self._sum_up()

    def frozen(self) -> Flags:
        """Return by metric and leaf what must not be learned."""
        result = np.zeros((len(METRICS), len(self.scorer.state.leaves)), bool)
        for incident in self.incidents:
            if incident.open or incident.ended >= self.scorer.start:
                leaves = self._reach(incident)
                for name in incident.evidence:
                    result[NUMBER[name], leaves] = True
        return result

    def histograms(self) -> Reals:
        """Return the scores of these minutes as a past to compare with: without those of alarms."""
        frozen = [self.scan.grouping.sums(row.astype(np.float64)) > 0 for row in self.frozen()]
        return self.scan.histograms(np.stack(frozen))

    def _leaves(self, series: Series) -> Ints:
        number = self.scan.grouping.place.get(series)
        return self.scan.grouping.members(number) if number is not None else np.zeros(0, np.int64)

    def _reach(self, incident: Incident) -> Ints:
        """Return the leaves that an incident explains."""
        sets = [self._leaves(series) for series in (incident.series, *incident.also)]
        return np.unique(np.concatenate(sets))

    def _follow(self, incident: Incident, minute: int) -> None:
        """See whether it goes on: by the shortest window that has enough calls."""
        series = self.scan.grouping.place[incident.series]
        column = minute - self.scorer.start
        for name, evidence in incident.evidence.items():
            number = NUMBER[name]
            members = self.scan.grouping.members(series)
            for window in METRICS[number].windows:
                one = self.scan.sums_of(number, minute, window, members)
                if not one.admitted(METRICS[number])[0]:
                    continue
                tau2 = self.scorer.tau2[number, spread_place(window), series : series + 1]
                z = float(one.z(METRICS[number], tau2)[0])
                if z * evidence.direction >= _ALIVE_Z and bool(matters(METRICS[number], one)[0]):
                    incident.last = evidence.last = minute
                    self._witness(evidence, number, column, series)
                    break
                if window >= 12:
                    break

    def _witness(self, evidence: Evidence, number: int, column: int, series: int) -> None:
        """Note in which windows it shows."""
        for other in (place for place in range(len(WINDOWS)) if (number, place) in self.scan.z):
            scores, use = self.scan.z[number, other]
            value = float(scores[series, column])
            if not use[series, column] or value * evidence.direction <= 0:
                continue
            log_p = self.scan.log_p(number, series, other, abs(value))
            if log_p <= _WITNESS_LOG_P and ALL_WINDOWS[other] not in evidence.windows:
                evidence.windows.append(ALL_WINDOWS[other])

    def _place(self, number: int, minute: int, candidates: list[Candidate]) -> None:
        """Explain candidates by the incidents there are, then by new ones, the likeliest cause first."""
        keep = ~self._explained(number, minute)
        for _ in range(_MOST_CAUSES):
            left = self.scan.grouping.sums(keep.astype(np.float64)) > 0
            candidates = [one for one in candidates if left[one.series]]
            if not candidates:
                return
            best = self.scan.likeliest(number, minute, candidates, keep)
            if best is None:
                return
            incident = self._join(number, minute, best) or self._open(number, minute, best, keep)
            keep[self._reach(incident)] = False
            keep[self.scan.grouping.members(best.series)] = False

    def _explained(self, number: int, minute: int) -> Flags:
        result = np.zeros(len(self.scorer.state.leaves), bool)
        name = METRICS[number].name
        for incident in self.incidents:
            if name in incident.evidence and incident.last >= minute - LOOKBACK - QUIET_MINUTES:
                result[self._reach(incident)] = True
        return result

    @staticmethod
    def _evidence(minute: int, one: Candidate) -> Evidence:
        return Evidence(
            first=minute,
            direction=1 if one.z > 0 else -1,
            window=ALL_WINDOWS[one.window],
            z=one.z,
            log_p=one.log_p,
            effect=0.0,
            windows=[ALL_WINDOWS[one.window]],
            last=minute,
        )

    def _join(self, number: int, minute: int, one: Candidate) -> Incident | None:
        """Add the candidate to an incident that it shares its leaves with, if there is one."""
        leaves = self.scan.grouping.members(one.series)
        name = METRICS[number].name
        for incident in self.incidents:
            if not incident.open or minute - incident.detected > _JOIN_MINUTES:
                continue
            if name in incident.evidence:
                if self._widen(incident, number, minute) or self._absorb(incident, number, minute, one):
                    return incident
                continue
            own = self._reach(incident)
            if self.scan.overlap(own, leaves, number, minute, of_all=True) >= _ONE_SHARE:
                incident.evidence[name] = self._evidence(minute, one)
                incident.last = minute
                return incident
        return None

    def _absorb(self, incident: Incident, number: int, minute: int, one: Candidate) -> bool:
        """Take a deviation of the same kind, beside leaves that it shares with an incident, for a part of that."""
        evidence = incident.evidence[METRICS[number].name]
        if (one.z > 0) != (evidence.direction > 0):
            return False
        leaves = self.scan.grouping.members(one.series)
        if self.scan.overlap(self._reach(incident), leaves, number, minute) < _SAME_SHARE:
            return False
        series = self.scan.grouping.series[one.series]
        if series not in incident.also:
            incident.also.append(series)
        return True

    def _widen(self, incident: Incident, number: int, minute: int) -> bool:
        """Look for the cause once more with what is known now; tell whether it explains more than before."""
        before = set(self._leaves(incident.series).tolist())
        self._refine(incident, number, minute)
        return not set(self._leaves(incident.series).tolist()) <= before

    def _open(self, number: int, minute: int, one: Candidate, keep: Flags) -> Incident:
        series = self.scan.grouping.series[one.series]
        evidence = self._evidence(minute, one)
        onset = self.scan.onset(number, minute, one, keep)
        incident = Incident(series, onset, minute, minute, {METRICS[number].name: evidence}, series, summed=onset)
        self._witness(evidence, number, minute - self.scorer.start, one.series)
        self._describe(incident)
        self.incidents.append(incident)
        self._refine(incident, number, minute)
        return incident

    def _refine(self, incident: Incident, number: int, minute: int) -> None:
        """Scan for the cause over all that happened since the onset, without what other incidents explain."""
        metric = METRICS[number]
        evidence = incident.evidence[metric.name]
        window = min(minute - incident.onset + 1, LOOKBACK)
        place = _window_place(window)
        keep = np.ones(len(self.scorer.state.leaves), bool)
        for other in self.incidents:
            if other is not incident and metric.name in other.evidence and other.last >= minute - window:
                keep[self._reach(other)] = False
        sums = self.scan.sums(number, minute, window, keep)
        z = sums.z(metric, self.scorer.tau2[number, spread_place(window)])
        admitted = sums.admitted(metric) & (np.sign(z) == evidence.direction) & self.scan.watched(metric)
        if metric.kind == "count":
            admitted &= matters(metric, sums)
        if not admitted.any():
            return
        gain = np.where(admitted, sums.gain(metric) - self.scan.names, -np.inf)
        best = int(np.argmax(gain))
        if gain[best] < 4.0:
            return
        log_p = self.scan.log_p(number, best, place, abs(float(z[best])))
        incident.series = self.scan.grouping.series[best]
        self._causes(incident, sums, gain, best)
        evidence.z = float(z[best]) if abs(float(z[best])) > abs(evidence.z) else evidence.z
        evidence.log_p = min(evidence.log_p, log_p)
        evidence.effect = float(
            np.exp(Sums(*(a[best : best + 1] for a in (sums.x, sums.e, sums.v, sums.n))).log_effect(metric)[0])
        )

    def _causes(self, incident: Incident, sums: Sums, gain: Reals, best: int) -> None:
        """Name the three likeliest causes with their shares of the excess, and what cannot be told from the first."""
        excess = sums.x - sums.e
        total = excess[0] if abs(excess[0]) > 1e-9 else 1.0
        incident.ties = []
        chosen: list[tuple[Series, float]] = []
        seen: set[tuple[float, float, float]] = set()
        for number in np.argsort(-gain, kind="stable")[:40]:
            if not np.isfinite(gain[number]):
                break
            print_ = (float(sums.x[number]), float(sums.e[number]), float(sums.n[number]))
            series = self.scan.grouping.series[number]
            if print_ in seen:
                if print_ == (float(sums.x[best]), float(sums.e[best]), float(sums.n[best])):
                    incident.ties.append(series)
                continue
            seen.add(print_)
            if len(chosen) < _MOST_CAUSES:
                chosen.append((series, float(np.clip(excess[number] / total, 0.0, 1.0))))
        incident.shares = chosen

    def _confirm(self, minute: int) -> None:
        for incident in self.incidents:
            if not incident.open:
                continue
            age = minute - incident.detected
            if age <= _REFINE_MINUTES and (age < 5 or age % 5 == 0):
                number = NUMBER[next(iter(incident.evidence))]
                self._refine(incident, number, minute)
            if not incident.confirmed and _is_corroborated(incident, minute):
                incident.confirmed = minute

    def _end(self, minute: int) -> None:
        kept = []
        for incident in self.incidents:
            if incident.open:
                if not incident.confirmed and minute - incident.last > _PENDING_MINUTES:
                    continue
                if minute - incident.last > QUIET_MINUTES:
                    incident.ended = incident.last + 1
                elif minute - incident.onset >= (PLANNED_MINUTES if incident.planned else ACCEPT_MINUTES):
                    incident.ended, incident.accepted = minute, True
            kept.append(incident)
        self.incidents = kept

    def _sum_up(self) -> None:
        """Add what happened in this stretch to the sums of each incident."""
        for incident in self.incidents:
            start, end = incident.summed, min(self.scorer.end, incident.ended or self.scorer.end)
            if end > start:
                self._add(incident, start, end)
            if incident.open or incident.ended >= self.scorer.start:
                self._describe(incident)

    def _describe(self, incident: Incident) -> None:
        """Note whose it is, what else changed with it, and whether somebody announced it."""
        leaves = self._leaves(incident.series)
        owners = {self.scorer.state.leaves[place].owner for place in leaves}
        incident.owner = owners.pop() if len(owners) == 1 else ""
        chosen = {self.scorer.state.leaves[place] for place in leaves}
        incident.facts.update(what_changed(self.scorer.cells, chosen, incident.onset, self.scorer.end))
        if self._planned and not incident.planned:
            running = self.scorer.cumulated(NUMBER["unit_price"]).n
            calls = {self.scorer.state.leaves[place]: float(running[place, -1]) for place in leaves}
            incident.planned = plan_of(incident, self._planned, calls)

    def _add(self, incident: Incident, start: int, end: int) -> None:
        first = self.scorer.start - LOOKBACK + 1
        low, high = max(start - first, 0), end - first
        leaves = self._leaves(incident.series)
        for name, evidence in incident.evidence.items():
            x, e, n = self._between(NUMBER[name], leaves, low, high)
            evidence.x, evidence.e, evidence.n = evidence.x + x, evidence.e + e, evidence.n + n
        for name in _FACTORS:
            before = incident.parts.get(name, [0.0, 0.0, 0.0])
            now = [old + new for old, new in zip(before, self._between(NUMBER[name], leaves, low, high), strict=True)]
            incident.parts[name] = now
            sums = Sums(*(np.array([value]) for value in (now[0], now[1], 0.0, now[2])))
            if now[2] > 0:
                incident.factors[name] = float(np.exp(sums.log_effect(METRICS[NUMBER[name]])[0]))
        self._add_money(incident, leaves, slice(low, high))
        incident.summed = end

    def _between(self, number: int, leaves: Ints, low: int, high: int) -> tuple[float, float, float]:
        running = self.scorer.cumulated(number)
        x, e, n = (float((a[leaves, high] - a[leaves, low]).sum()) for a in (running.x, running.e, running.n))
        return x, e, n

    def _add_money(self, incident: Incident, leaves: Ints, columns: slice) -> None:
        dense, base = self.scorer.dense, self.scorer.state.base
        usual = base[NUMBER["unit_price"], 0] / np.maximum(base[NUMBER["input_tokens"], 1], 1e-9)
        requests = self.scorer.cumulated(NUMBER["requests"])
        sums = {name: dense.measure(name)[leaves, columns].sum(axis=1) for name in ("calls", "answers", "cost")}
        incident.calls += float(sums["calls"].sum())
        incident.usual_calls += float((requests.e[leaves, columns.stop] - requests.e[leaves, columns.start]).sum())
        incident.cost += float(sums["cost"].sum())
        incident.usual_cost += float((sums["answers"] * usual[leaves]).sum())
        incident.tokens += float(sum(dense.measure(name)[leaves, columns].sum() for name in ("input", "output")))


def _window_place(window: int) -> int:
    return next((place for place, size in enumerate(WINDOWS) if size >= window), len(WINDOWS) - 1)


def _is_corroborated(incident: Incident, minute: int) -> bool:
    """Two metrics, or two windows of quite different length, or two windows one after the other."""
    if len(incident.evidence) > 1:
        return True
    evidence = next(iter(incident.evidence.values()))
    if len(evidence.windows) > 1:
        return True
    return evidence.last == minute and minute - evidence.first >= min(evidence.window, 60)
