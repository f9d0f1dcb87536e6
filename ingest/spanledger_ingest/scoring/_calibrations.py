"""Calibrations of each owner's scores on their own labels, and the job that fits them anew."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from spanledger_alerts.database import Database
from spanledger_analytics.evaluation import Evidence, Verdict
from spanledger_analytics.quality import Calibration, Labelled, calibrate, tables
from spanledger_ingest.store import QualityReader

Key = tuple[str, str, str]
"""Owner, name of the score, version of its scorer."""


class LabelledScores(Protocol):
    """Where labelled scores are read."""

    quality: QualityReader


class Calibrations:
    """The calibrations in force.

    Args:
        store: where scores and labels are.
        database: where calibrations are kept.
        wall: nanoseconds since the epoch.
    """

    def __init__(self, store: LabelledScores, database: Database, wall: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._database = database
        self._wall = wall
        self._known: dict[Key, Calibration] = {
            (owner, name, version): Calibration.load(model)
            for owner, name, version, model in database.execute(tables.LOAD)
        }

    def step(self) -> bool:
        """Fit anew what has other labels than before."""
        groups: dict[Key, list[Labelled]] = {}
        for row in self._store.quality.labelled().to_pylist():
            groups.setdefault((row["owner"], row["name"], row["scorer_version"] or ""), []).append(_labelled(row))
        fitted = {key: found for key, group in groups.items() if (found := calibrate(group)) is not None}
        changed = {key: found for key, found in fitted.items() if self._known.get(key) != found}
        with self._database.transaction():
            for key, found in changed.items():
                values = (*key, found.id, found.dump(), found.labels, self._wall() // 10**9)
                self._database.execute(tables.SAVE, values)
        self._known = {**self._known, **changed}
        return False

    def apply(self, evidence: Evidence, verdict: Verdict) -> Verdict:
        """Return the verdict with its confidence, if its owner's labels allow one."""
        found = self._known.get((evidence.owner, verdict.name, verdict.scorer_version))
        if found is None or verdict.value is None:
            return verdict
        confidence = round(found.confidence(verdict.value, _numbers(verdict.explanation.features)), 6)
        return replace(verdict, confidence=confidence, calibration_id=found.id)

    def stamp(self, owner: str) -> str:
        """Return what changes when a calibration of this owner does."""
        known = self._known
        return ",".join(sorted(found.id for key, found in known.items() if key[0] == owner))

    def in_force(self) -> Iterable[tuple[Key, Calibration]]:
        """Yield what is used now."""
        yield from list(self._known.items())


def _labelled(row: Mapping[str, Any]) -> Labelled:
    meant = "fail" if row["name"].endswith("_risk") else "pass"
    detail = json.loads(row["detail"] or "{}")
    features = _numbers(detail.get("features") or {})
    return Labelled(row["value"], row["label"] == meant, features, row["weight"] or 1.0)


def _numbers(features: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in features.items() if isinstance(value, int | float)}
