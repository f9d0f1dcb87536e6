"""What happened to the spans, in numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExportStats:
    """A snapshot of an exporter's counters; "spans" includes log records sent the same way.

    Every span handed to the exporter ends in exactly one of ``exported``, ``rejected`` and ``dropped_spans``, or is
    still counted in ``spooled_spans`` or on its first way to the receiver. Spans adopted from a dead process are
    counted by the process that delivers them.
    """

    exported: int = 0
    """Taken by the receiver."""
    rejected: int = 0
    """Refused by the receiver for good: a permanent status, or named in a partial success."""
    dropped_spans: int = 0
    """Lost on this side: older than the cap allows, not encodable, or unsent at shutdown without a disk."""
    retries: int = 0
    """Attempts that failed and will be repeated."""
    spooled_spans: int = 0
    """Waiting now, on disk or in memory."""
    spooled_bytes: int = 0
    """Bytes of spool files and memory queue now."""
    damaged: int = 0
    """Stretches of spool files that could not be read back, a tail torn by a kill included."""


@dataclass(slots=True)
class Counters:
    """The running totals of one sender; guarded by the sender's lock."""

    exported: int = 0
    rejected: int = 0
    dropped: int = 0
    retries: int = 0
