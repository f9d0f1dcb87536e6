"""Rules, engine and mirror of one service, and the jobs that keep them going."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, Protocol

import pyarrow as pa

from spanledger_alerts.database import Database
from spanledger_alerts.engine import AlertEngine
from spanledger_alerts.records import Notification
from spanledger_alerts.rules import Reading
from spanledger_analytics.rule_metrics import AnomalyQuery, MetricQuery, SilenceQuery
from spanledger_ingest.alerting._build import Configured
from spanledger_ingest.alerting._rows import Mirror, MirrorStore
from spanledger_ingest.alerting._runner import RuleRunner
from spanledger_ingest.jobs import Job

_TICK_SECONDS: Final = 1.0
_MIRROR_SECONDS: Final = 2.0
_EXPIRE_SECONDS: Final = 3600.0


def _nowhere(_notification: Notification) -> None:
    """Nobody is told while no receiver is configured; there are no notifications then."""


class RuleQueries(Protocol):
    """A store that answers rules."""

    def rule_metric(self, query: MetricQuery) -> pa.Table:
        """See :class:`RuleData`."""
        ...

    def rule_silence(self, query: SilenceQuery) -> pa.Table:
        """See :class:`RuleData`."""
        ...

    def rule_anomalies(self, query: AnomalyQuery) -> pa.Table:
        """See :class:`RuleData`."""
        ...


class RuleStore(RuleQueries, MirrorStore, Protocol):
    """A store that answers rules and shows alerts."""


class StoredData:
    """What rules ask (:class:`RuleData`), from a store and from whoever has readings.

    Args:
        store: answers the queries.
    """

    def __init__(self, store: RuleQueries) -> None:
        self._store = store
        self.sources: list[Callable[[], Iterable[Reading]]] = []

    def rule_metric(self, query: MetricQuery) -> pa.Table:
        """See :class:`RuleData`."""
        return self._store.rule_metric(query)

    def rule_silence(self, query: SilenceQuery) -> pa.Table:
        """See :class:`RuleData`."""
        return self._store.rule_silence(query)

    def rule_anomalies(self, query: AnomalyQuery) -> pa.Table:
        """See :class:`RuleData`."""
        return self._store.rule_anomalies(query)

    def readings(self) -> Iterator[Reading]:
        """Return what every source reads."""
        return chain.from_iterable(source() for source in self.sources)


class Alerting:
    """All about alerts in one service, up to the notification.

    Args:
        found: rules, routes and the rest.
        store: what rules ask, and where SQL sees alerts.
        state: keeps alerts and silences.
        enqueue: takes what is to be delivered, in the transaction of the change.
    """

    def __init__(
        self, found: Configured, store: RuleStore, state: Database, enqueue: Callable[[Notification], None] = _nowhere
    ) -> None:
        self.found = found
        self.engine = AlertEngine(state, found.policy, enqueue)
        self.enqueue = enqueue
        self.data = StoredData(store)
        self.runner = RuleRunner(self.engine, found.rules, self.data)
        self.mirror = Mirror(self.engine, store, time.monotonic)
        self.watch(self.runner.readings)

    def watch(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Let rules see further readings of the service."""
        self.data.sources.append(source)


def alert_jobs(alerting: Alerting) -> list[Job]:
    """Return what has to be done all the time: evaluate, tell, show, forget."""
    if not alerting.found.enabled:
        return []
    return [
        Job("alert-rules", _TICK_SECONDS, alerting.runner.step),
        Job("alert-groups", _TICK_SECONDS, _Tick(alerting).step),
        Job("alert-mirror", _MIRROR_SECONDS, alerting.mirror.step),
        Job("alert-expiry", _EXPIRE_SECONDS, _Expiry(alerting).step),
    ]


class _Tick:
    """Tells what is due; before the first time, ends what rules of another configuration left."""

    def __init__(self, alerting: Alerting) -> None:
        self._alerting = alerting
        self._first = True

    def step(self) -> bool:
        engine, now = self._alerting.engine, time.time_ns()
        if self._first:
            engine.retire(self._alerting.found.policy.rules, now)
            self._first = False
        engine.tick(now)
        return False


class _Expiry:
    def __init__(self, alerting: Alerting) -> None:
        self._alerting = alerting

    def step(self) -> bool:
        self._alerting.engine.expire(time.time_ns())
        return False
