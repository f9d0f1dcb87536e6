"""The incidents of the demo: few, large, and in the hours in which there is traffic to see them in."""

from collections.abc import Iterator
from typing import Final

from spanledger_ingest.traffic._catalogue import MODELS
from spanledger_ingest.traffic._incidents import FACTORS, Incident, Kind, Scope
from spanledger_ingest.traffic._schedule import Window, incident, model_volume, suits, volumes
from spanledger_ingest.traffic._served import others
from spanledger_ingest.traffic._world import HOUR_NS, Tenant, World

_GROWTH_HOURS = 6
_GROWTH = 4
_LEAST_DAYS: Final = 6
"""Shorter worlds have the growing prompt alone."""


def demo_incidents(world: World) -> tuple[Incident, ...]:
    """Return a growing prompt in the last hours and, on the days before, three others; in order of time."""
    return (*_earlier(world), _growing_prompt(world))


def _growing_prompt(world: World) -> Incident:
    """Let the prompt of a tenant grow in the last hours: one that is busy then, but not the largest of all."""
    last = world.end_ns // HOUR_NS
    hours = range(last - _GROWTH_HOURS, last)

    def busy(tenant: Tenant) -> tuple[float, str]:
        return sum(map(tenant.rate, hours)), tenant.id

    victim = max(world.tenants[1:] or world.tenants, key=busy)
    load = victim.workloads[0]
    version = max(
        [load.version]
        + [d.version for d in world.life.deploys if (d.tenant_id, d.use_case) == (victim.id, load.use_case.name)]
    )
    return Incident(
        id="prompt-growth-1",
        kind="cost_spike",
        magnitude="large",
        factor=_GROWTH,
        scope=Scope(tenant_id=victim.id, use_case=load.use_case.name),
        onset_ns=world.end_ns - _GROWTH_HOURS * HOUR_NS,
        end_ns=world.end_ns,
        cause="prompt_growth",
        root_cause={"prompt_version": f"v{version + 1}"},
        version=version + 1,
    )


def _earlier(world: World) -> Iterator[Incident]:
    if world.days < _LEAST_DAYS:
        return
    yield from _price(world, _busiest(world, days_ago=4, hours=8))
    yield from _length(world, _busiest(world, days_ago=3, hours=4))
    yield from _errors(world, _busiest(world, days_ago=2, hours=2))


def _busiest(world: World, days_ago: int, hours: int) -> Window:
    """Return the hours of a day with the most traffic; the day ends so long before the period does."""
    end = (world.end_ns // HOUR_NS - 24 * (days_ago - 1) - _GROWTH_HOURS) * HOUR_NS
    windows = [Window(end - (back + hours) * HOUR_NS, end - back * HOUR_NS) for back in range(25 - hours)]
    return max(windows, key=lambda window: (sum(volume for _, volume in volumes(world, window)), window.onset_ns))


def _price(world: World, window: Window) -> Iterator[Incident]:
    changing = {change.asked for change in world.life.served_changes}
    found = [s for model in MODELS if model.name not in changing for s in others(model.name, "large")]
    if found:
        served = max(found, key=lambda each: (model_volume(world, each.asked, window), each.name))
        yield incident("unit_price", "large", _large("unit_price"), Scope(model=served.asked), window, served=served)


def _length(world: World, window: Window) -> Iterator[Incident]:
    sums: dict[str, float] = {}
    for tenant, requests in volumes(world, window):
        for load in tenant.workloads:
            if load.use_case.name in suits("length_surge"):
                sums[load.use_case.name] = sums.get(load.use_case.name, 0.0) + requests * load.weight
    if sums:
        busiest = max(sorted(sums), key=lambda case: sums[case])
        yield incident("length_surge", "large", _large("length_surge"), Scope(use_case=busiest), window)


def _errors(world: World, window: Window) -> Iterator[Incident]:
    sums: dict[str, float] = {}
    for model in MODELS:
        provider = model.provider.stored
        sums[provider] = sums.get(provider, 0.0) + model_volume(world, model.name, window)
    busiest = max(sorted(sums), key=lambda provider: sums[provider])
    yield incident("error_burst", "large", _large("error_burst"), Scope(provider=busiest), window)


def _large(kind: Kind) -> float:
    return FACTORS[kind][-1]
