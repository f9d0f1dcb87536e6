"""Asks the judge about answers that the words alone leave open, one call a step."""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Protocol

import pyarrow as pa

from spanledger._pii import mask
from spanledger_analytics import schema
from spanledger_analytics.evaluation import NO_CONTENT, Evidence, Verdict, not_evaluable
from spanledger_ingest.judging._endpoint import JudgeError, Reply
from spanledger_ingest.judging._prompt import NAME, Task, task_of, verdict_of, version_of
from spanledger_ingest.judging._purse import Purse
from spanledger_ingest.judging._setup import JudgeSetup, PriceOf
from spanledger_ingest.judging._span import USE_CASE, Asked, export_request
from spanledger_ingest.scoring import Judged, evidence_of_calls, score_row, table_of
from spanledger_ingest.store import SCORE_KEY, Doubts, EvidenceReader, QualityReader

_log = logging.getLogger(__name__)

_LOOK_BACK_NS: Final = 24 * 3600 * 10**9
_PAGE: Final = 50
_TRIES: Final = 3
"""After so many failures an answer is left alone."""
_MOST_REMEMBERED: Final = 10_000
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 600.0

Key = tuple[str, str, str]


class JudgedStore(Protocol):
    """What the judge asks of the store."""

    evidence: EvidenceReader
    quality: QualityReader

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows, replacing those of an equal key."""
        ...


@dataclass(slots=True)
class JudgeStats:
    """Counts since the start."""

    verdicts: Counter[str] = field(default_factory=Counter)
    """By label."""
    failures: Counter[str] = field(default_factory=Counter)
    """Calls without an answer, by reason."""
    over_budget: int = 0
    """Answers not asked about because the day's budget was used up."""


class Worker:
    """Asks the judge.

    Args:
        setup: what it is told and may cost.
        store: where answers and scores are.
        purse: the day's budget.
        price: what tokens cost.
        record: keeps an OTLP request of an owner.
        emit: is told what was judged.
        monotonic: seconds.
        wall: nanoseconds since the epoch.
    """

    def __init__(
        self,
        setup: JudgeSetup,
        store: JudgedStore,
        purse: Purse,
        price: PriceOf,
        record: Callable[[str, bytes], None],
        emit: Callable[[Sequence[Judged]], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.stats = JudgeStats()
        self._setup = setup
        self._store = store
        self._purse = purse
        self._price = price
        self._record = record
        self._emit = emit
        self._monotonic = monotonic
        self._wall = wall
        self._version = version_of(setup.endpoint.model)
        self._waiting: list[dict[str, Any]] = []
        self._tries: OrderedDict[Key, int] = OrderedDict()
        self._failed = 0
        self._rest_until = 0.0

    def step(self) -> bool:
        """Judge one answer; tell whether there is more to do at once."""
        if self._monotonic() < self._rest_until:
            return False
        if not self._waiting:
            self._waiting = self._look()
        if not self._waiting:
            return False
        row = self._waiting.pop(0)
        if not self._judge(row):
            self._waiting = []  # what is left is looked for again, when there is a point in it
            return False
        return True

    def _look(self) -> list[dict[str, Any]]:
        setup, now = self._setup, self._wall()
        wanted = Doubts(
            of="groundedness",
            by=NAME,
            version=self._version,
            low=setup.band[0],
            high=setup.band[1],
            share=setup.share,
            from_ns=max(0, now - _LOOK_BACK_NS),
            tenants=tuple(sorted(setup.tenants)),
            not_use_case=USE_CASE,
        )
        found = self._store.quality.doubts(wanted, _PAGE).to_pylist()
        return [row for row in found if self._tries.get(_key(row), 0) < _TRIES]

    def _judge(self, row: dict[str, Any]) -> bool:
        """Judge an answer; tell whether the next can be judged now."""
        evidence = self._evidence(row)
        if evidence is None:
            self._tries[_key(row)] = _TRIES
            return True
        task = task_of(evidence, self._setup.max_context, mask if self._setup.mask else str)
        if task is None:
            self._write(evidence, not_evaluable(NAME, NO_CONTENT, self._version))
            return True
        return self._ask(task)

    def _evidence(self, row: dict[str, Any]) -> Evidence | None:
        material = self._store.evidence.calls_of_trace(row["trace_id"], row["owner"])
        found = (one for one, _ in evidence_of_calls(material) if one.span_id == row["span_id"])
        return next(found, None)

    def _ask(self, task: Task) -> bool:
        endpoint = self._setup.endpoint
        most = self._price(endpoint.provider, endpoint.model, task.most_tokens, endpoint.max_output)
        hold = None if most is None else self._purse.hold(most)
        if most is None or hold is None:
            self.stats.over_budget += 1
            return False
        start = self._wall()
        asked = Asked(evidence=task.evidence, endpoint=endpoint, start_ns=start, end_ns=start)
        try:
            reply = endpoint.ask(task.messages)
        except JudgeError as failure:
            # A call that was given up may have been answered all the same, and is billed then.
            self._purse.settle(hold, Decimal(0) if failure.free else most)
            self._failed_at(task.evidence, failure.kind)
            asked = replace(asked, end_ns=self._wall(), error=failure.kind)
        else:
            self._purse.settle(hold, self._cost(reply, most))
            self._failed = 0
            asked = replace(asked, end_ns=self._wall(), reply=reply)
            self._write(task.evidence, verdict_of(task, reply.text, endpoint.model))
        self._record(task.evidence.owner, export_request(asked))
        return not asked.error

    def _cost(self, reply: Reply, most: Decimal) -> Decimal:
        """Return what a call did cost: as much as it could if nobody says."""
        endpoint = self._setup.endpoint
        if reply.input_tokens is None or reply.output_tokens is None:
            return most
        found = self._price(endpoint.provider, endpoint.model, reply.input_tokens, reply.output_tokens)
        return most if found is None else found

    def _failed_at(self, evidence: Evidence, error: str) -> None:
        self.stats.failures[error] += 1
        self._failed += 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failed - 1, 10))
        self._rest_until = self._monotonic() + pause
        key = (evidence.owner, evidence.trace_id, evidence.span_id)
        self._tries[key] = self._tries.get(key, 0) + 1
        while len(self._tries) > _MOST_REMEMBERED:
            self._tries.popitem(last=False)
        _log.warning("the judge did not answer (%s); asking again in %d s at the earliest", error, pause)

    def _write(self, evidence: Evidence, verdict: Verdict) -> None:
        row = score_row(evidence, verdict, "")
        self._store.put_rows(schema.SCORES, table_of([row]), SCORE_KEY)
        self.stats.verdicts[verdict.label] += 1
        self._emit([(evidence, verdict)])


def _key(row: dict[str, Any]) -> Key:
    return row["owner"], row["trace_id"], row["span_id"]
