"""The incidents of the demo: few, large, and in the hours in which there is traffic to see them in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from spanledger_ingest.traffic._catalogue import Model
from spanledger_ingest.traffic._draws import Reals
from spanledger_ingest.traffic._incidents import FACTORS, HOURS, Incident, Kind, Scope
from spanledger_ingest.traffic._rates import expected_rates
from spanledger_ingest.traffic._schedule import Window, incident, suits
from spanledger_ingest.traffic._served import others
from spanledger_ingest.traffic._world import HOUR_NS, Tenant, Workload, World

_GROWTH_HOURS = 6
_GROWTH = 4
_LEAST_DAYS: Final = 6
"""Shorter worlds have the growing prompt alone."""
_LEARNING_HOURS: Final = 48
"""Nothing happens before a detector could know what is usual."""
_QUIET_HOURS: Final = 8
_PRICE_HOURS: Final = 8

Dimension = Literal["model", "provider", "use_case"]


@dataclass(slots=True, eq=False)
class _Hours:
    """The requests of every tenant to be expected in each hour, and the hours that are taken."""

    world: World
    expected: Reals
    taken: list[bool]

    def busiest(self, dimension: Dimension, values: list[str], hours: int) -> tuple[str, Window] | None:
        """Return the value of a dimension with the most requests in some free hours together, and take the hours."""
        best: tuple[float, str, int] | None = None
        for value in values:
            volume = np.cumsum([0.0, *self._volume(dimension, value)])
            for start in range(_LEARNING_HOURS, len(self.taken) - hours - _QUIET_HOURS):
                if not any(self.taken[start - _QUIET_HOURS : start + hours + _QUIET_HOURS]):
                    best = max(best or (0.0, "", 0), (float(volume[start + hours] - volume[start]), value, start))
        if best is None or not best[1]:
            return None
        _, value, start = best
        self.taken[start : start + hours] = [True] * hours
        onset = (self.world.hours.start + start) * HOUR_NS
        return value, Window(onset, onset + hours * HOUR_NS)

    def _volume(self, dimension: Dimension, value: str) -> Reals:
        volume = np.zeros(len(self.taken))
        for tenant, expected in zip(self.world.tenants, self.expected, strict=True):
            for load in tenant.workloads:
                for model, share in load.shares:
                    if _value(dimension, load, model) == value:
                        volume += expected * load.weight * share
        return volume


def demo_incidents(world: World) -> tuple[Incident, ...]:
    """Return a growing prompt in the last hours and, on the days before, three others; in order of time."""
    earlier = _earlier(world) if world.days >= _LEAST_DAYS else []
    return (*sorted(earlier, key=lambda each: each.onset_ns), _growing_prompt(world))


def _growing_prompt(world: World) -> Incident:
    """Let the prompt of a tenant grow in the last hours: one that is busy then, but not the largest of all."""
    last = world.end_ns // HOUR_NS
    hours = range(last - _GROWTH_HOURS, last)

    def busy(tenant: Tenant) -> tuple[float, str]:
        return sum(map(tenant.rate, hours)), tenant.id

    victim = max(world.tenants[1:] or world.tenants, key=busy)
    load = victim.workloads[0]
    released = [d for d in world.life.deploys if (d.tenant_id, d.use_case) == (victim.id, load.use_case.name)]
    version = max([load.version, *(deploy.version for deploy in released)]) + 1
    return Incident(
        id="prompt-growth-1",
        kind="cost_spike",
        magnitude="large",
        factor=_GROWTH,
        scope=Scope(tenant_id=victim.id, use_case=load.use_case.name),
        onset_ns=world.end_ns - _GROWTH_HOURS * HOUR_NS,
        end_ns=world.end_ns,
        cause="prompt_growth",
        root_cause={"prompt_version": f"v{version}"},
        version=version,
    )


def _earlier(world: World) -> Iterator[Incident]:
    slots = np.arange(world.hours.start * 6, world.hours.stop * 6)
    hourly = [expected_rates(world, tenant, slots).reshape(-1, 6).sum(axis=1) for tenant in world.tenants]
    hours = _Hours(world, np.stack(hourly), [False] * len(world.hours))
    hours.taken[-_GROWTH_HOURS - 1 :] = [True] * (_GROWTH_HOURS + 1)
    yield from _price(world, hours)
    for kind, dimension, fits in _OTHERS:
        values = sorted({_value(dimension, load, load.model) for tenant in world.tenants for load in tenant.workloads})
        found = hours.busiest(dimension, [value for value in values if fits(value)], int(HOURS[kind][-1]))
        if found is not None:
            value, window = found
            yield incident(kind, "large", FACTORS[kind][-1], Scope(**{dimension: value}), window)


def _price(world: World, hours: _Hours) -> Iterator[Incident]:
    changing = {change.asked for change in world.life.served_changes}
    asked = sorted({load.model.name for tenant in world.tenants for load in tenant.workloads} - changing)
    found = hours.busiest("model", [name for name in asked if others(name, "large")], _PRICE_HOURS)
    if found is not None:
        name, window = found
        served = others(name, "large")[0]
        yield incident("unit_price", "large", FACTORS["unit_price"][-1], Scope(model=name), window, served=served)


def _value(dimension: Dimension, load: Workload, model: Model) -> str:
    if dimension == "use_case":
        return load.use_case.name
    return model.name if dimension == "model" else model.provider.stored


_OTHERS: Final[tuple[tuple[Kind, Dimension, Callable[[str], bool]], ...]] = (
    ("error_burst", "provider", lambda _: True),
    ("length_surge", "use_case", lambda case: case in suits("length_surge")),
)
