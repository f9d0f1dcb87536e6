"""Labels of a world: its incidents and what each one costs, events worth noticing, and what is no incident."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from spanledger_ingest.traffic._calls import MOST_SKEW_US, traffic
from spanledger_ingest.traffic._catalogue import MODELS
from spanledger_ingest.traffic._draws import Whole
from spanledger_ingest.traffic._faults import DOUBLE_SHARE, LATE_MINUTES, LATE_SHARE
from spanledger_ingest.traffic._incidents import Incident
from spanledger_ingest.traffic._ledger import moment, usd
from spanledger_ingest.traffic._rows import NO_FAULT, Traffic
from spanledger_ingest.traffic._served import SERVED
from spanledger_ingest.traffic._world import HOUR_NS, World

_LONG_AFTER = 2**62
_HOURS_AT_ONCE = 6
_COUNTED: Final = ("calls", "errors", "cost", "output", "duration")
"""What an incident can change for a tenant."""


def labels(world: World) -> dict[str, Any]:
    """Return the labels; makes the traffic of every incident twice."""
    touched: set[str] = set()
    incidents = [_incident(world, incident, touched) for incident in world.incidents]
    return {
        "incidents": incidents,
        "events": sorted(_events(world), key=lambda event: (event["at"], event["kind"], str(event["scope"]))),
        "not_incidents": sorted(_ordinary(world), key=lambda each: (each["onset"], each["kind"], str(each["scope"]))),
        "clean_tenants": [tenant.id for tenant in world.tenants if tenant.id not in touched],
    }


def _incident(world: World, incident: Incident, touched: set[str]) -> dict[str, Any]:
    """Return the entry of an incident: what it is, and the calls and dollars with and without it."""
    scoped = incident.scope.tenant_id
    tenants = [place for place, tenant in enumerate(world.tenants) if scoped in {None, tenant.id}]
    first, last = incident.onset_ns // HOUR_NS, -(-incident.end_ns // HOUR_NS)
    difference = np.zeros((len(world.tenants), len(_COUNTED)), dtype=np.int64)
    for hour in range(first, last, _HOURS_AT_ONCE):
        hours = range(hour, min(hour + _HOURS_AT_ONCE, last))
        difference += _counted(world, traffic(world, hours, tenants))
        difference -= _counted(world, traffic(world.without(incident), hours, tenants))
    hit = [tenant.id for tenant, row in zip(world.tenants, difference, strict=True) if row.any()]
    touched.update(hit)
    calls, errors, cost, *_ = difference.sum(axis=0).tolist()
    return {
        **incident.describe(),
        "onset": moment(incident.onset_ns),
        "end": moment(incident.end_ns),
        "expected_impact_usd": usd(cost),
        "changed_calls": calls,
        "changed_errors": errors,
        "tenants": sorted(hit),
    }


def _counted(world: World, made: Traffic | None) -> Whole:
    """Return `_COUNTED` by tenant."""
    counts = np.zeros((len(world.tenants), len(_COUNTED)), dtype=np.int64)
    if made is None:
        return counts
    calls = made.calls
    columns = (
        np.ones_like(calls.cost),
        calls.fault != NO_FAULT,
        calls.cost,
        calls.output,
        calls.end_us - calls.start_us,
    )
    for place, column in enumerate(columns):
        np.add.at(counts[:, place], made.requests.tenant[calls.request], column.astype(np.int64))
    return counts


def _events(world: World) -> Iterator[dict[str, Any]]:
    for change in world.life.served_changes:
        usual = next(model.snapshot for model in MODELS if model.name == change.asked)
        yield {
            "kind": "served_model_changed",
            "scope": {"model": change.asked},
            "at": moment(change.at_ns),
            "from": usual,
            "to": change.served,
            "planned": change.planned,
        }
    for adoption in world.life.adoptions:
        provider = next(model.provider.stored for model in MODELS if model.name == adoption.model)
        tenant = next(tenant for tenant in world.tenants if tenant.id == adoption.tenant_id)
        known = {model.provider.stored for load in tenant.workloads for model in (load.model, load.fallback)}
        yield {
            "kind": "first_seen_model" if provider in known else "first_seen_provider",
            "scope": {"tenant_id": adoption.tenant_id, "use_case": adoption.use_case},
            "at": moment(adoption.at_ns),
            "model": adoption.model,
            "provider": provider,
        }
    yield from _versions(world)


def _versions(world: World) -> Iterator[dict[str, Any]]:
    found = [(deploy.tenant_id, deploy.use_case, deploy.at_ns, deploy.version) for deploy in world.life.deploys]
    found += [
        (incident.scope.tenant_id, incident.scope.use_case, incident.onset_ns, incident.version)
        for incident in world.incidents
        if incident.version is not None and incident.scope.tenant_id and incident.scope.use_case
    ]
    for tenant_id, use_case, at_ns, version in found:
        yield {
            "kind": "first_seen_prompt_version",
            "scope": {"tenant_id": tenant_id, "use_case": use_case},
            "at": moment(at_ns),
            "prompt_version": f"v{version}",
        }


def _ordinary(world: World) -> Iterator[dict[str, Any]]:
    for burst in world.life.bursts:
        scope = {"tenant_id": burst.tenant_id}
        yield _mark("natural_burst", scope, burst.onset_ns, burst.end_ns, factor=burst.factor)
    for deploy in world.life.deploys:
        yield _mark(
            "deploy",
            {"tenant_id": deploy.tenant_id, "use_case": deploy.use_case},
            deploy.at_ns,
            planned=True,
            prompt_version=f"v{deploy.version}",
            input_factor=deploy.input_factor,
            output_factor=deploy.output_factor,
            volume_factor=deploy.volume_factor,
        )
    yield from _price_changes(world)
    for outage in world.life.outages:
        yield _mark("telemetry_gap", {"service_name": outage.service}, outage.onset_ns, outage.end_ns)
    if world.faults:
        yield _mark("late_spans", {}, world.start_ns, world.end_ns, share=LATE_SHARE, minutes=list(LATE_MINUTES))
        yield _mark("doubled_spans", {}, world.start_ns, world.end_ns, share=DOUBLE_SHARE)
        yield _mark("clock_skew", {}, world.start_ns, world.end_ns, seconds=MOST_SKEW_US / 1e6)
    for tenant in world.tenants:
        if tenant.joined_ns:
            yield _mark("late_joiner", {"tenant_id": tenant.id}, tenant.joined_ns)
        if tenant.left_ns < _LONG_AFTER:
            yield _mark("churn", {"tenant_id": tenant.id}, tenant.left_ns)


def _price_changes(world: World) -> Iterator[dict[str, Any]]:
    for change in world.life.served_changes:
        if change.planned:
            prices = {served.name: served for served in SERVED if served.asked == change.asked}
            usual = next(model for model in MODELS if model.name == change.asked)
            ratio = prices[change.served].input_price / usual.input_price
            yield _mark(
                "planned_price_change",
                {"model": change.asked},
                change.at_ns,
                planned=True,
                response_model=change.served,
                input_price_ratio=round(ratio, 4),
            )


def _mark(
    kind: str, scope: dict[str, str], onset_ns: int, end_ns: int | None = None, *, planned: bool = False, **more: Any
) -> dict[str, Any]:
    """Return an entry; without an end, the world stays as it is from then on."""
    end = None if end_ns is None else moment(end_ns)
    return {"kind": kind, "scope": scope, "onset": moment(onset_ns), "end": end, "planned": planned, **more}
