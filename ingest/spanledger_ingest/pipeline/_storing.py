"""Storing a batch whatever happens: retries when the store fails, halving when an item does."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from spanledger_analytics.errors import StoreError, StoreReopenedError
from spanledger_analytics.ports import Receipt, SpanStore
from spanledger_analytics.records import Batch
from spanledger_ingest.pipeline._histogram import Histogram
from spanledger_ingest.pipeline._prepare import where
from spanledger_ingest.pipeline._process import Work, process
from spanledger_ingest.pipeline._steps import Steps

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterConfig:
    """The rhythm of the writer."""

    commit_seconds: float = 1.0
    """Longest wait of a request for others to share its transaction."""
    commit_items: int = 20_000
    """Items in one transaction, 1-2 s of work. Larger ones would spare DuckDB a write, but a process that is killed
    while it catches up would have to begin again further back."""
    memory_bytes: int = 128 * 1024 * 1024
    """Decompressed bodies kept decoded in memory; the writer reads the rest again from the journal."""
    kept_journal_bytes: int = 128 * 1024 * 1024
    """Journal kept after it is stored, at most, because the store could still lose it; then it must checkpoint."""
    checkpoint_seconds: float = 300.0
    """Longest time between checkpoints while there is traffic: the journal holds bodies as they came, with texts that
    the content policy may not allow to be kept."""
    idle_seconds: float = 30.0
    """After so long without anything to do the store checkpoints, so that the journal can be deleted."""
    first_retry_seconds: float = 0.1
    last_retry_seconds: float = 5.0
    """Waits between attempts to reach a store that fails double from the first to the last."""


@dataclass(slots=True)
class WriterStats:
    """Counts since the start. Written by the writer's thread only."""

    batches: int = 0
    stored_spans: int = 0
    duplicate_spans: int = 0
    stored_logs: int = 0
    stored_metrics: int = 0
    dead_letters: int = 0
    foreign_items: int = 0
    """Items that named another tenant than their credential does."""
    store_failures: int = 0
    replays: int = 0
    replayed_requests: int = 0
    spilled_requests: int = 0
    """Requests that waited in the journal only, because memory was full."""
    commit_seconds: Histogram = field(default_factory=Histogram)
    """How long the store took for each batch."""


class AbandonedError(Exception):
    """The writer was told to give up; the journal keeps what it did not store."""


class Storing:
    """Puts work into the store, as often as it takes, on the writer's thread."""

    def __init__(self, store: SpanStore, steps: Steps, config: WriterConfig, stats: WriterStats) -> None:
        self._store = store
        self._steps = steps
        self._config = config
        self._stats = stats
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        """Make the next failure of the store, or the next check, final. Called from any thread."""
        self._abandoned.set()

    def check(self) -> None:
        """Find out whether to go on.

        Raises:
            AbandonedError: the writer was told to give up.
        """
        if self._abandoned.is_set():
            raise AbandonedError

    def store(self, work: Work) -> None:
        """Store the work; items that make it fail become dead letters.

        Raises:
            AbandonedError: the store fails and nobody wants to wait for it any more.
            StoreReopenedError: the store may have lost what it had.
        """
        error = self._attempt(work)
        if error is None:
            return
        if len(work.items) > 1:
            first, second = work.halves()
            self.store(first)
            self.store(second)
        elif len(work.items):
            self.store(work.dead(error))
        else:
            _log.error("dropping %d dead letters that cannot be stored: %s", len(work.items.rejections), where(error))
            self.retrying(lambda: self._store.append(Batch(journal_position=work.position)))

    def _attempt(self, work: Work) -> Exception | None:
        """Process and append the work; return the error if it is the work's fault, wait and repeat if the store's."""

        def attempt() -> Exception | None:
            try:
                batch = process(work, self._store, self._steps)
                receipt = self._timed_append(batch)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - the worker loop: no item may stop it
                self._store.append(Batch(journal_position=0))  # a write: raises if it is the store that fails
                _log.warning("a batch of %d items cannot be processed: %s", len(work.items), where(error))
                return error
            self._count(batch, receipt.inserted_spans, receipt.duplicate_spans)
            return None

        return self.retrying(attempt)

    def _timed_append(self, batch: Batch) -> Receipt:
        began = time.monotonic()
        receipt = self._store.append(batch)
        self._stats.commit_seconds.observe(time.monotonic() - began)
        return receipt

    def retrying(self, action: Callable[[], _T]) -> _T:
        """Do something with the store until it succeeds, with growing waits.

        Raises:
            AbandonedError: it fails and nobody wants to wait any more.
            StoreReopenedError: as the store says.
        """
        wait = self._config.first_retry_seconds
        while True:
            try:
                return action()
            except StoreReopenedError:
                raise
            except Exception as error:
                self._stats.store_failures += 1
                reason = str(error) if isinstance(error, StoreError) else where(error)
                _log.error("the store failed, trying again in %.1f s: %s", wait, reason)
                if self._abandoned.wait(wait):
                    raise AbandonedError from error
                wait = min(2 * wait, self._config.last_retry_seconds)

    def _count(self, batch: Batch, inserted: int, duplicates: int) -> None:
        stats = self._stats
        stats.batches += 1
        stats.stored_spans += inserted
        stats.duplicate_spans += duplicates
        stats.stored_logs += len(batch.logs)
        stats.stored_metrics += len(batch.metrics)
        stats.dead_letters += len(batch.rejections)
