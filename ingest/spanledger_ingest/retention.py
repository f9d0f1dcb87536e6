"""How long each signal of each tenant is kept, and the job that deletes what is older."""

import difflib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from spanledger_ingest.jobs import Job
from spanledger_ingest.settings import RetentionConfig, SettingsError
from spanledger_ingest.store import Expiry

_log = logging.getLogger(__name__)

STEP_ROWS: Final = 20_000
"""Rows deleted in one transaction, a few tens of milliseconds."""

_DAY_NS: Final = 86_400 * 10**9
_TABLES: Final = {
    "content_days": "span_content",
    "spans_days": "spans",
    "calls_days": "llm_calls",
    "logs_days": "logs",
    "metrics_days": "metrics",
    "scores_days": "scores",
    "labels_days": "labels",
    "rejected_days": "rejections",
}
"""Setting -> table, text first: it is the one whose time matters most."""


FEED_KEPT_NS: Final = 7 * _DAY_NS
_FEED_SECONDS: Final = 6 * 3600.0

_MIN_UNUSED_BYTES: Final = 64 * 1024 * 1024
"""Less is not worth a rewrite: new rows fill it soon."""


class ExpiringStore(Protocol):
    """A store that can forget."""

    def expire(self, expiry: Expiry, limit: int) -> int:
        """Delete at most ``limit`` rows that are too old; return how many it were."""
        ...


class Policy:
    """Days by signal and tenant, 0 for ever.

    Args:
        config: the ``[retention]`` section.

    Raises:
        SettingsError: a tenant's table has a key or value that cannot be meant, or calls would go before their spans.
    """

    def __init__(self, config: RetentionConfig) -> None:
        self._default = {key: int(getattr(config, key)) for key in _TABLES}
        self._tenants = dict(_tenant(number, table, self._default) for number, table in enumerate(config.tenant, 1))
        _check_order("retention", self._default)

    def days(self, signal: str, tenant: str | None = None) -> int:
        """Return for how many days rows are kept; ``signal`` is a key of the settings, such as ``calls_days``."""
        return self._tenants.get(tenant or "", self._default)[signal]

    def expiries(self, now_ns: int) -> Iterator[Expiry]:
        """Yield what is too old at this time."""
        for signal, table in _TABLES.items():
            for tenant, days in self._tenants.items():
                if days[signal]:
                    yield Expiry(table=table, before_ns=now_ns - days[signal] * _DAY_NS, tenant=tenant)
            if self._default[signal]:
                before = now_ns - self._default[signal] * _DAY_NS
                yield Expiry(table=table, before_ns=before, exempt=tuple(self._tenants))


def _tenant(number: int, table: Mapping[str, Any], default: Mapping[str, int]) -> tuple[str, dict[str, int]]:
    where = f"retention.tenant {number}"
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise SettingsError(f"{where}: name is {name!r}; give the tenant's")
    days = {**default, **{key: _days(where, key, value) for key, value in table.items() if key != "name"}}
    _check_order(where, days)
    return name, days


def _days(where: str, key: str, value: Any) -> int:
    if key not in _TABLES:
        near: Sequence[str] = difflib.get_close_matches(key, _TABLES, n=1) or tuple(_TABLES)
        raise SettingsError(f"{where}: no such setting {key!r}; known is {', '.join(near)}")
    if type(value) is not int or value < 0:
        raise SettingsError(f"{where}: {key} is {value!r}, which is not a whole number of days, 0 for ever")
    return value


def _check_order(where: str, days: Mapping[str, int]) -> None:
    calls, spans = days["calls_days"], days["spans_days"]
    if calls and (not spans or calls < spans):
        raise SettingsError(
            f"{where}: calls_days is {calls} and spans_days {spans or 'for ever'}: calls explain the costs of their "
            "spans, so they are kept at least as long"
        )


class Retention:
    """The job: each step deletes at most ``STEP_ROWS`` rows of one signal.

    Args:
        store: what forgets.
        policy: what is too old.
        wall: nanoseconds since the epoch. Read once per pass, so that a pass comes to an end.
    """

    def __init__(self, store: ExpiringStore, policy: Policy, wall: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._policy = policy
        self._wall = wall
        self._pass: Iterator[Expiry] | None = None
        self._current: Expiry | None = None
        self._lock = threading.Lock()
        self._deleted: Counter[str] = Counter(dict.fromkeys(_TABLES.values(), 0))

    def step(self) -> bool:
        """Delete some rows; tell whether this pass has more to do."""
        if self._pass is None:
            self._pass = self._policy.expiries(self._wall())
        if self._current is None:
            self._current = next(self._pass, None)
        if self._current is None:
            self._pass = None
            return False
        deleted = self._store.expire(self._current, STEP_ROWS)
        with self._lock:
            self._deleted[self._current.table] += deleted
        if deleted < STEP_ROWS:
            self._current = None
        return True

    @property
    def deleted(self) -> Mapping[str, int]:
        """Rows deleted since the start, by table."""
        with self._lock:
            return dict(self._deleted)


class CompactingStore(Protocol):
    """A store that can be rewritten."""

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the database, and how many of them are unused."""
        ...

    def compact(self) -> int:
        """Rewrite it; return how many bytes shorter it is."""
        ...


class ForgettingStore(Protocol):
    """A store that tells changes, and need not tell old ones for ever."""

    def forget_changes(self, before_ns: int) -> None:
        """Drop what was written before this time from the feed."""
        ...


class _Store(ExpiringStore, CompactingStore, ForgettingStore, Protocol):
    """A store that all jobs can work on."""


class FeedPruning:
    """The job: keep a week of the change feed; who reads it is never that far behind while the service runs."""

    def __init__(self, store: ForgettingStore, wall: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._wall = wall

    def step(self) -> bool:
        """Drop what is older."""
        self._store.forget_changes(self._wall() - FEED_KEPT_NS)
        return False


class Compaction:
    """The job: rewrite the database when more than ``percent`` of a file of some size is unused."""

    def __init__(self, store: CompactingStore, percent: float) -> None:
        self._store = store
        self._percent = percent

    def step(self) -> bool:
        """Rewrite the file if it is worth it; there is never more to do at once."""
        total, unused = self._store.sizes()
        if unused >= _MIN_UNUSED_BYTES and 100 * unused > self._percent * total:
            _log.info("the database is rewritten: %d of its %d bytes are unused", unused, total)
            _log.info("%d bytes were given back", self._store.compact())
        return False


def retention_jobs(store: _Store, config: RetentionConfig) -> tuple[list[Job], Retention]:
    """Return the jobs that the settings ask for, and the one of them that counts what it deletes.

    Raises:
        SettingsError: see :class:`Policy`.
    """
    retention = Retention(store, Policy(config))
    interval = 60.0 * config.interval_minutes
    jobs = [Job("change_feed", _FEED_SECONDS, FeedPruning(store).step)]
    if interval:
        jobs.append(Job("retention", interval, retention.step))
    if interval and config.compact_percent:
        jobs.append(Job("compaction", interval, Compaction(store, config.compact_percent).step))
    return jobs, retention
