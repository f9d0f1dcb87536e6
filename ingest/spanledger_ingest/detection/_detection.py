"""Detection in the service: hours are learned once they are closed, what came since is judged again and again."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.detect import MINUTE_NS, Anomaly, LedgerDetector, Options, Planned, State, Window
from spanledger_analytics.queries import Window as Stretch
from spanledger_ingest.detection._leaf_table import CallStore, LeafTable
from spanledger_ingest.detection._planned import configured_changes
from spanledger_ingest.detection._rows import KEY, anomaly_row, anomaly_table
from spanledger_ingest.detection._tables import DetectorTables
from spanledger_ingest.settings import DetectionConfig

_log = logging.getLogger(__name__)

WATERMARK_MINUTES: Final = 2
"""Calls of a minute are waited for so long before it is judged."""
LATENESS_MINUTES: Final = 60
"""A minute is judged again when calls of it come up to so much later; then it is learned."""
_SILENCE_MINUTES: Final = 60
"""Silence of everyone is judged for so long; after that it is a service that is not used."""
_REACH: Final = 240
_HOURS_AT_ONCE: Final = 12


class DetectionStore(CallStore, Protocol):
    """Where calls are, and findings go."""

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows in the place of those of an equal key."""
        ...

    def open_anomalies(self) -> pa.Table:
        """Return the findings that have not ended, all columns."""
        ...

    def is_heard(self, owner: str, tenant: str | None, window: Stretch) -> bool:
        """Tell whether any span of a tenant is from this window."""
        ...


class Detection:
    """The worker.

    What it publishes is a function of the stored calls alone: what was learned is saved by the hour, everything since
    is computed anew. A restart, or a kill at any moment, changes nothing.

    Args:
        store: where calls are, and findings go.
        tables: where it is kept what was learned.
        config: the section ``[detection]``.
        planned: changes that were announced, beside those of the configuration.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        store: DetectionStore,
        tables: DetectorTables,
        config: DetectionConfig,
        planned: Callable[[], Iterable[Planned]] = tuple,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._tables = tables
        self._config = config
        configured_changes(config)  # refuse what cannot be meant before anything runs
        self._planned = planned
        self._clock = clock
        self._state: State | None = None
        self._leaves: LeafTable | None = None
        self._written: dict[tuple[str, str], dict[str, Any]] = {}
        self._published: set[tuple[str, str]] = set()
        self._judged = (0, 0)
        self.end = 0
        """First minute that is not judged yet."""
        self.seconds = 0.0
        """CPU time that the last look took."""
        self.findings = 0

    @property
    def state(self) -> State:
        """What was learned."""
        return self._state or State()

    @property
    def too_late(self) -> int:
        """Minutes that were written after they had been learned."""
        return self._leaves.too_late if self._leaves else 0

    def lag_seconds(self) -> float:
        """Return by how much the judged minutes are behind the latest calls."""
        if self._leaves is None or self._leaves.last < 0 or not self.end:
            return 0.0
        return max(self._leaves.last - self.end, 0) * 60.0

    def step(self) -> bool:
        """Take in what was written, learn a few hours if they are closed, else judge; tell whether there is more."""
        began = time.process_time()
        leaves = self._opened()
        if leaves.refresh(self.state.until):
            return True
        if not self.state.until and leaves.start != self._first():
            leaves.load(self._first())
        end = self._end(leaves)
        if self._learn(leaves, end):
            return True
        if self.state.until and end > self.state.until and self._judged != (leaves.revision, end):
            found = self._detector().detect(Window(leaves.cells, end), self.state)
            self._publish(found)
            self.end, self._judged = end, (leaves.revision, end)
        self.seconds = time.process_time() - began
        return False

    def _opened(self) -> LeafTable:
        if self._leaves is None:
            saved = self._tables.load()
            if saved is not None:
                self._state = self._read(saved)
            for row in self._store.open_anomalies().to_pylist():
                self._written[row["owner"], row["id"]] = row
            self._published = set(self._written)
            leaves = LeafTable(self._store)
            leaves.load(self._first())
            self._leaves = leaves
        return self._leaves

    @staticmethod
    def _read(saved: bytes) -> State | None:
        try:
            return State.load(saved)
        except ValueError as error:
            _log.warning("the detector begins anew: %s", error)
            return None

    def _first(self) -> int:
        """Return the first minute that is needed, as far as it is known."""
        if self.state.until:
            return self.state.until - _REACH
        bounds = self._store.call_bounds()
        return 0 if bounds is None else bounds[0] // MINUTE_NS // 60 * 60

    def _end(self, leaves: LeafTable) -> int:
        """Return the minute up to which calls can be judged.

        It follows the calls. The clock only decides how long silence is waited for: calls of long ago are followed by
        none, however late it is.
        """
        if leaves.last < 0:
            return 0
        now = self._clock() // MINUTE_NS - WATERMARK_MINUTES
        newest = leaves.last + 1
        return newest - WATERMARK_MINUTES if now - newest > _SILENCE_MINUTES else now

    def _learn(self, leaves: LeafTable, end: int) -> bool:
        """Learn hours that nothing is waited for any more; tell whether there were any."""
        known = self.state.until or leaves.start
        closed = (end - LATENESS_MINUTES) // 60 * 60
        if leaves.last < 0 or closed <= known:
            return False
        until = min(closed, known + 60 * _HOURS_AT_ONCE)
        state, found = self._detector().run(Window(leaves.cells, until), self._state)
        self._publish(found)
        self._state = state
        self.end = until
        self._tables.save(state.dump())
        leaves.forget(until - _REACH)
        return True

    def options(self) -> Options:
        """Return how it judges now."""
        return options_of(self._config, self._planned())

    def _detector(self) -> LedgerDetector:
        return LedgerDetector(self.options())

    def _publish(self, found: Sequence[Anomaly]) -> None:
        """Write what is new or has changed; take back what is open no longer because late calls explain it."""
        rows = {(one.owner, one.id): self._row(one) for one in found}
        gone = [key for key in self._published if key not in rows and key in self._written]
        changed = [row for key, row in rows.items() if self._written.get(key) != row]
        for key in gone:
            row = self._written[key]
            if row["ended"] is None:
                changed.append(row | {"ended": row["started"], "status": "withdrawn", "severity": "info"})
        if changed:
            self._store.put_rows(schema.ANOMALIES, anomaly_table(changed), KEY)
        self.findings += sum(key not in self._written for key in rows)
        self._written = rows
        self._published = {key for key, row in rows.items() if row["ended"] is None}

    def _row(self, one: Anomaly) -> dict[str, Any]:
        if one.kind == "traffic_zero" and one.ended_ns is None:
            window = Stretch(one.started_ns + 2 * MINUTE_NS, max(self.end * MINUTE_NS, one.started_ns + 3 * MINUTE_NS))
            heard = self._store.is_heard(one.owner, one.tenant, window)
            word = "other spans of it still arrive" if heard else "no other span of it arrives either"
            one = replace(one, detail={**one.detail, "heard": heard}, summary=f"{one.summary}; {word}")
        return anomaly_row(one)


def options_of(config: DetectionConfig, planned: Iterable[Planned] = ()) -> Options:
    """Return how to judge: as the settings say, with further announced changes."""
    changes = (*configured_changes(config), *planned)
    return Options(false_alarms_per_week=config.false_alarms_per_week, planned=changes)
