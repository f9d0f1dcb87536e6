"""Copies of budgets and their events in the store, where SQL and dashboards see them."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import pyarrow as pa

from spanledger_alerts.budgets import BudgetLedger, Tables, statuses
from spanledger_alerts.database import Database
from spanledger_analytics import schema
from spanledger_ingest.budgets._rows import event_row, status_row

_EVERY_NS: Final = 5 * 10**9
_AT_LEAST_EVERY_NS: Final = 60 * 10**9
_EVENTS: Final = 1_000
_EVENT_KEY: Final = ("owner", "time", "budget", "tenant_id", "kind", "threshold", "period")


class MirrorStore(Protocol):
    """A store with derived tables."""

    def replace_rows(self, table: schema.Table, rows: pa.Table) -> None:
        """Make these all rows of the table."""
        ...

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows in the place of those of an equal key."""
        ...


class Mirror:
    """Copies what changed, a few seconds after it did; a new period, a window that rolled on, within a minute."""

    def __init__(
        self, state: Database, store: MirrorStore, ledger: BudgetLedger, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._state = state
        self._tables = Tables(state)
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._generation = -1
        self._written = 0
        self.states: list[str] = []
        """Of the budgets at the last look."""

    def step(self) -> bool:
        """Copy; tell whether there are more events."""
        more = self._copy_events()
        now, generation = self._clock(), self._ledger.generation
        age = now - self._written
        if age >= _AT_LEAST_EVERY_NS or age < 0 or (generation != self._generation and age >= _EVERY_NS):
            self._copy_budgets(now)
            self._generation, self._written = generation, now
        return more

    def _copy_budgets(self, now: int) -> None:
        found = statuses(self._state, now)
        if found or self.states or not self._written:
            rows = [status_row(status) for status in found]
            self._store.replace_rows(schema.BUDGETS, pa.Table.from_pylist(rows, schema=schema.BUDGETS.arrow))
        self.states = [status.state for status in found]

    def _copy_events(self) -> bool:
        events = self._tables.events(self._tables.ledger().mirrored, _EVENTS)
        if not events:
            return False
        rows = [event_row(event) for _, event in events]
        table = pa.Table.from_pylist(rows, schema=schema.BUDGET_EVENTS.arrow)
        self._store.put_rows(schema.BUDGET_EVENTS, table, _EVENT_KEY)
        self._tables.set_mirrored(events[-1][0])  # after they are there: what is copied twice stays one
        return len(events) == _EVENTS
