"""How many requests of a tenant to expect in each ten minutes, and how long its prompts and answers are then."""

from functools import cache

import numpy as np

from spanledger_ingest.traffic._draws import Flags, Reals, Whole, named, normal
from spanledger_ingest.traffic._random import Stream
from spanledger_ingest.traffic._world import HOUR_NS, Tenant, World

SLOT_NS = HOUR_NS // 6
SLOTS_PER_DAY = 144
_WEEK_SLOTS = 7 * SLOTS_PER_DAY
# Of the wild process: sigma of the noise per 10 minutes, 2 hours and 12 hours, as fitted to the spread of real clients
# (hour to hour p99 = x21, at least one x3 hour in two weeks for nearly all of them).
_WILD_SIGMAS = ((1, 0.3), (12, 0.45), (72, 0.35))
_WILD_SHAPE = 0.35
"""Power of the day's shape: it explains 6 to 20 % of the variance of real load."""
_IDLE_SHARE = 0.6
"""Share of wild tenants that are nearly silent half of the time, in pieces of some hours."""


def rates(world: World, tenant: Tenant, slots: Whole) -> Reals:
    """Return the requests expected of a tenant in slots of ten minutes, counted from the epoch."""
    per_slot = tenant.requests_per_hour / 6
    if world.load is not None and tenant.client is not None:
        expected = per_slot * world.load.rates(tenant.client, slots, _shift(world.seed))
    elif world.mode == "wild":
        expected = per_slot * _shape(tenant, slots) ** _WILD_SHAPE * _wild(world.seed, tenant, slots)
    else:
        expected = per_slot * _shape(tenant, slots) * _uneven(world.seed, tenant, slots)
    return expected * _lived(world, tenant, slots)


def expected_rates(world: World, tenant: Tenant, slots: Whole) -> Reals:
    """Return `rates` without the noise: what one would plan for."""
    if world.load is not None or world.mode == "wild":
        return rates(world, tenant, slots)
    return tenant.requests_per_hour / 6 * _shape(tenant, slots) * _lived(world, tenant, slots)


def token_factors(world: World, tenant: Tenant, slots: Whole) -> Reals:
    """Return the factors of a recorded load on input and output tokens [2, slot]; one where there is none."""
    if world.load is None or tenant.client is None:
        return np.ones((2, len(slots)))
    return world.load.token_factors(tenant.client, slots, _shift(world.seed))


@cache
def _shift(seed: int) -> int:
    return Stream(seed, "shift").below(14) * SLOTS_PER_DAY


def _shape(tenant: Tenant, slots: Whole) -> Reals:
    """Return the rate relative to the week's mean, as the day and the week have it."""
    kind = tenant.archetype
    local = slots // 6 + tenant.utc_offset_minutes // 60
    mean = sum(kind.day) / 24 * (5 + 2 * kind.weekend) / 7
    weekend = (local // 24 + 3) % 7 >= 5
    shape: Reals = np.array(kind.day, dtype=np.float64)[local % 24] / mean
    return np.where(weekend, shape * kind.weekend, shape)


def _uneven(seed: int, tenant: Tenant, slots: Whole) -> Reals:
    """Return lognormal factors with mean one: real arrivals are more uneven than Poisson's."""
    sigma = tenant.archetype.burstiness
    return np.exp(sigma * normal(named(seed, f"uneven/{tenant.id}", slots)) - sigma * sigma / 2)


def _wild(seed: int, tenant: Tenant, slots: Whole) -> Reals:
    logs = np.zeros(len(slots))
    for length, sigma in _WILD_SIGMAS:
        own = sigma * (0.6 + tenant.archetype.burstiness)
        logs += own * _noise(seed, f"wild{length}/{tenant.id}", slots, length) - own * own / 2
    factors = np.exp(logs)
    if Stream(seed, "idle", tenant.id).chance(_IDLE_SHARE):
        factors *= np.where(_noise(seed, f"idle/{tenant.id}", slots, 24) > 0, 1.9, 0.1)
    return factors


def _noise(seed: int, name: str, slots: Whole, length: int) -> Reals:
    """Return standard normal noise that changes over a number of slots, in straight lines."""
    knot, rest = slots // length, (slots % length) / length
    left, right = normal(named(seed, name, knot)), normal(named(seed, name, knot + 1))
    return (left * (1 - rest) + right * rest) / np.sqrt((1 - rest) ** 2 + rest**2)


def _lived(world: World, tenant: Tenant, slots: Whole) -> Reals:
    """Return the factors of growth, bursts and deploys, and zero before a tenant joined and after it left."""
    at = slots * SLOT_NS
    factors = 1.0 + tenant.growth * (slots - world.end_ns // SLOT_NS) / _WEEK_SLOTS
    for burst in world.life.bursts:
        if burst.tenant_id == tenant.id:
            factors[_within(at, burst.onset_ns, burst.end_ns)] *= burst.factor
    for deploy in world.life.deploys:
        if deploy.tenant_id == tenant.id:
            weight = next(load.weight for load in tenant.workloads if load.use_case.name == deploy.use_case)
            factors[at >= deploy.at_ns] *= 1 + weight * (deploy.volume_factor - 1)
    return np.where(_within(at, tenant.joined_ns, tenant.left_ns), factors.clip(0), 0.0)


def _within(at: Whole, onset_ns: int, end_ns: int) -> Flags:
    inside: Flags = (at >= onset_ns) & (at < end_ns)
    return inside
