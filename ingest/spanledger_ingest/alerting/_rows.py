"""Alerts as rows of the public table ``alerts``, and silences as they are shown."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol

import pyarrow as pa

from spanledger_alerts.engine import OPEN, AlertEngine, Mute, Tracked
from spanledger_analytics import schema

STATES: Final = (*OPEN, "resolved")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_NS: Final = 2**63 - 1
_MAX_ROWS: Final = 10_000
_LARGEST: Final = Decimal(10) ** 9


def alert_rows(alerts: Sequence[Tracked]) -> pa.Table:
    """Return all columns of the table."""
    return pa.Table.from_pylist([_row(alert) for alert in alerts], schema=schema.ALERTS.arrow)


def _row(alert: Tracked) -> dict[str, Any]:
    told = alert.told()
    return {
        "owner": told.owner,
        "id": told.id,
        "tenant_id": told.tenant,
        "rule": told.rule,
        "severity": told.severity,
        "state": alert.state,
        "started": moment(told.started_ns),
        "resolved": moment(told.resolved_ns),
        "labels": json.dumps(dict(told.labels), sort_keys=True),
        "summary": told.summary,
        "value": told.value,
        "threshold": told.threshold,
        "impact_usd": _money(told.impact_usd),
    }


def moment(nanoseconds: int | None) -> datetime | None:
    """Return a time for people and tables."""
    if nanoseconds is None:
        return None
    return _EPOCH + timedelta(microseconds=min(nanoseconds, _LATEST_NS) // 1000)


def mute_json(mute: Mute, now_ns: int) -> dict[str, Any]:
    """Return a silence or a planned change as it is shown."""
    state = "pending" if now_ns < mute.starts else "active" if now_ns < mute.ends else "expired"
    return {
        "id": mute.id,
        "tenant": mute.owner,
        "matchers": [str(matcher) for matcher in mute.matchers],
        "starts": moment(mute.starts),
        "ends": moment(mute.ends),
        "author": mute.author,
        "comment": mute.comment,
        "state": state,
    }


def _money(amount: Decimal | None) -> Decimal | None:
    if amount is None or abs(amount) >= _LARGEST:
        return None
    return amount.quantize(Decimal("1e-9"))


class MirrorStore(Protocol):
    """A store with derived tables."""

    def replace_rows(self, table: schema.Table, rows: pa.Table) -> None:
        """Make these all rows of the table."""
        ...


class Mirror:
    """Copies alerts to the store, where SQL and dashboards see them, after they have changed.

    Args:
        engine: whose alerts.
        store: where to.
        monotonic: seconds.
    """

    _VALUES_SECONDS: Final = 60.0
    """How old the values of alerts may be that are open and do not change otherwise."""

    def __init__(self, engine: AlertEngine, store: MirrorStore, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        self._store = store
        self._monotonic = monotonic
        self._version = -1
        self._written = 0.0

    def step(self) -> bool:
        """Copy what changed; there is never more to do at once."""
        version, now = self._engine.version, self._monotonic()
        old = now - self._written >= self._VALUES_SECONDS and bool(self._engine.counts())
        if version != self._version or old:
            self._store.replace_rows(
                schema.ALERTS, alert_rows(self._engine.page(owner=None, states=STATES, limit=_MAX_ROWS))
            )
            self._version, self._written = version, now
        return False
