"""The public table ``deliveries``: every attempt, one row for each alert that it told of."""

import json
from collections.abc import Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from spanledger_alerts.delivery import AttemptRow, Outbox
from spanledger_analytics import schema

MARK: Final = "deliveries"
_STEP: Final = 1000
_KEY: Final = ("id", "alert_id", "attempt")


class RowStore(Protocol):
    """A store of derived tables."""

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows, replacing those of an equal key, in one transaction."""
        ...


class Mirror:
    """The job: copies attempts from the outbox; one that is copied twice is one row."""

    def __init__(self, outbox: Outbox, store: RowStore) -> None:
        self._outbox = outbox
        self._store = store

    def step(self) -> bool:
        """Copy some; tell whether there are more."""
        attempts = self._outbox.new_attempts(MARK, _STEP)
        if attempts:
            rows = [row for attempt in attempts for row in _rows(attempt)]
            self._store.put_rows(schema.DELIVERIES, pa.Table.from_pylist(rows, schema.DELIVERIES.arrow), _KEY)
            self._outbox.set_mark(MARK, attempts[-1].seq)
        return len(attempts) == _STEP


def _rows(attempt: AttemptRow) -> list[dict[str, Any]]:
    return [
        {
            "owner": owner,
            "id": attempt.id,
            "alert_id": alert,
            "tenant_id": tenant,
            "endpoint": attempt.receiver,
            "time": attempt.time_ns // 1000,
            "attempt": attempt.attempt,
            "ok": bool(attempt.ok),
            "http_status": attempt.http_status,
            "detail": attempt.detail or None,
        }
        for alert, owner, tenant in json.loads(attempt.alerts)
    ]
