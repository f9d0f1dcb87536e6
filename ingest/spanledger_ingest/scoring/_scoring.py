"""The worker that scores stored calls: behind the commits, never before them.

It follows the change feed of the calls twice. The first time some seconds after a call was written, when its trace has
probably come in; the second time some minutes after, for text that came late. A call whose evidence has not changed
since is not judged again. Both watermarks are kept in the store, so a restart goes on where it was; what was being
worked on is done again, to the same rows.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import pyarrow as pa

from spanledger_analytics import rows, schema
from spanledger_analytics.evaluation import Evidence, Verdict
from spanledger_analytics.ports import ChangeFeed, Scorer
from spanledger_analytics.queries import Window
from spanledger_ingest.scoring._assemble import digest_of, evidence_of
from spanledger_ingest.scoring._events import Judged
from spanledger_ingest.scoring._rows import score_row, table_of
from spanledger_ingest.store import SCORE_KEY, CallKey, EvidenceReader, JobState, Material

_log = logging.getLogger(__name__)

PAGE: Final = 32
"""Calls judged in one step: some tens of milliseconds."""
_MINUTES: Final = 60
"""Minutes of calls looked at in one step."""


class ScoredStore(ChangeFeed, Protocol):
    """What the worker asks of the store."""

    evidence: EvidenceReader

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows, replacing those of an equal key."""
        ...

    def job_state(self, name: str) -> JobState | None:
        """Return what was saved last."""
        ...

    def save_job_state(self, name: str, state: JobState) -> None:
        """Remember how far the work came."""
        ...


class Calibrator(Protocol):
    """Turns values into probabilities."""

    def apply(self, evidence: Evidence, verdict: Verdict) -> Verdict:
        """Return the verdict with its confidence, if there can be one."""
        ...

    def stamp(self, owner: str) -> str:
        """Return what changes when the calibrations of this owner do."""
        ...


@dataclass(slots=True)
class ScoringStats:
    """Counts since the start."""

    calls: int = 0
    scores: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By name and label."""
    failures: Counter[str] = field(default_factory=Counter)
    """Exceptions of scorers, by the scorer's first name."""
    deferred: int = 0
    """Steps not taken because the writer was behind."""
    seconds: float = 0.0
    """CPU time spent judging."""


class Judge:
    """Judges evidence with a set of scorers.

    Args:
        scorers: who judges.
        calibrator: adds the confidence to a verdict.
    """

    def __init__(self, scorers: Sequence[Scorer], calibrator: Calibrator | None = None) -> None:
        self._scorers = tuple(scorers)
        self._calibrator = calibrator
        self.stats = ScoringStats()
        versions = [(list(scorer.names), scorer.version) for scorer in self._scorers]
        self._versions = repr(sorted(versions))

    def stamp(self, owner: str) -> str:
        """Return what changes when a scorer, its version, or a calibration of this owner does."""
        return self._versions if self._calibrator is None else self._versions + self._calibrator.stamp(owner)

    def verdicts(self, evidence: Evidence) -> list[Verdict]:
        """Return what all scorers say; one that fails says nothing."""
        began = time.process_time()
        found = [verdict for scorer in self._scorers for verdict in self._asked(scorer, evidence)]
        if self._calibrator is not None:
            found = [self._calibrator.apply(evidence, verdict) for verdict in found]
        self.stats.calls += 1
        self.stats.scores.update((verdict.name, verdict.label) for verdict in found)
        self.stats.seconds += time.process_time() - began
        return found

    def _asked(self, scorer: Scorer, evidence: Evidence) -> Sequence[Verdict]:
        try:
            return scorer.score(evidence)
        except Exception as error:  # noqa: BLE001 - a scorer of a third party must not stop the others
            self.stats.failures[scorer.names[0]] += 1
            _log.error("the scorer %s failed: %s", scorer.names[0], type(error).__name__)  # its message may quote text
            return ()


class Scoring:
    """Judges pages of stored calls and writes the scores.

    Args:
        store: where calls and text come from and scores go.
        judge: who judges.
        masked: whether text is masked before it is stored.
        emit: is told what was judged, once it is written.
    """

    def __init__(
        self,
        store: ScoredStore,
        judge: Judge,
        *,
        masked: bool = False,
        emit: Callable[[Sequence[Judged]], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.judge = judge
        self._masked = masked
        self._emit = emit

    def score(self, material: Material, *, again: bool = False) -> int:
        """Judge calls whose evidence was not judged yet by these scorers, all with ``again``; return how many."""
        written: list[rows.Row] = []
        judged: list[Judged] = []
        done = 0
        for evidence, digest in self.fresh(material, again=again):
            done += 1
            verdicts = self.judge.verdicts(evidence)
            written += (score_row(evidence, verdict, digest) for verdict in verdicts)
            judged += ((evidence, verdict) for verdict in verdicts)
        self.store.put_rows(schema.SCORES, table_of(written), SCORE_KEY)
        self._emit(judged)
        return done

    def fresh(self, material: Material, *, again: bool = False) -> Iterable[tuple[Evidence, str]]:
        """Yield what is to be judged, with its digest."""
        for evidence, judged in evidence_of(material, masked=self._masked):
            digest = digest_of(evidence, self.judge.stamp(evidence.owner))
            if again or digest not in judged:
                yield evidence, digest

    def backfill(self, window: Window, after: CallKey | None) -> "Backfilled":
        """Judge the next page of a window."""
        material = self.store.evidence.calls_of_window(window, after, PAGE)
        if not material.calls.num_rows:
            return Backfilled(0, None, 0)
        last = last_key(material)
        return Backfilled(self.score(material), last, self.store.evidence.remaining(window, last))


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What one step of a back-fill did."""

    scored: int
    after: CallKey | None
    """The key to go on behind; ``None`` at the end."""
    remaining: int


def last_key(material: Material) -> CallKey:
    """Return the key of the last call of a page."""
    row = material.calls.slice(material.calls.num_rows - 1).to_pylist()[0]
    return row["start_ns"], row["owner"], row["trace_id"], row["span_id"]


@dataclass(slots=True)
class _Held:
    """Changes that are being worked on."""

    revision: int
    minutes: pa.Table
    """Those left to do."""
    due: float
    after: CallKey | None = None


class Follower:
    """Follows the change feed with some delay; each step is bounded.

    Args:
        job: name of the job that takes the steps.
        scoring: what is done with changed calls.
        delay: seconds between a change and its scoring.
        busy: tells that the writer is behind, so that this has to wait.
        monotonic: seconds.
        wall: nanoseconds since the epoch.
    """

    def __init__(
        self,
        job: str,
        scoring: Scoring,
        delay: float,
        busy: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.job = job
        self._state = f"{job}.watermark"
        self._scoring = scoring
        self._store = scoring.store
        self._delay = delay
        self._busy = busy
        self._monotonic = monotonic
        self._wall = wall
        self._watermark: int | None = None
        self._held: _Held | None = None

    @property
    def lag(self) -> float:
        """Seconds for which changes have been due and are not scored."""
        held = self._held
        return 0.0 if held is None else max(0.0, self._monotonic() - held.due)

    def step(self) -> bool:
        """Score a page, or look for changes; tell whether there is more to do at once."""
        if self._busy():
            self._scoring.judge.stats.deferred += 1
            return False
        held = self._held or self._fetch()
        if held is None or self._monotonic() < held.due:
            return False
        if not held.minutes.num_rows:
            self._finish(held)
            return True
        self._page(held)
        return True

    def _fetch(self) -> _Held | None:
        if self._watermark is None:
            state = self._store.job_state(self._state)
            self._watermark = int(state.watermark or 0) if state is not None else 0
        changes = self._store.changes(self._watermark)
        if not changes.minutes.num_rows:
            return None
        minutes = self._store.evidence.minutes_with_text(changes.minutes)
        self._held = _Held(changes.revision, minutes, due=self._monotonic() + self._delay)
        return self._held

    def _page(self, held: _Held) -> None:
        chunk = held.minutes.slice(0, _MINUTES)
        material = self._store.evidence.calls_of_minutes(chunk, held.after, PAGE)
        if material.calls.num_rows:
            self._scoring.score(material)
            held.after = last_key(material)
        if material.calls.num_rows < PAGE:
            held.minutes, held.after = held.minutes.slice(_MINUTES), None

    def _finish(self, held: _Held) -> None:
        self._store.save_job_state(self._state, JobState(self._wall(), str(held.revision)))
        self._watermark, self._held = held.revision, None
