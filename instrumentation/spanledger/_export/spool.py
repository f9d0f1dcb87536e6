"""The disk spool: a bounded queue of requests in segment files, oldest first."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from spanledger._export.clock import Clock
from spanledger._export.ownership import OwnedDirectory
from spanledger._export.parcel import Parcel
from spanledger._export.segment import SUFFIX, Segment, encode_frame

_logger = logging.getLogger(__name__)
_SEGMENTS_PER_CAP = 16
_MAX_SEGMENT = 1 << 20


class DiskSpool:
    """Requests on disk, at most ``max_bytes`` of files; beyond that the oldest segment goes, and is counted.

    Nothing is created before the first append. Not thread-safe: its owner, the sender, holds a lock.
    """

    def __init__(self, root: Path, max_bytes: int, clock: Clock) -> None:
        self.root = root
        self.dropped = 0
        """Spans lost to the cap or to an unreadable disk."""
        self._max_bytes = max_bytes
        self._segment_bytes = min(_MAX_SEGMENT, max_bytes // _SEGMENTS_PER_CAP)
        self._clock = clock
        self._directory: OwnedDirectory | None = None
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._held: Parcel | None = None
        self._sequence = 0
        self._damaged = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return all(segment.drained for segment in self._segments)

    @property
    def bytes(self) -> int:
        """Size of all segment files."""
        return sum(segment.size for segment in self._segments)

    @property
    def items(self) -> int:
        """Spans that wait."""
        return sum(segment.items for segment in self._segments)

    @property
    def damaged(self) -> int:
        """Stretches of files that could not be read back."""
        return self._damaged + sum(segment.damaged for segment in self._segments)

    def append(self, parcel: Parcel, *, held: bool = False) -> None:
        """Keep a parcel as the youngest; ``held`` says that it is being sent meanwhile.

        Raises:
            OSError: The disk did not take it.
        """
        frame = encode_frame(parcel)
        if len(frame) > self._max_bytes:
            raise OSError(f"a batch of {len(frame)} bytes is larger than the whole spool")
        parcel.place = self._writable(len(frame)).append(frame, parcel.items)
        if held:
            self._held = parcel
        self._enforce_cap()

    def _writable(self, size: int) -> Segment:
        if self._active is None or self._active.size + size > max(self._segment_bytes, size):
            if self._active is not None:
                self._active.close()
            self._active = Segment.create(self._owned().path / self._next_name())
            self._segments.append(self._active)
        return self._active

    def _next_name(self) -> str:
        """Names sort by time, so that what several processes left is sent oldest first."""
        self._sequence += 1
        return f"{int(self._clock.now() * 1e9):020d}-{self._sequence:06d}-{self._owned().path.name}{SUFFIX}"

    def _owned(self) -> OwnedDirectory:
        if self._directory is None:
            self._directory = OwnedDirectory.create(self.root)
        return self._directory

    def _enforce_cap(self) -> None:
        while self.bytes > self._max_bytes:
            oldest = self._segments[0]
            if self._held is not None and self._held.place.segment is oldest:
                oldest.items -= self._held.items  # it is on its way: lost only if that fails
            oldest.dropped = True
            self._retire(oldest)

    def _retire(self, segment: Segment) -> None:
        """Forget a segment; what still waits in it is lost."""
        self.dropped += segment.items
        self._damaged += segment.damaged
        self._segments.remove(segment)
        if segment is self._active:
            self._active = None
        with contextlib.suppress(OSError):
            segment.delete()

    def head(self) -> Parcel | None:
        """Return the oldest parcel and hold it until ``done`` or ``release``."""
        while self._segments:
            oldest = self._segments[0]
            with contextlib.suppress(OSError):  # an unreadable segment is retired, its spans counted as dropped
                self._held = oldest.head()
                if self._held is not None:
                    return self._held
            self._retire(oldest)
        return None

    def done(self, parcel: Parcel) -> None:
        """The parcel needs no sending any more."""
        self._held = None
        segment: Segment = parcel.place.segment
        if segment.dropped:
            return
        segment.mark_sent(parcel.place, parcel.items)
        if segment.drained:
            self._retire(segment)

    def release(self, parcel: Parcel) -> None:
        """The attempt failed: the parcel waits again, unless the cap has overtaken it."""
        self._held = None
        if parcel.place.segment.dropped:
            self.dropped += parcel.items

    def adopt(self) -> int:
        """Take over what dead processes left; return the number of segments."""
        adopted = sum(self._adopt_from(directory) for directory in self._orphans())
        if adopted:
            self._segments.sort(key=lambda segment: (segment is self._active, segment.path.name))
            self._enforce_cap()
        return adopted

    def _orphans(self) -> Iterator[OwnedDirectory]:
        with contextlib.suppress(OSError):
            for path in sorted(self.root.iterdir()):
                orphan = None if self._directory and path == self._directory.path else OwnedDirectory.claim(path)
                if orphan is not None:
                    yield orphan

    def _adopt_from(self, orphan: OwnedDirectory) -> int:
        adopted = 0
        try:
            for path in sorted(orphan.path.glob(f"*{SUFFIX}")):
                target = path.rename(self._owned().path / path.name)
                segment = Segment.load(target)
                self._segments.append(segment)
                adopted += 1
                if segment.drained:
                    self._retire(segment)
        except OSError as error:
            _logger.warning("cannot take over spooled spans in %s: %s", orphan.path, error)
        finally:
            orphan.release()
        return adopted

    def close(self) -> None:
        """Release the directory; what waits stays for the next process."""
        for segment in self._segments:
            segment.close()
        if self._directory is not None:
            self._directory.release()
            self._directory = None

    def forget(self) -> None:
        """Close the handles in a forked child; everything belongs to the parent."""
        for segment in self._segments:
            segment.close()
        if self._directory is not None:
            self._directory.forget()
