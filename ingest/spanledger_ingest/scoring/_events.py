"""Scores as OpenTelemetry events ``gen_ai.evaluation.result``: rows of ``logs`` below the span that was judged.

They are written beside ``scores``, not sent through the receivers, so nothing reads them back as scores of an
application. An event has no captured text: its explanation is the plain reason, its detail has places in the text.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

import orjson
import pyarrow as pa

from spanledger_analytics import rows, schema
from spanledger_analytics.evaluation import Evidence, Verdict
from spanledger_analytics.records import LogRecord, Resource, Scope
from spanledger_ingest.normalise import EVALUATION_EVENT, OWN_SCORES

Which: TypeAlias = Literal["none", "flagged", "all"]
Judged: TypeAlias = tuple[Evidence, Verdict]

_KEY: Final = ("owner", "start_ns", "trace_id", "span_id", "event_name", "scope_name")
"""The events of a call make place for those of its next scoring."""
_INFO: Final = (9, "INFO")
_WARN: Final = (13, "WARN")
_RESOURCE: Final = Resource({"service.name": "spanledger"})
_MINUTE: Final = 60.0
_RANK: Final = {"fail": 0, "warn": 1}


class EventStore(Protocol):
    """Where events are kept."""

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows, replacing those of an equal key."""
        ...


class Events:
    """Writes the events of scores, at most so many a minute.

    Args:
        store: where they are kept.
        which: ``flagged`` are those that fail or warn, ``all`` those that have a number.
        per_minute: what is above is left out, and counted; what fails goes first.
        monotonic: seconds.
        wall: nanoseconds since the epoch.
        scope: who judges; begins as that of our own scores.
    """

    def __init__(
        self,
        store: EventStore,
        which: Which,
        per_minute: int,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        scope: str = OWN_SCORES,
    ) -> None:
        self._store = store
        self._scope = scope
        self._which = which
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._wall = wall
        self._room = float(per_minute)
        self._filled = monotonic()
        self.written = 0
        self.dropped = 0
        """Events above the limit."""

    def emit(self, judged: Sequence[Judged]) -> None:
        """Write the events of verdicts."""
        wanted = [(evidence, verdict) for evidence, verdict in judged if self._is_wanted(verdict)]
        wanted.sort(key=lambda one: _RANK.get(one[1].label, 2))
        taken = wanted[: self._take(len(wanted))]
        self.dropped += len(wanted) - len(taken)
        if not taken:
            return
        now = self._wall()
        found = [rows.log_row(event_of(evidence, verdict, now, self._scope)) for evidence, verdict in taken]
        self._store.put_rows(schema.LOGS, rows.table_of(schema.LOGS, found), _KEY)
        self.written += len(taken)

    def _is_wanted(self, verdict: Verdict) -> bool:
        if self._which == "flagged":
            return verdict.label in _RANK
        return self._which == "all" and verdict.value is not None

    def _take(self, wanted: int) -> int:
        now = self._monotonic()
        self._room = min(self._per_minute, self._room + (now - self._filled) * self._per_minute / _MINUTE)
        self._filled = now
        taken = min(wanted, int(self._room))
        self._room -= taken
        return taken


def event_of(evidence: Evidence, verdict: Verdict, observed_ns: int, scope: str = OWN_SCORES) -> LogRecord:
    """Return the event of a verdict; its time is that of the call, observed is when it was judged."""
    severity, severity_text = _WARN if verdict.label in _RANK else _INFO
    return LogRecord(
        owner=evidence.owner,
        time_ns=evidence.start_ns,
        observed_ns=observed_ns,
        trace_id=evidence.trace_id,
        span_id=evidence.span_id,
        event_name=EVALUATION_EVENT,
        severity=severity,
        severity_text=severity_text,
        attributes=_attributes(evidence, verdict),
        resource=_RESOURCE,
        scope=Scope(scope, verdict.scorer_version),
    )


def _attributes(evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    detail = verdict.explanation.as_json()
    reason = detail.pop("reason")
    found = {
        "gen_ai.evaluation.name": verdict.name,
        "gen_ai.evaluation.score.value": verdict.value,
        "gen_ai.evaluation.score.label": verdict.label,
        "gen_ai.evaluation.explanation": reason,
        "gen_ai.response.id": evidence.response_id,
        "gen_ai.request.model": evidence.model,
        "gen_ai.prompt.name": evidence.prompt_name,
        "gen_ai.prompt.version": evidence.prompt_version,
        "tenant.id": evidence.tenant_id,
        "spanledger.use_case": evidence.use_case,
        "spanledger.scorer.version": verdict.scorer_version,
        "spanledger.evaluation.direction": "lower_is_better" if verdict.name.endswith("_risk") else "higher_is_better",
        "spanledger.evaluation.confidence": verdict.confidence,
        "spanledger.evaluation.calibration_id": verdict.calibration_id,
        "spanledger.evaluation.detail": orjson.dumps(detail).decode() if detail else None,
    }
    return {name: value for name, value in found.items() if value is not None}
