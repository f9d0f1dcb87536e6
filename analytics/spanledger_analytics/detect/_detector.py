"""The detector: hours are learned when they are closed, minutes are judged as they come."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from spanledger_analytics.detect._anomaly import Anomaly, Planned
from spanledger_analytics.detect._cells import Cells
from spanledger_analytics.detect._fold import Fold
from spanledger_analytics.detect._incident import Incident
from spanledger_analytics.detect._learn import accepted, learn
from spanledger_analytics.detect._metrics import NUMBER
from spanledger_analytics.detect._news import news_of, noticed
from spanledger_analytics.detect._report import report
from spanledger_analytics.detect._score import LOOKBACK, Scorer
from spanledger_analytics.detect._state import State

_MINUTES_A_WEEK: Final = 7 * 24 * 60
_KEPT_MINUTES: Final = 6 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the detector judges."""

    false_alarms_per_week: float = 1.0
    """How many incidents a week may be chance, about."""
    planned: tuple[Planned, ...] = ()
    """Changes that were announced."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Cells of the minutes before ``end``; everything since the state's end, and what windows reach back to."""

    cells: Cells
    end: int


class LedgerDetector:
    """Finds what changed in the ledger. Pure: everything that it knows is in the state it is given."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def fit(self, window: Window, state: State | None = None) -> State:
        """Judge and learn all full hours of a window behind the state; return the state after them."""
        known = state or State()
        for hour in self._hours(window, known):
            known, _ = self._hour(window.cells, known, hour)
        return known

    def run(self, window: Window, state: State | None = None) -> tuple[State, list[Anomaly]]:
        """Do as :meth:`fit`, and return every anomaly of the time as it was last seen."""
        known, seen = state or State(), dict[tuple[str, str], Anomaly]()
        for hour in self._hours(window, known):
            known, incidents = self._hour(window.cells, known, hour)
            seen.update({(one.owner, one.id): one for one in _reports(incidents, known, hour + 60)})
            seen.update({(one.owner, one.id): one for one in news_of(known, hour)})
        return known, list(seen.values())

    def detect(self, window: Window, state: State) -> list[Anomaly]:
        """Return what is open, or ended in the last hours, as of the end of the window."""
        incidents, start, known = _incidents(state), state.until, state
        while start < window.end:
            end = min(start + 60, window.end)
            near = window.cells.between(start - LOOKBACK, end).compact()
            known = known.with_leaves(near.leaves)
            fold = Fold(Scorer(known, near, start, end), incidents, self._log_q, self.options.planned)
            fold.run()
            known = replace(known, notes={**known.notes, **noticed(known, near, start, end)})
            incidents, start = fold.incidents, end
        return [*_reports(incidents, known, window.end), *news_of(known, state.until - _KEPT_MINUTES)]

    @staticmethod
    def dump(state: State) -> bytes:
        """Return a state as bytes; equal ones for equal states."""
        return state.dump()

    @staticmethod
    def load(data: bytes) -> State:
        """Read what :meth:`dump` wrote.

        Raises:
            ValueError: another version wrote it.
        """
        return State.load(data)

    @property
    def _log_q(self) -> float:
        return float(np.log(max(self.options.false_alarms_per_week, 1e-6) / _MINUTES_A_WEEK))

    def _hours(self, window: Window, state: State) -> range:
        first = state.until
        if not first:
            if not len(window.cells):
                return range(0)
            first = int(window.cells.minute[0]) // 60 * 60
        return range(first, window.end // 60 * 60, 60)

    def _hour(self, cells: Cells, state: State, start: int) -> tuple[State, list[Incident]]:
        near = cells.between(start - LOOKBACK, start + 60).compact()
        known = state.with_leaves(near.leaves)
        scorer = Scorer(known, near, start, start + 60)
        fold = Fold(scorer, _incidents(known), self._log_q, self.options.planned)
        fold.run()
        if not len(near.between(start, start + 60)):  # nothing of anyone: nothing to learn from
            return replace(
                known, until=start + 60, notes={**known.notes, "incidents": _kept(fold, start)}
            ), fold.incidents
        after = learn(scorer, fold.frozen(), fold.histograms())
        for incident in fold.incidents:
            if incident.accepted and incident.ended >= start:
                for name in incident.evidence:
                    leaves = scorer.grouping.members(scorer.grouping.place[incident.series])
                    after = accepted(after, NUMBER[name], leaves)
        notes = {**known.notes, "incidents": _kept(fold, start), **noticed(known, near, start, start + 60)}
        return replace(after, notes=notes), fold.incidents


def _kept(fold: Fold, start: int) -> list[dict[str, Any]]:
    return [one.as_json() for one in fold.incidents if one.open or one.last > start + 60 - _KEPT_MINUTES]


def _reports(incidents: Sequence[Incident], state: State, end: int) -> list[Anomaly]:
    return [report(incident, state, end) for incident in incidents if incident.confirmed]


def _incidents(state: State) -> list[Incident]:
    return [Incident.from_json(one) for one in state.notes.get("incidents", ())]
