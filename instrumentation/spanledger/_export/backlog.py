"""What waits for the receiver: on disk while the disk takes it, else in bounded memory."""

import logging
from collections import deque
from typing import Final

from spanledger._export.parcel import Parcel
from spanledger._export.spool import DiskSpool

_logger = logging.getLogger(__name__)
_IN_MEMORY: Final = "memory"


class MemoryQueue:
    """A queue of at most ``max_bytes`` of requests; beyond that the oldest goes, and is counted."""

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self.items = 0
        self.dropped = 0
        self._max_bytes = max_bytes
        self._parcels: deque[Parcel] = deque()
        self._held: Parcel | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._parcels

    def append(self, parcel: Parcel, *, held: bool = False) -> None:
        """Keep a parcel as the youngest; ``held`` says that it is being sent meanwhile."""
        parcel.place = _IN_MEMORY
        self._parcels.append(parcel)
        self._held = parcel if held else self._held
        self._count(parcel, 1)
        while self.bytes > self._max_bytes:
            oldest = self._remove_oldest()
            self.dropped += 0 if oldest is self._held else oldest.items

    def _remove_oldest(self) -> Parcel:
        parcel = self._parcels.popleft()
        self._count(parcel, -1)
        return parcel

    def _count(self, parcel: Parcel, sign: int) -> None:
        self.bytes += sign * len(parcel.body)
        self.items += sign * parcel.items

    def head(self) -> Parcel | None:
        """Return the oldest parcel and hold it until ``done`` or ``release``."""
        self._held = self._parcels[0] if self._parcels else None
        return self._held

    def done(self, parcel: Parcel) -> None:
        """The parcel needs no sending any more."""
        self._held = None
        if parcel in self._parcels:  # by identity
            self._parcels.remove(parcel)
            self._count(parcel, -1)

    def release(self, parcel: Parcel) -> None:
        """The attempt failed: the parcel waits again, unless the cap has overtaken it."""
        self._held = None
        if parcel not in self._parcels:
            self.dropped += parcel.items


class Backlog:
    """Disk first, memory when the disk fails; one queue to the sender. Guarded by the sender's lock."""

    def __init__(self, spool: DiskSpool | None, memory: MemoryQueue) -> None:
        self._spool = spool
        self._memory = memory
        self._disk_failed = False
        self.closed = False

    @property
    def where(self) -> str:
        """Where parcels are kept, for log lines."""
        return _IN_MEMORY if self._spool is None or self._disk_failed else str(self._spool.root)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._memory.empty and (self._spool is None or self._spool.empty)

    @property
    def bytes(self) -> int:
        """Bytes of files and memory."""
        return self._memory.bytes + (self._spool.bytes if self._spool else 0)

    @property
    def items(self) -> int:
        """Spans that wait."""
        return self._memory.items + (self._spool.items if self._spool else 0)

    @property
    def dropped(self) -> int:
        """Spans lost to a cap or an unreadable disk."""
        return self._memory.dropped + (self._spool.dropped if self._spool else 0)

    @property
    def damaged(self) -> int:
        """Stretches of spool files that could not be read back."""
        return self._spool.damaged if self._spool else 0

    def append(self, parcel: Parcel, *, held: bool = False) -> None:
        """Keep a parcel as the youngest."""
        if self._spool is not None and self._memory.empty:  # else it would overtake what waits in memory
            try:
                self._spool.append(parcel, held=held)
            except OSError as error:
                self._note_disk_failure(error)
            else:
                self._disk_failed = False
                return
        self._memory.append(parcel, held=held)

    def _note_disk_failure(self, error: OSError) -> None:
        if not self._disk_failed and self._spool is not None:
            _logger.warning("cannot spool spans in %s (%s): keeping them in memory", self._spool.root, error)
        self._disk_failed = True

    def head(self) -> Parcel | None:
        """Return the oldest parcel and hold it until ``done`` or ``release``."""
        return (self._spool and self._spool.head()) or self._memory.head()

    def done(self, parcel: Parcel) -> None:
        """The parcel needs no sending any more."""
        self._keeper(parcel).done(parcel)

    def release(self, parcel: Parcel) -> None:
        """The attempt failed: the parcel waits again."""
        self._keeper(parcel).release(parcel)

    def _keeper(self, parcel: Parcel) -> DiskSpool | MemoryQueue:
        return self._memory if self._spool is None or parcel.place == _IN_MEMORY else self._spool

    def adopt(self) -> int:
        """Take over what dead processes left on disk."""
        return self._spool.adopt() if self._spool else 0

    def close(self) -> int:
        """Close the files and return how many spans were only in memory, and so are lost."""
        self.closed = True
        if self._spool:
            self._spool.close()
        return self._memory.items

    def forget(self) -> None:
        """Close inherited handles in a forked child."""
        if self._spool:
            self._spool.forget()
