"""The leaf table of the hours that are not learned yet, kept up to date by the change feed of the store."""

from collections.abc import Iterable
from typing import Final, Protocol

import pyarrow as pa

from spanledger_analytics.detect import MINUTE_NS, Cells, cells_of, merge
from spanledger_analytics.ports import Changes
from spanledger_analytics.queries import Window

RETRY_MINUTES: Final = 5
"""A call is a retry if the one before it, at most so long ago, failed: what changes before it can make it one."""


class CallStore(Protocol):
    """Where calls are."""

    def changes(self, after: int, limit: int = 50_000) -> Changes:
        """Return which minutes of whom were written since a revision."""
        ...

    def leaf_calls(self, window: Window) -> pa.Table:
        """Return the billable calls of a window."""
        ...

    def call_bounds(self) -> tuple[int, int] | None:
        """Return the start of the first and of the last billable call, ns."""
        ...


def read_cells(store: CallStore, start: int, end: int) -> Cells:
    """Add up the calls of the minutes ``[start, end)``, straight from the store."""
    calls = store.leaf_calls(Window(max(start - RETRY_MINUTES, 0) * MINUTE_NS, end * MINUTE_NS))
    return cells_of(calls).between(start, end).compact()


class LeafTable:
    """Cells of the minutes from :attr:`start` on: always what :func:`read_cells` would give.

    Minutes that were written are read whole and take the place of what was there, so late, repeated, replaced and
    re-priced calls need no care.
    """

    def __init__(self, store: CallStore) -> None:
        self._store = store
        self.revision = 0
        """Up to which the cells are as the store has them."""
        self.start = 0
        self.last = -1
        """The latest minute that has calls, of those ever seen."""
        self.cells = Cells.empty()
        self.too_late = 0
        """Minutes that were written after they had been learned."""

    def load(self, start: int) -> None:
        """Begin anew at a minute."""
        # The revision is taken first: what is written in between is told, and read, once more.
        changes = self._store.changes(0)
        self.revision, self.start = changes.revision, start
        bounds = self._store.call_bounds()
        self.last = -1 if bounds is None else bounds[1] // MINUTE_NS
        self.cells = Cells.empty()
        if self.last >= start:
            self.cells = read_cells(self._store, start, self.last + 1)

    def forget(self, start: int) -> None:
        """Drop what is before a minute."""
        self.start = start
        self.cells = self.cells.between(start, self.last + 1).compact()

    def refresh(self, learned: int) -> bool:
        """Take in what was written; tell whether there is more at once. Minutes before ``learned`` are too late."""
        changes = self._store.changes(self.revision)
        if changes.whole and self.revision:
            self.load(self.start)
            return False
        touched = _touched(changes)
        self.too_late += sum(minute < learned for _, minute in touched)
        widened = {(owner, minute + more) for owner, minute in touched for more in range(RETRY_MINUTES + 1)}
        wanted = {(owner, minute) for owner, minute in widened if minute >= self.start}
        if touched:
            self.last = max(self.last, *(minute for _, minute in touched))
        if wanted:
            self._replace(wanted)
        self.revision = changes.revision
        return changes.more

    def _replace(self, wanted: set[tuple[str, int]]) -> None:
        parts = [self.cells.without(wanted)]
        for low, high in _stretches({minute for _, minute in wanted}):
            found = read_cells(self._store, low, high)
            owners = [leaf.owner for leaf in found.leaves]
            there = set(zip([owners[place] for place in found.leaf.tolist()], found.minute.tolist(), strict=True))
            parts.append(found.without(there - wanted))
        self.cells = merge(parts).compact()


def _touched(changes: Changes) -> list[tuple[str, int]]:
    return [(row["owner"], row["minute_ns"] // MINUTE_NS) for row in changes.minutes.to_pylist()]


def _stretches(minutes: Iterable[int]) -> list[tuple[int, int]]:
    """Return minutes as stretches ``[low, high)``; small gaps are bridged."""
    found: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if found and minute - found[-1][1] <= 2 * RETRY_MINUTES:
            found[-1] = (found[-1][0], minute + 1)
        else:
            found.append((minute, minute + 1))
    return found
