"""How much a tenant may send: token buckets for each signal, and quotas for each day.

A request is let in while its tenant's buckets are not empty, and what it turns out to cost is taken from them
afterwards, even below zero: nothing that was received is thrown away, the debt is waited off by those that come next.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from spanledger_ingest import tenancy
from spanledger_ingest.auth._errors import StateError
from spanledger_ingest.auth._state import StateDb
from spanledger_ingest.otlp import Signal
from spanledger_ingest.pipeline import Outcome
from spanledger_ingest.settings import MIB, LimitsConfig, SettingsError, convert_number, refuse_unknown

_log = logging.getLogger(__name__)

SOFT_RATIO: Final = 0.8
"""Of a quota; from here on the tenant is told of in the log and the metrics."""

_DAY_SECONDS: Final = 86_400
_MAX_WAIT_SECONDS: Final = 2
"""Clients give up ten seconds after their first try: a longer wait would be a loss."""
_KEPT_DAYS: Final = 40
_GATEWAYS: Final = tenancy.ANY
"""The name under which the limits of gateways are configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one tenant may send; 0 is no limit."""

    requests: float
    """Per second and signal, as are the next two."""
    items: float
    bytes: float
    burst_seconds: float
    """So much of a rate may come at once."""
    items_per_day: float
    """All signals together, days in UTC, as are the bytes."""
    bytes_per_day: float


class RatesOf:
    """The limits of each tenant.

    Raises:
        SettingsError: a table of a tenant cannot be meant.
    """

    def __init__(self, config: LimitsConfig) -> None:
        usual = {item.name: getattr(config, item.name) for item in fields(config) if item.name != "tenant"}
        self._usual = _rates(usual)
        self._own: dict[str, Rates] = {_GATEWAYS: _rates({**dict.fromkeys(usual, 0), "burst_seconds": 1})}
        for table in config.tenant:
            refuse_unknown("limits.tenant", table, ("name", *usual))
            name = table.get("name")
            if name != _GATEWAYS and not tenancy.is_tenant(name):
                raise SettingsError("limits.tenant: name is needed, a tenant or '*' for gateways")
            own = {key: convert_number(f"limits.tenant.{key}", value) for key, value in table.items() if key != "name"}
            self._own[str(name)] = _rates(usual | own)

    def __call__(self, owner: str) -> Rates:
        """Return the limits of whose data a request brings."""
        return self._own.get(_GATEWAYS if tenancy.is_gateway(owner) else owner, self._usual)


def _rates(values: Mapping[str, Any]) -> Rates:
    return Rates(
        requests=values["requests_per_second"],
        items=values["items_per_second"],
        bytes=values["mib_per_second"] * MIB,
        burst_seconds=values["burst_seconds"],
        items_per_day=values["items_per_day"],
        bytes_per_day=values["mib_per_day"] * MIB,
    )


class Bucket:
    """Fills at a rate, up to what a burst may take. Times are monotonic seconds."""

    __slots__ = ("_at", "_level", "_most", "_rate")

    def __init__(self, rate: float, burst_seconds: float, now: float) -> None:
        self._rate = rate
        self._most = self._level = rate * burst_seconds
        self._at = now

    def wait(self, now: float) -> float:
        """Return for how many seconds the bucket will still be empty; 0 for now is fine."""
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._level > 0 or not self._rate else max(-self._level / self._rate, 0.001)

    def take(self, amount: float) -> None:
        """Take out, be it more than there is."""
        self._level -= amount


class _Buckets(NamedTuple):
    requests: Bucket
    items: Bucket
    bytes: Bucket

    @classmethod
    def full(cls, rates: Rates, now: float) -> "_Buckets":
        burst = rates.burst_seconds
        return cls(*(Bucket(rate, burst, now) for rate in (rates.requests, rates.items, rates.bytes)))


@dataclass(slots=True)
class _Use:
    """What a tenant sent on the current day, and of that, what is not yet written down."""

    items: int = 0
    bytes: int = 0
    unsaved_items: int = 0
    unsaved_bytes: int = 0
    warned: bool = False

    def add(self, items: int, size: int) -> None:
        self.items += items
        self.bytes += size
        self.unsaved_items += items
        self.unsaved_bytes += size

    @property
    def unsaved(self) -> tuple[int, int]:
        return self.unsaved_items, self.unsaved_bytes

    def saved(self, items: int, size: int) -> None:
        self.unsaved_items -= items
        self.unsaved_bytes -= size


class Limiter:
    """Decides whether a tenant may send now. Requests are let in and charged on one thread, the event loop's.

    Args:
        rates: the limits of each tenant.
        state: where the use of the day survives a restart.
        monotonic: seconds; what rates are measured with, because it never jumps.
        wall: seconds since the epoch; what days are told by.
    """

    def __init__(
        self,
        rates: Callable[[str], Rates],
        state: StateDb,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._rates = rates
        self._state = state
        self._monotonic = monotonic
        self._wall = wall
        self._buckets: dict[tuple[str, Signal], _Buckets] = {}
        self._lock = threading.Lock()
        self._day = int(wall()) // _DAY_SECONDS
        self._use = self._load()

    def refusal(self, owner: str, signal: Signal) -> Outcome | None:
        """Let a request in, and count it, or say why not."""
        if not owner:
            return None  # no credential was asked for, so there is nobody to limit
        self._turn_day()
        if (quota := self._spent(owner)) is not None:
            return Outcome("rate_limited", f"the tenant's quota of {quota} per day is used up", retry_after=2)
        now = self._monotonic()
        buckets = self._buckets.get((owner, signal))
        if buckets is None:
            buckets = self._buckets[owner, signal] = _Buckets.full(self._rates(owner), now)
        for what, bucket in zip(_Buckets._fields, buckets, strict=True):
            if wait := bucket.wait(now):
                seconds = 1 if wait <= 1 else _MAX_WAIT_SECONDS
                return Outcome("rate_limited", f"the tenant sends too many {what} per second", retry_after=seconds)
        buckets.requests.take(1)
        return None

    def charge(self, owner: str, signal: Signal, *, items: int = 0, size: int = 0) -> None:
        """Take from a tenant's limits what a request that was let in turned out to be. ``size`` is bytes received."""
        buckets = self._buckets.get((owner, signal))
        if buckets is None:
            return
        buckets.items.take(items)
        buckets.bytes.take(size)
        with self._lock:
            self._use.setdefault(owner, _Use()).add(items, size)

    def _spent(self, owner: str) -> str | None:
        """Return which quota is used up, if one is."""
        for what, ratio in self._ratios(owner):
            if ratio >= 1:
                return what
            if ratio >= SOFT_RATIO and not self._use[owner].warned:
                self._use[owner].warned = True
                _log.warning("tenant %s has used %d %% of its %s for the day", _shown(owner), ratio * 100, what)
        return None

    def _ratios(self, owner: str) -> Iterator[tuple[str, float]]:
        rates, use = self._rates(owner), self._use.get(owner)
        if use is not None and rates.items_per_day:
            yield "items", use.items / rates.items_per_day
        if use is not None and rates.bytes_per_day:
            yield "bytes", use.bytes / rates.bytes_per_day

    def near(self) -> list[tuple[str, str, float]]:
        """Return tenant, quota and used part for those that have used most of one."""
        found = [(_shown(owner), what, ratio) for owner in list(self._use) for what, ratio in self._ratios(owner)]
        return sorted(entry for entry in found if entry[2] >= SOFT_RATIO)

    def _turn_day(self) -> None:
        today = int(self._wall()) // _DAY_SECONDS
        if today > self._day:  # a clock that is put back grants nothing
            with suppress(StateError):  # the day is over: what it was is of no more use to anybody but the curious
                self.save()
            self._day = today
            self._use = {}
            self._buckets = {}  # so that tenants that are gone do not stay for ever

    def _load(self) -> dict[str, _Use]:
        rows = self._state.execute("SELECT tenant, items, bytes FROM quota_use WHERE day = ?", (self._day,))
        return {tenant: _Use(items, size) for tenant, items, size in rows}

    def save(self) -> None:
        """Write down what was sent since the last time.

        Raises:
            StateError: the disk refuses; it is tried again the next time.
        """
        with self._lock:
            fresh = [(owner, self._day, *use.unsaved) for owner, use in self._use.items() if any(use.unsaved)]
        if not fresh:
            return
        with self._state.transaction():
            for row in fresh:
                self._state.execute(
                    "INSERT INTO quota_use VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                    " SET items = items + excluded.items, bytes = bytes + excluded.bytes",
                    row,
                )
            self._state.execute("DELETE FROM quota_use WHERE day < ?", (self._day - _KEPT_DAYS,))
        with self._lock:
            for owner, _, items, size in fresh:
                self._use[owner].saved(items, size)


def _shown(owner: str) -> str:
    return _GATEWAYS if tenancy.is_gateway(owner) else owner
