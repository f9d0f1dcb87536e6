"""The journal itself: appends grouped into one disk write, replay, and deletion of what the store has for good."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from spanledger_ingest.errors import DataDirError, JournalClosedError, JournalFullError, JournalUnavailableError
from spanledger_ingest.journal._entries import (
    FRAME_HEAD_BYTES,
    UNFINISHED,
    Damage,
    Entry,
    Received,
    frame_head,
    payload,
    scan,
)
from spanledger_ingest.journal._segments import (
    Segment,
    SegmentWriter,
    free_bytes,
    list_segments,
    quarantine,
    sync_directory,
)

_log = logging.getLogger(__name__)

_QUARANTINE: Final = "quarantine"
_WORTH_COPYING: Final = 1024 * 1024
"""Up to here one write of a copy is cheaper than many writes."""
_WORTH_DELETING: Final = 1024 * 1024
"""A segment with this much in it is not kept longer than is needed: it holds bodies as they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """How the journal uses its disk."""

    segment_bytes: int = 64 * 1024 * 1024
    """A segment that has reached this size is followed by another."""
    max_backlog_bytes: int = 4 * 1024 * 1024 * 1024
    """What may wait for the store; beyond it appends are refused."""
    min_free_bytes: int = 16 * 1024 * 1024
    """Disk space that is left to the database, without which nothing could be stored any more."""
    retire_seconds: float = 60.0
    """After so long without an append, a segment is deleted that is no longer needed: it holds bodies as they came,
    with texts that the content policy may not allow to be kept."""


class _Waiting(NamedTuple):
    received: Received
    payload: bytes
    durable: Callable[[Entry], None]
    done: "Future[Entry]"


def _nothing(_entry: Entry) -> None:
    return


class Journal:
    """Requests on disk, in order, until the store has them for good.

    What the store has may still be in a log of its own that can be damaged: until :meth:`forget` says that this would
    not matter any more, the journal is the second source.

    Appends are durable when their future is done: a committer thread writes all that wait and syncs once, so the busier
    it gets the less a sync costs each. Offsets grow over all segments ever written and are never used twice.

    Args:
        directory: where the segments are; made if missing. One process at a time, see :class:`DataDirLock`.
        stored_position: what the store says it has; new entries get higher offsets even if the segments were lost.
            Nothing is deleted for it.
        config: sizes.

    Raises:
        DataDirError: the directory cannot be read or written.
    """

    def __init__(self, directory: Path, *, stored_position: int = 0, config: JournalConfig | None = None) -> None:
        self._directory = directory
        self._config = config or JournalConfig()
        self._change = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._writer: SegmentWriter | None = None
        self._stored = stored_position
        self._safe = 0
        self.damages: list[Damage] = []
        """Damage met by replays so far; copies of the bytes are in the ``quarantine`` folder."""
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._segments = list_segments(directory)
            self._end = max([stored_position, *(segment.base + segment.size() for segment in self._segments)])
        except OSError as error:
            raise DataDirError(f"cannot read the journal in {str(directory)!r}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._commit_until_closed, name="journal", daemon=True)
        self._thread.start()

    @property
    def end(self) -> int:
        """The offset behind the last durable entry."""
        return self._end

    @property
    def stored(self) -> int:
        """The offset before which the store has everything."""
        return self._stored

    @property
    def backlog_bytes(self) -> int:
        """Bytes that the store does not have yet, durable or about to be."""
        return max(0, self._end - self._stored) + self._waiting_bytes

    @property
    def kept_bytes(self) -> int:
        """Bytes that are kept, most of them only because the store could still lose them."""
        with self._change:
            return self._end - self._segments[0].base if self._segments else 0

    def append(self, received: Received, durable: Callable[[Entry], None] = _nothing) -> "Future[Entry]":
        """Queue a request for the next write; the future is done when it is on the disk.

        Args:
            received: the request.
            durable: called on the committer's thread, in the order of offsets, before the future is done. It must be
                quick and must not raise.

        Returns:
            A future of the entry. It fails with :class:`JournalUnavailableError` if the disk refuses.

        Raises:
            JournalFullError: too much waits for the store.
            JournalClosedError: the journal was closed.
        """
        waiting = _Waiting(received, payload(received), durable, Future())
        with self._change:
            if self._closing:
                raise JournalClosedError("the journal is closed")
            size = _size((waiting,))
            if self.backlog_bytes + size > self._config.max_backlog_bytes:
                raise JournalFullError(f"{self.backlog_bytes} bytes of the journal wait for the store")
            self._waiting.append(waiting)
            self._waiting_bytes += size
            self._change.notify_all()
        return waiting.done

    def _commit_until_closed(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closing, self._config.retire_seconds)
                group, self._waiting = self._waiting, []
                closing = self._closing
            if not group:
                self._retire_segment()
                if closing:
                    return
                continue
            try:
                self._commit(group)
            except OSError as error:
                self._abandon_segment()
                _refuse(group, error.strerror)
            finally:
                with self._change:
                    self._waiting_bytes -= _size(group)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        if free_bytes(self._directory) < self._config.min_free_bytes + _size(group):
            _refuse(group, "too little free space is left on it")
            return
        entries = self._write(group)
        self._end = entries[-1].end
        for waiting, entry in zip(group, entries, strict=True):
            waiting.durable(entry)
        for waiting, entry in zip(group, entries, strict=True):
            if waiting.done.set_running_or_notify_cancel():
                waiting.done.set_result(entry)

    def _write(self, group: Sequence[_Waiting]) -> list[Entry]:
        writer = self._writer_for_more()
        entries: list[Entry] = []
        parts: list[bytes] = []
        start = self._end = writer.segment.base + writer.position
        for waiting in group:
            end = start + _size((waiting,))
            entries.append(Entry(start, end, waiting.received))
            parts += (frame_head(waiting.payload, writer.segment.marker), waiting.payload)
            start = end
        writer.write(parts if start - entries[0].offset > _WORTH_COPYING else (b"".join(parts),))
        writer.sync()
        return entries

    def _writer_for_more(self) -> SegmentWriter:
        """Return the current segment, or the next one if it is full, or if nothing in it is needed any more."""
        writer = self._writer
        if writer is not None:
            needless = self._safe >= self._end and writer.position >= _WORTH_DELETING
            if writer.position < self._config.segment_bytes and not needless:
                return writer
            self._writer = None
            writer.close()
        writer = SegmentWriter(self._directory, self._end)
        with self._change:
            self._writer = writer
            self._segments.append(writer.segment)
        return writer

    def _retire_segment(self) -> None:
        """Close the segment and delete it if it is not needed any more; the next append begins another one."""
        with self._change:
            writer = self._writer
            if writer is None or (self._safe < self._end and not self._closing):
                return
            self._writer = None
        try:
            writer.close()
            self._delete_needless()
        except OSError as error:
            _log.error("cannot delete a stored journal segment: %s", error.strerror)

    def _abandon_segment(self) -> None:
        """Leave the segment: after a failed write or sync nobody knows what of it is on the disk."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with suppress(OSError):
            writer.truncate(self._end - writer.segment.base)
            writer.position = self._end - writer.segment.base
        self._end = writer.segment.base + writer.position
        with suppress(OSError):
            writer.close()

    def replay(self, position: int) -> Iterator[Entry]:
        """Yield every valid entry from the position to the end as it is now.

        Damaged bytes are copied into the quarantine folder, noted in :attr:`damages`, and skipped.
        """
        end = self._end
        segments = self._segments_from(position)
        if segments and segments[0].base > position:
            self._note_gap(position, segments[0].base)
        for segment in segments:
            for found in _read(segment, range(max(0, position - segment.base), end - segment.base)):
                if isinstance(found, Entry):
                    yield found
                else:
                    self._note_damage(segment, found)

    def _note_gap(self, position: int, start: int) -> None:
        """Say that the store is older than what the journal kept for it: a database of another day, or lost files."""
        missing = start - position
        _log.error(
            "the store has what is before %d, the journal begins at %d: %d bytes are lost", position, start, missing
        )
        self.damages.append(Damage("", position, missing, "missing"))

    def _segments_from(self, position: int) -> list[Segment]:
        with self._change:
            segments = list(self._segments)
        following = [segment.base for segment in segments[1:]] + [self._end + 1]
        return [segment for segment, end in zip(segments, following, strict=False) if end > position]

    def _note_damage(self, segment: Segment, damage: Damage) -> None:
        _log.log(
            logging.WARNING if damage.reason == UNFINISHED else logging.ERROR,
            "journal segment %s: %d bytes at %d are no request: %s; copied to quarantine",
            *(damage.segment, damage.length, damage.position, damage.reason),
        )
        self.damages.append(damage)
        try:
            quarantine(self._directory / _QUARANTINE, segment, damage)
        except OSError as error:
            _log.error("cannot copy damaged bytes: %s", error.strerror)

    def read(self, offset: int) -> Entry:
        """Return the entry at the offset.

        Raises:
            JournalUnavailableError: there is no valid entry there, or the disk refuses.
        """
        segments = self._segments_from(offset)
        if segments:
            base = segments[0].base
            found = next(_read(segments[0], range(offset - base, self._end - base)), None)
            if isinstance(found, Entry) and found.offset == offset:
                return found
        raise JournalUnavailableError(f"no valid journal entry at {offset}")

    def note_stored(self, position: int) -> None:
        """Count what is before the position as stored: it is no backlog any more. Nothing is deleted yet."""
        self._stored = max(self._stored, position)

    def forget(self, position: int) -> None:
        """Delete the segments wholly before the position, which the store has and cannot lose any more.

        The position must be durable in the store, in its file and not only in a log beside it, before this is called:
        the other order can lose data.
        """
        self.note_stored(position)
        self._safe = max(self._safe, position)
        try:
            self._delete_needless()
        except OSError as error:
            _log.error("cannot delete a stored journal segment: %s", error.strerror)

    def _delete_needless(self) -> None:
        with self._change:
            ends = [segment.base for segment in self._segments[1:]] + [self._end]
            active = self._writer.segment if self._writer else None
            pairs = zip(self._segments, ends, strict=False)
            gone = [segment for segment, end in pairs if end <= self._safe and segment != active]
            self._segments = [segment for segment in self._segments if segment not in gone]
        for segment in gone:
            segment.path.unlink(missing_ok=True)
        if gone:
            sync_directory(self._directory)

    def close(self) -> None:
        """Write what waits, then close the files. Idempotent."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join()


def _refuse(group: Sequence[_Waiting], reason: str | None) -> None:
    _log.error("journal write failed: %s", reason)
    for waiting in group:
        if waiting.done.set_running_or_notify_cancel():
            waiting.done.set_exception(JournalUnavailableError(f"the disk refused a write: {reason}"))


def _size(group: Sequence[_Waiting]) -> int:
    return sum(FRAME_HEAD_BYTES + len(waiting.payload) for waiting in group)


def _read(segment: Segment, span: range) -> Iterator[Entry | Damage]:
    try:
        with segment.bytes() as data:
            within = range(span.start, min(span.stop, len(data)))
            yield from scan(data, segment.path.name, segment.base, segment.marker, within)
    except OSError as error:
        yield Damage(segment.path.name, 0, 0, f"cannot be read: {error.strerror}")
