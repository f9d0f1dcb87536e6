"""The truth about generated traffic: exact totals, against which whatever was ingested can be checked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np

from spanledger_ingest.traffic._lexicon import MODEL_NAMES
from spanledger_ingest.traffic._rows import NO_FAULT, NO_TOOL, Traffic
from spanledger_ingest.traffic._world import Tenant, World

VERSION = 2
"""Version of the generator: raised whenever the bytes of a seed change."""

_NANO = Decimal("1e-9")
_SUMMED: Final = ("input", "output", "cache_read", "cache_write", "reasoning", "cost")


def usd(nano_usd: int) -> str:
    """Write integer nano-USD as a decimal number of USD with nine places."""
    return str(Decimal(nano_usd).scaleb(-9).quantize(_NANO))


def moment(ns: int) -> str:
    """Write a time (ns since the epoch) as RFC 3339 with nine decimal places."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


@dataclass(slots=True)
class Totals:
    """Sums over calls, named as in `/usage`. Every attempt is a call; a fault has no tokens and no cost."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0

    def merge(self, other: "Totals") -> None:
        """Add the sums of another."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """Return the sums, the cost as a decimal string in USD."""
        sums = {name: getattr(self, name) for name in self.__slots__[:-1]}
        return {**sums, "cost_usd": usd(self.cost_nano_usd)}


@dataclass(slots=True)
class Ledger:
    """Totals per tenant and per model. Ledgers of parts add up."""

    tenants: dict[str, Totals] = field(default_factory=dict)
    models: dict[str, Totals] = field(default_factory=dict)
    requests: int = 0
    spans: int = 0

    def record(self, world: World, traffic: Traffic) -> None:
        """Count some traffic."""
        calls = traffic.calls
        self.requests += len(traffic.requests.tenant)
        self.spans += len(traffic.requests.tenant) + len(traffic) + int((calls.tool != NO_TOOL).sum())
        names = [tenant.id for tenant in world.tenants]
        _add(self.tenants, names, traffic.requests.tenant[calls.request], traffic)
        _add(self.models, MODEL_NAMES, calls.model, traffic)

    def merge(self, other: "Ledger") -> None:
        """Add the sums of another."""
        self.requests += other.requests
        self.spans += other.spans
        for mine, theirs in ((self.tenants, other.tenants), (self.models, other.models)):
            for key, totals in theirs.items():
                mine.setdefault(key, Totals()).merge(totals)

    @property
    def total(self) -> Totals:
        """Sums over all tenants."""
        whole = Totals()
        for totals in self.tenants.values():
            whole.merge(totals)
        return whole


def _add(
    sums: dict[str, Totals], names: "list[str] | tuple[str, ...]", key: "np.ndarray[Any, Any]", traffic: Traffic
) -> None:
    """Add the calls up by a column of places in ``names``."""
    calls = traffic.calls
    columns = [np.ones(len(key), dtype=np.int64), (calls.fault != NO_FAULT).astype(np.int64)]
    columns += [getattr(calls, name) for name in _SUMMED]
    table = np.zeros((len(columns), len(names)), dtype=np.int64)
    for row, column in zip(table, columns, strict=True):
        np.add.at(row, key, column)
    for place in np.flatnonzero(table[0]).tolist():
        sums.setdefault(names[place], Totals()).merge(Totals(*table[:, place].tolist()))


def truth(world: World, ledger: Ledger) -> dict[str, Any]:
    """Return the truth file: the period, exact totals, and the labels of `World.truth`."""
    return {
        "generator_version": VERSION,
        "seed": world.seed,
        "mode": world.mode,
        "start": moment(world.start_ns),
        "end": moment(world.end_ns),
        "days": world.days,
        "requests": ledger.requests,
        "spans": ledger.spans,
        "totals": ledger.total.as_json(),
        "tenants": [_tenant(tenant, ledger) for tenant in world.tenants],
        "models": [{"model": model, **totals.as_json()} for model, totals in sorted(ledger.models.items())],
        **world.truth,
    }


def _tenant(tenant: Tenant, ledger: Ledger) -> dict[str, Any]:
    return {
        "tenant_id": tenant.id,
        "archetype": tenant.archetype.name,
        "utc_offset_minutes": tenant.utc_offset_minutes,
        "region": tenant.region,
        **ledger.tenants.get(tenant.id, Totals()).as_json(),
    }
