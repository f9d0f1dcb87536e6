"""The seam between Spanledger and a span database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

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
    """What an append did."""

    inserted_spans: int
    duplicate_spans: int


class SpanStore(Protocol):
    """Keeps spans, calls and what belongs to them; answers catalogue queries as Arrow tables.

    One writer thread appends; any thread may query at the same time and sees whole batches only.
    """

    def append(self, batch: Batch) -> Receipt:
        """Write the batch in one transaction.

        Spans and calls with a known identity replace the stored ones only if they end later or equal; the rest of the
        batch is written once. The journal position moves with the rows or not at all.
        """
        ...

    def related(self, keys: CallKeys) -> Related:
        """Return the stored facts of the traces and response ids named, within the times given."""
        ...

    def journal_position(self) -> int:
        """Return the journal offset up to which everything is stored; 0 in a new store."""
        ...

    def calls(self, query: CallsQuery) -> pa.Table:
        """Return rows of ``llm_calls``, newest first."""
        ...

    def usage(self, query: UsageQuery) -> pa.Table:
        """Return sums and exact percentiles by the dimensions and bucket asked for."""
        ...

    def trace(self, trace_id: str, tenant: str | None = None) -> pa.Table:
        """Return every span of a trace in order of start; empty if unknown."""
        ...

    def rejections(self, tenant: str | None = None) -> pa.Table:
        """Return dead letters by reason, signal and service: count, first and last seen."""
        ...

    def close(self) -> None:
        """Flush and release the files. Idempotent."""
        ...
