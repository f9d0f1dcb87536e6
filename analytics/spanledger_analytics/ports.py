"""The seams: what Spanledger asks of a span database, of a scorer, of a detector."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import pyarrow as pa

from spanledger_analytics.detect import Anomaly, Window
from spanledger_analytics.evaluation import Evidence, Verdict
from spanledger_analytics.queries import CallsQuery, UsageQuery
from spanledger_analytics.records import Batch, CallFacts

SpanKey = tuple[str, str, str]
"""``(owner, trace_id, span_id)``: the identity of a span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKeys:
    """What to look for when new spans may belong to calls already stored. Times bound the search (ns, inclusive)."""

    trace_ids: Collection[tuple[str, str]]
    """``(owner, trace_id)`` pairs."""
    response_ids: Collection[tuple[str, str]]
    """``(owner, response_id)`` pairs."""
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Related:
    """Stored facts that may describe the same calls, and the parent of every stored span of their traces."""

    facts: Sequence[CallFacts]
    parents: Mapping[SpanKey, str | None]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an append did: spans of an identity that was new, and the rest of the batch's spans."""

    inserted_spans: int
    duplicate_spans: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Which minutes of calls were written after a watermark."""

    revision: int
    """The watermark to go on from."""
    minutes: pa.Table
    """Distinct ``owner`` and ``minute_ns`` (start of the minute, ns since the epoch)."""
    more: bool
    """Whether there are changes after ``revision`` already."""
    whole: bool
    """Whether these are all minutes that have calls: what else the caller knows of is to be dropped."""


class ChangeFeed(Protocol):
    """Tells what to compute anew from the stored calls."""

    def changes(self, after: int, limit: int = 50_000) -> Changes:
        """Return the minutes touched since the revision ``after``; all of them if that is 0 or too long ago.

        A change is told at least once, in order of revision. Revisions never go back, even when the store lost its log.
        """
        ...


class SpanStore(Protocol):
    """Keeps spans, calls and what belongs to them; answers catalogue queries as Arrow tables.

    One writer thread appends; any thread may query at the same time and sees whole batches only.
    """

    def append(self, batch: Batch) -> Receipt:
        """Write the batch in one transaction.

        Of two spans with one identity the one that ends later stays (an equal end is settled by content: the order
        of arrival never matters). A call replaces the stored one of its span unless that ends later: of two settlements
        the later wins. The rest of the batch is written once. The journal position moves with the rows or not at all,
        and never back.

        A store may take spans of one identity for different spans if they start more than an hour apart.

        Raises:
            StoreUnavailableError: nothing was written; a later try may succeed.
            StoreReopenedError: nothing was written, and what was written before may be lost: the caller must go on from
                :meth:`journal_position`. Raised once per reopening.
        """
        ...

    def related(self, keys: CallKeys) -> Related:
        """Return the stored facts that may share a call with the traces and response ids named.

        Closed under both: the traces of the facts found and their response ids are looked up in turn. Only spans and
        calls that start within the times given are seen.
        """
        ...

    def journal_position(self) -> int:
        """Return the journal offset up to which everything is stored; 0 in a new store."""
        ...

    def checkpoint(self, *, force: bool = False) -> int:
        """Move what is due, or with ``force`` everything, from the store's log into its main file.

        Returns:
            the journal offset up to which everything would be there even if the log were lost. What is before it need
            not be kept elsewhere.
        """
        ...

    def calls(self, query: CallsQuery) -> pa.Table:
        """Return rows of ``llm_calls``, newest first; ``query.cursor`` pages on (:class:`~.queries.Cursor`)."""
        ...

    def usage(self, query: UsageQuery) -> pa.Table:
        """Return sums and exact percentiles by the dimensions and bucket asked for (``schema.usage_schema``)."""
        ...

    def trace(self, trace_id: str, owner: str | None = None) -> pa.Table:
        """Return every span of a trace, columns of ``spans``, in order of start; empty if unknown.

        ``owner`` limits it to the spans that came with that credential's tenant.
        """
        ...

    def rejections(self, owner: str | None = None) -> pa.Table:
        """Return dead letters by signal, reason and service (``schema.REJECTION_SUMMARY``), latest first."""
        ...

    def close(self) -> None:
        """Flush and release the files. Idempotent."""
        ...


class Scorer(Protocol):
    """Judges one model call by its evidence: pure, deterministic, bounded, and silent where it cannot know.

    Packages offer theirs by the entry point group ``spanledger.scorers``: a callable without arguments that returns
    one. Prove it with :class:`~spanledger_analytics.testing.ScorerContract`.
    """

    @property
    def names(self) -> Sequence[str]:
        """The scores it gives; a name ends in ``_risk`` exactly if 1 is bad."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever a verdict could: a semantic version, and a digest of its parameters if it has any."""
        ...

    def score(self, evidence: Evidence) -> Sequence[Verdict]:
        """Return at most one verdict for each of :attr:`names`.

        Where the evidence is missing or of the wrong kind, the verdict is ``not_evaluable`` with the reason and no
        number. Never raises, whatever the text holds.
        """
        ...


StateT = TypeVar("StateT")


class Detector(Protocol[StateT]):
    """Finds what changed. Pure and seeded: the same history and state give the same answers, bit by bit.

    Time is that of the calls, in minutes since the epoch; no clock is read. Packages offer theirs by the entry point
    group ``spanledger.detectors``. Prove it with :class:`~spanledger_analytics.testing.DetectorContract`.
    """

    def fit(self, window: Window, state: StateT | None = None) -> StateT:
        """Learn from every full hour of the window that the state has not learned from; return the new state."""
        ...

    def detect(self, window: Window, state: StateT) -> Sequence[Anomaly]:
        """Return the incidents that are open, or ended in the last hours, as of the end of the window.

        The window holds everything since the state's last hour, and some hours before it. An incident keeps its id
        when it is seen again.
        """
        ...

    def dump(self, state: StateT) -> bytes:
        """Return a state as bytes: equal bytes for equal states, and no pickles."""
        ...

    def load(self, data: bytes) -> StateT:
        """Read what :meth:`dump` wrote.

        Raises:
            ValueError: another version wrote it.
        """
        ...
