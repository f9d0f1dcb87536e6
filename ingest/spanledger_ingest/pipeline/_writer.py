"""The thread that moves journaled requests into the store."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from spanledger_analytics.errors import StoreError, StoreReopenedError
from spanledger_analytics.ports import SpanStore
from spanledger_analytics.records import Rejection
from spanledger_ingest.errors import JournalError
from spanledger_ingest.journal import Entry, Journal, Received
from spanledger_ingest.otlp import Decoded
from spanledger_ingest.pipeline._helper import LINES, Helper, NoHelpError
from spanledger_ingest.pipeline._prepare import Prepared, decode_again, joined, prepare, read_again, refused
from spanledger_ingest.pipeline._process import Work
from spanledger_ingest.pipeline._steps import Steps
from spanledger_ingest.pipeline._storing import AbandonedError, Storing, WriterConfig, WriterStats

_log = logging.getLogger(__name__)

_MAX_PENDING_BEFORE_LETTERS_DROP: Final = 10_000
"""Dead letters of refused requests take no part in the journal's bound, so they have their own."""


@dataclass(slots=True)
class _Pending:
    offset: int
    """-1 for dead letters of requests that were not journaled."""
    end: int
    count: int
    size: int
    decoded: Decoded | None
    since: float
    ahead: "Future[Prepared] | None" = None
    """What is made of it, being read again from the journal while another group is stored."""


class _Group:
    """Requests that share a transaction."""

    def __init__(self, config: WriterConfig) -> None:
        self.members: list[_Pending] = []
        self.items = 0
        self._bytes = 0
        self._config = config

    def add(self, pending: _Pending) -> None:
        self.members.append(pending)
        self.items += pending.count
        self._bytes += pending.size

    @property
    def is_full(self) -> bool:
        return self.items >= self._config.commit_items or self._bytes >= self._config.memory_bytes


class Writer:
    """Stores what the journal has, in its order, in few large transactions.

    A store that fails is tried again for as long as it takes: the data waits in the journal. An item that makes the
    processing fail is found by halving the batch, and becomes a dead letter.

    Args:
        store: where to; its journal position says where to begin.
        journal: where from.
        steps: what is done to the items on the way.
        decode: reads a journaled request again; raises :class:`IngestError` if it cannot.
        config: rhythm and sizes.
        helper: does the reading where there is much of it; ``None`` for nobody. It is ended with the writer.
    """

    def __init__(
        self,
        store: SpanStore,
        journal: Journal,
        steps: Steps,
        decode: Callable[[Received], Decoded],
        config: WriterConfig | None = None,
        helper: Helper | None = None,
    ) -> None:
        self.stats = WriterStats()
        self._store = store
        self._journal = journal
        self._decode = decode
        self._steps = steps
        self._config = config or WriterConfig()
        self._storing = Storing(store, steps, self._config, self.stats)
        self._change = threading.Condition()
        self._pending: deque[_Pending] = deque()
        self._pending_items = 0
        self._memory = 0
        self._enqueued = 0
        self._done = 0
        self._hurry = False
        self._stopping = False
        self._ready = threading.Event()
        self._read_to = 0
        self._checkpointed = _now()
        self._oldest = 0.0
        self._helper = helper
        self._reader = ThreadPoolExecutor(LINES if helper else 1, thread_name_prefix="read-ahead")
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether everything journaled before the start is in the store, and the thread is alive."""
        return self._ready.is_set() and self._thread.is_alive()

    @property
    def lag_seconds(self) -> float:
        """How long the oldest request that is not stored has waited."""
        with self._change:
            oldest = self._oldest or (self._pending[0].since if self._pending else 0.0)
            return _now() - oldest if oldest else 0.0

    def start(self) -> None:
        """Begin: first with what the journal holds from before, then with what is enqueued."""
        self._thread.start()

    def wait_until_ready(self, timeout: float) -> bool:
        """Wait until the replay is done; tell whether it is."""
        return self._ready.wait(timeout)

    def enqueue(self, entry: Entry, count: int, decoded: Decoded | None, size: int) -> None:
        """Take a journaled request. Called in the order of offsets.

        Args:
            entry: where it is.
            count: of its items.
            decoded: what is in it, if that is known already.
            size: of the decompressed body.
        """
        with self._change:
            if decoded is not None and self._memory + size > self._config.memory_bytes:
                decoded = None
                self.stats.spilled_requests += 1
            self._add(_Pending(entry.offset, entry.end, count, size, decoded, _now()))
            self._memory += size if decoded is not None else 0

    def reject(self, rejection: Rejection) -> None:
        """Take a dead letter of a request that was refused as a whole; it is lost if the process dies before long."""
        decoded = Decoded(signal=rejection.signal, rejections=[rejection], rejected=1)
        with self._change:
            if len(self._pending) >= _MAX_PENDING_BEFORE_LETTERS_DROP:
                return
            self._add(_Pending(-1, -1, 1, 0, decoded, _now()))

    def _add(self, pending: _Pending) -> None:
        self._pending.append(pending)
        self._pending_items += pending.count
        self._enqueued += 1
        self._change.notify_all()

    def wait_until_stored(self, timeout: float = 30.0) -> None:
        """Wait until everything enqueued so far is in the store, without the usual wait for company.

        Raises:
            TimeoutError: it is not, after ``timeout`` seconds.
        """
        with self._change:
            target = self._enqueued
            self._hurry = True
            self._change.notify_all()
            if not self._change.wait_for(lambda: self._done >= target and self._ready.is_set(), timeout):
                raise TimeoutError(f"not everything is stored after {timeout} s")

    def stop(self, timeout: float = 10.0) -> bool:
        """Store what is pending, then end. What cannot be stored in time stays in the journal. Idempotent.

        Returns:
            whether everything was stored.
        """
        with self._change:
            self._stopping = True
            self._change.notify_all()
        if self._thread.ident is None:
            return not self._pending
        self._thread.join(timeout)
        self._storing.abandon()
        self._close_helper()
        self._thread.join(timeout)
        return self._done >= self._enqueued

    def _run(self) -> None:
        try:
            self._replay()
            with self._change:
                self._ready.set()
                self._change.notify_all()
            while (group := self._next_group()) is not None:
                if group:
                    self._store_or_replay(group)
                elif self._helper is not None:
                    self._helper.rest()
                self._release_journal(force=not group)
            self._release_journal(force=True)
        except AbandonedError:
            _log.warning("stopped before everything was stored; the journal keeps the rest for the next start")
        finally:
            self._reader.shutdown(wait=False, cancel_futures=True)
            self._close_helper()

    def _close_helper(self) -> None:
        if self._helper is not None:
            self._helper.close()

    def _store_or_replay(self, group: Sequence[_Pending]) -> None:
        fresh = [pending for pending in group if not 0 <= pending.offset < self._read_to]
        try:
            if fresh:  # the rest was journaled early enough to be part of a replay
                self._store_group(fresh)
        except StoreReopenedError as error:
            _log.warning("%s: reading the journal again", error)
            self._replay()  # the group is part of it
            letters = [pending for pending in fresh if pending.offset < 0]
            if letters:
                self._store_or_replay(letters)
        self._finish(group)

    def _release_journal(self, *, force: bool) -> None:
        """Delete the part of the journal that the store cannot lose any more."""
        old = _now() - self._checkpointed >= self._config.checkpoint_seconds
        force = force or old or self._journal.kept_bytes >= self._config.kept_journal_bytes
        if force:
            self._checkpointed = _now()
        try:
            self._journal.forget(self._store.checkpoint(force=force))
        except (StoreError, OSError) as error:
            self.stats.store_failures += 1
            _log.error("the database cannot checkpoint, so the journal is kept: %s", error)

    def _replay(self) -> None:
        while True:
            self.stats.replays += 1
            try:
                self._replay_once()
            except StoreReopenedError as error:
                _log.warning("%s: reading the journal again", error)
            else:
                return

    def _replay_once(self) -> None:
        end = self._journal.end
        position = self._storing.retrying(self._store.journal_position)
        group = _Group(self._config)
        for entry in self._journal.replay(position):
            decoded = decode_again(entry.received, self._decode)
            group.add(_Pending(entry.offset, entry.end, decoded.count, len(entry.received.body), decoded, _now()))
            self.stats.replayed_requests += 1
            self._read_to = position = entry.end
            if group.is_full:
                self._store_group(group.members)
                group = _Group(self._config)
        if group.members:
            self._store_group(group.members)
        if position < end:  # behind the last request there is only what a crash left: do not read that again
            self._storing.store(Work(position=end))
            self._journal.note_stored(end)

    def _next_group(self) -> list[_Pending] | None:
        """Return what shares the next transaction, nothing if nothing came for long, ``None`` when all is done."""
        with self._change:
            self._change.wait_for(lambda: self._pending or self._stopping, self._config.idle_seconds)
            if not self._pending:
                return None if self._stopping else []
            wait = self._pending[0].since + self._config.commit_seconds - _now()
            if wait > 0:
                self._change.wait_for(self._need_not_wait, wait)
            group = _Group(self._config)
            while self._pending and not group.is_full:
                group.add(self._pending.popleft())
            self._pending_items -= group.items
            self._oldest = group.members[0].since
            self._read_ahead()
            return group.members

    def _read_ahead(self) -> None:
        """Have the next group decoded while the database, which needs no interpreter, stores this one."""
        group = _Group(self._config)
        for pending in self._pending:
            if group.is_full:
                break
            group.add(pending)
            if pending.decoded is None and pending.ahead is None:
                pending.ahead = self._reader.submit(self._read_again, pending.offset)

    def _need_not_wait(self) -> bool:
        return self._stopping or self._hurry or self._pending_items >= self._config.commit_items

    def _store_group(self, group: Sequence[_Pending]) -> None:
        self._storing.check()
        items = joined([self._prepared(pending) for pending in group])
        self.stats.foreign_items += items.foreign
        position = max(pending.end for pending in group)
        self._storing.store(Work(items=items, position=None if position < 0 else position))
        if position >= 0:
            self._journal.note_stored(position)

    def _prepared(self, pending: _Pending) -> Prepared:
        if pending.decoded is not None:
            return prepare(pending.decoded, self._steps)
        return pending.ahead.result() if pending.ahead is not None else self._read_again(pending.offset)

    def _finish(self, group: Sequence[_Pending]) -> None:
        with self._change:
            self._memory -= sum(pending.size for pending in group if pending.decoded is not None)
            self._done += len(group)
            self._oldest = 0.0
            self._hurry = self._hurry and self._done < self._enqueued
            self._change.notify_all()

    def _read_again(self, offset: int) -> Prepared:
        try:
            received = self._journal.read(offset).received
        except JournalError as error:
            _log.error("journal entry at %d was acknowledged and cannot be read: %s", offset, error)
            return prepare(refused("traces", "", f"cannot be read back from the journal: {error}", 0), self._steps)
        if self._helper is not None and self._wants_help(self._helper):
            try:
                return self._helper.read(received)
            except NoHelpError:
                pass
        return read_again(received, self._decode, self._steps)

    def _wants_help(self, helper: Helper) -> bool:
        return (helper.started or self._pending_items >= self._config.commit_items) and helper.ready()


def _now() -> float:
    return time.monotonic()
