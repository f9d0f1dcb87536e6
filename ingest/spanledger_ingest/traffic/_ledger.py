"""The truth about generated traffic: exact totals, against which whatever was ingested can be checked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spanledger_ingest.traffic._plan import Attempt, Request
from spanledger_ingest.traffic._world import Tenant, World

VERSION = 1
"""Version of the generator: raised whenever the bytes of a seed change."""

_NANO = Decimal("1e-9")


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

    def add(self, attempt: Attempt) -> None:
        """Count one call."""
        self.calls += 1
        if attempt.fault is not None:
            self.errors += 1
            return
        usage = attempt.usage
        self.input_tokens += usage.input
        self.output_tokens += usage.output
        self.cache_read_tokens += usage.cache_read
        self.cache_write_tokens += usage.cache_write
        self.reasoning_tokens += usage.reasoning
        self.cost_nano_usd += attempt.model.cost(usage)

    def merge(self, other: "Totals") -> None:
        """Add the sums of another."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """Return the sums, the cost as a decimal string in USD."""
        sums = {name: getattr(self, name) for name in self.__slots__[:-1]}
        return {**sums, "cost_usd": usd(self.cost_nano_usd)}


@dataclass(slots=True)
class _Impact:
    calls: int = 0
    nano_usd: int = 0


@dataclass(slots=True)
class Ledger:
    """Totals per tenant and per model, and what each incident cost. Ledgers of parts add up."""

    tenants: dict[str, Totals] = field(default_factory=dict)
    models: dict[str, Totals] = field(default_factory=dict)
    impacts: dict[str, _Impact] = field(default_factory=dict)
    requests: int = 0
    spans: int = 0

    def record(self, world: World, request: Request) -> None:
        """Count one request and its calls."""
        self.requests += 1
        self.spans += 1 + len(request.steps)
        for step in request.steps:
            if isinstance(step, Attempt):
                self._record(world, request, step)

    def merge(self, other: "Ledger") -> None:
        """Add the sums of another."""
        self.requests += other.requests
        self.spans += other.spans
        for mine, theirs in ((self.tenants, other.tenants), (self.models, other.models)):
            for key, totals in theirs.items():
                mine.setdefault(key, Totals()).merge(totals)
        for key, impact in other.impacts.items():
            own = self.impacts.setdefault(key, _Impact())
            own.calls += impact.calls
            own.nano_usd += impact.nano_usd

    @property
    def total(self) -> Totals:
        """Sums over all tenants."""
        whole = Totals()
        for totals in self.tenants.values():
            whole.merge(totals)
        return whole

    def _record(self, world: World, request: Request, attempt: Attempt) -> None:
        self.tenants.setdefault(request.tenant.id, Totals()).add(attempt)
        self.models.setdefault(attempt.model.name, Totals()).add(attempt)
        if attempt.usage == attempt.without_incident:
            return
        for incident in world.incidents:
            if incident.concerns(request.tenant.id, request.use_case.name):
                impact = self.impacts.setdefault(incident.id, _Impact())
                impact.calls += 1
                impact.nano_usd += attempt.model.cost(attempt.usage) - attempt.model.cost(attempt.without_incident)


def truth(world: World, ledger: Ledger) -> dict[str, Any]:
    """Return the truth file: the period, exact totals, and the labelled incidents with the money each one cost."""
    return {
        "generator_version": VERSION,
        "seed": world.seed,
        "start": moment(world.start_ns),
        "end": moment(world.end_ns),
        "days": world.days,
        "requests": ledger.requests,
        "spans": ledger.spans,
        "totals": ledger.total.as_json(),
        "tenants": [_tenant(tenant, ledger) for tenant in world.tenants],
        "models": [{"model": model, **totals.as_json()} for model, totals in sorted(ledger.models.items())],
        "incidents": list(_incidents(world, ledger)),
    }


def _tenant(tenant: Tenant, ledger: Ledger) -> dict[str, Any]:
    return {
        "tenant_id": tenant.id,
        "archetype": tenant.archetype.name,
        "utc_offset_minutes": tenant.utc_offset_minutes,
        "region": tenant.region,
        **ledger.tenants.get(tenant.id, Totals()).as_json(),
    }


def _incidents(world: World, ledger: Ledger) -> Iterable[dict[str, Any]]:
    for incident in world.incidents:
        impact = ledger.impacts.get(incident.id, _Impact())
        yield {
            "id": incident.id,
            **incident.describe(),
            "onset": moment(incident.onset_ns),
            "end": moment(incident.end_ns),
            "affected_calls": impact.calls,
            "expected_impact_usd": usd(impact.nano_usd),
        }
