"""Generated worlds for the detector, and what is right and wrong about what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from spanledger_analytics.detect import CALL_COLUMNS, MINUTE_NS, Cells, Leaf, Planned, cells_of, merge
from spanledger_ingest.traffic import Incident, Mode, Plan, World, build_world, calls

_SLACK_BEFORE: Final = 10
"""The generator draws requests by slots of ten minutes, so an incident shows up to so much before its onset."""
_SLACK_AFTER: Final = 60
_OVERLAP: Final = 0.3


@dataclass(frozen=True, slots=True)
class Report:
    """What some detector says: when, whose calls, and the likeliest causes."""

    started: int
    detected: int
    ended: int | None
    where: Mapping[str, str]
    causes: Sequence[Mapping[str, str]]
    ties: Sequence[Mapping[str, str]] = ()


@dataclass(slots=True)
class Truth:
    """An incident of the world, and what was said about it."""

    incident: Incident
    onset: int
    end: int
    leaves: frozenset[int]
    reports: list[Report] = field(default_factory=list)
    is_named: bool = False
    """Whether the likeliest cause, or what cannot be told from it, is the right one."""
    is_among: bool = False
    """Whether one of three is."""


def make_world(seed: int, options: Any, mode: Mode, incidents: Plan) -> tuple[World, Cells]:
    """Return a world and its leaf table."""
    load = options.load if mode == "wild" and Path(options.load).is_file() else None
    world = build_world(
        seed,
        days=options.days,
        tenants=options.tenants,
        calls_per_day=options.calls,
        mode=mode,
        incidents=incidents,
        load=load,
    )
    hours = len(world.hours)
    parts = [
        cells_of(calls(world, start, min(start + 24, hours), columns=CALL_COLUMNS)) for start in range(0, hours, 24)
    ]
    return world, merge(parts)


def planned(world: World) -> tuple[Planned, ...]:
    """Return the changes that the world announces."""
    return tuple(
        Planned(
            start=change.at_ns // MINUTE_NS,
            end=change.at_ns // MINUTE_NS + 60,
            label=f"{change.asked} becomes {change.served}",
            dimensions={"model": change.asked},
        )
        for change in world.life.served_changes
        if change.planned
    )


class Judge:
    """Compares reports with the truth of one world."""

    def __init__(self, world: World, cells: Cells) -> None:
        self._leaves = cells.leaves
        self._calls = np.bincount(cells.leaf, weights=cells.values[:, 0], minlength=len(cells.leaves))
        self.truths = [
            Truth(
                incident,
                incident.onset_ns // MINUTE_NS,
                incident.end_ns // MINUTE_NS,
                self._of({name.removesuffix("_id"): value for name, value in incident.scope.as_json().items()}),
            )
            for incident in world.incidents
        ]
        self.false: list[Report] = []

    def judge(self, reports: Sequence[Report]) -> None:
        """Sort reports: to the incident with which they have time and most calls in common, or false."""
        for report in sorted(reports, key=lambda one: (one.detected, one.started)):
            shares = [(self._common(report, truth), truth) for truth in self.truths]
            best = max(shares, key=lambda pair: pair[0], default=(0.0, None))
            if best[1] is None or best[0] < _OVERLAP:
                self.false.append(report)
                continue
            best[1].reports.append(report)
        for truth in self.truths:
            if truth.reports:
                first = truth.reports[0]
                truth.is_named = any(self._of(where) == truth.leaves for where in (first.where, *first.ties))
                truth.is_among = truth.is_named or any(self._of(where) == truth.leaves for where in first.causes)

    def _of(self, where: Mapping[str, str]) -> frozenset[int]:
        return frozenset(
            place
            for place, leaf in enumerate(self._leaves)
            if self._calls[place] and all(getattr(leaf, name) == value for name, value in where.items())
        )

    def _common(self, report: Report, truth: Truth) -> float:
        ended = report.ended if report.ended is not None else 2**62
        if report.detected < truth.onset - _SLACK_BEFORE or report.detected > truth.end + _SLACK_AFTER:
            return 0.0
        if report.started > truth.end + _SLACK_AFTER // 2 or ended < truth.onset:
            return 0.0
        mine = self._of(report.where)
        common = sum(self._calls[place] for place in mine & truth.leaves)
        smaller = min(sum(self._calls[place] for place in places) for places in (mine, truth.leaves))
        return float(common / max(smaller, 1.0))


__all__ = ["Judge", "Leaf", "Report", "Truth", "make_world", "planned"]
