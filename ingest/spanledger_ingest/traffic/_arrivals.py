"""When requests come, and what they are: the first columns of the traffic."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanledger_ingest.traffic import _lexicon as lex
from spanledger_ingest.traffic._draws import (
    Flags,
    Reals,
    Whole,
    Words,
    below,
    named,
    poisson,
    source,
    spread,
    stream_key,
    uniform,
    words,
)
from spanledger_ingest.traffic._incidents import Incident
from spanledger_ingest.traffic._rates import SLOT_NS, rates, token_factors
from spanledger_ingest.traffic._rows import Requests, Turns
from spanledger_ingest.traffic._world import FALLBACK_SHARE, MOST_TURNS, Tenant, World

_REQUEST_WORDS: Final = 16
TURN_WORDS: Final = 18
_SLOT_US: Final = SLOT_NS // 1000
_SECOND_REGION_SHARE: Final = 0.2
_LEAD_US, _TRAIL_US = 4000, 3000


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """Some hours of one tenant's stream of requests, or of the requests that an incident adds to it."""

    tenant: int
    hours: range
    key: int
    counts: Whole
    """Requests per slot of ten minutes."""
    token_factors: Reals
    load: int | None = None
    """The workload of all of them, if there is but one."""
    user: int | None = None

    @property
    def slots(self) -> Whole:
        return _slots(self.hours)


def arrivals(world: World, tenants: Iterable[int], hours: range) -> Iterator[tuple[Requests, Turns]]:
    """Yield the requests of some tenants in some hours, first those of one turn, then those of several."""
    stretches = [stretch for tenant in tenants for stretch in _stretches(world, tenant, hours)]
    for most_turns in (1, MOST_TURNS):
        own = [s for s in stretches if _most_turns(world.tenants[s.tenant]) == most_turns and s.counts.any()]
        if own:
            yield _drawn(world, own, most_turns)


def _most_turns(tenant: Tenant) -> int:
    return MOST_TURNS if any(load.use_case.tools for load in tenant.workloads) else 1


def _slots(hours: range) -> Whole:
    return np.arange(hours.start * 6, hours.stop * 6)


def _stretches(world: World, place: int, hours: range) -> Iterator[_Stretch]:
    tenant, slots = world.tenants[place], _slots(hours)
    expected, factors = rates(world, tenant, slots), token_factors(world, tenant, slots)
    counts = poisson(named(world.seed, f"count/{tenant.id}", slots), expected)
    yield _Stretch(place, hours, stream_key(world.seed, "requests", tenant.id), counts, factors)
    for incident in world.incidents:
        if incident.kind == "cost_spike" and not incident.grows_prompt and incident.scope.tenant_id == tenant.id:
            extra = expected * _extra(world, incident, place, slots)
            if extra.any():
                yield _added(world, incident, place, hours, extra, factors)


def _extra(world: World, incident: Incident, place: int, slots: Whole) -> Reals:
    """Return the requests that an incident adds for each ordinary one, per slot."""
    load = world.lexicon.load_of(place, incident.scope.use_case or "")
    share = world.lexicon.second_from[place]
    if load is not None:
        share = share if load == world.lexicon.first[place] else 1 - share
    onset, end = slots * SLOT_NS, (slots + 1) * SLOT_NS
    inside = (np.minimum(end, incident.end_ns) - np.maximum(onset, incident.onset_ns)).clip(0) / SLOT_NS
    extra: Reals = inside * (incident.factor - 1) * share
    return extra


def _added(world: World, incident: Incident, place: int, hours: range, extra: Reals, factors: Reals) -> _Stretch:
    tenant = world.tenants[place]
    counts = poisson(named(world.seed, f"count/{tenant.id}/{incident.id}", _slots(hours)), extra)
    key = stream_key(world.seed, "requests", tenant.id, incident.id)
    load = world.lexicon.load_of(place, incident.scope.use_case or "")
    return _Stretch(place, hours, key, counts, factors, load, user=tenant.users)


def _drawn(world: World, stretches: list[_Stretch], most_turns: int) -> tuple[Requests, Turns]:
    width = _REQUEST_WORDS + TURN_WORDS * most_turns
    table = np.concatenate([_words(stretch, width) for stretch in stretches])
    requests = _requests(world, stretches, table)
    requests.turns = 2 + below(table[:, 5], most_turns - 1) if most_turns > 1 else np.ones(len(table), dtype=np.int64)
    turn_words = table[:, _REQUEST_WORDS:].reshape(len(table), most_turns, TURN_WORDS)
    request, turn = np.nonzero(np.arange(most_turns) < requests.turns[:, None])
    return requests, Turns(request, turn, turn == requests.turns[request] - 1, turn_words[request, turn])


def _words(stretch: _Stretch, width: int) -> Words:
    """Return the words of each hour's requests; an hour is a place in the stream of its own."""
    per_hour = stretch.counts.reshape(-1, 6).sum(axis=1).tolist()
    parts = [
        words(source(stretch.key, hour), count, width)
        for hour, count in zip(stretch.hours, per_hour, strict=True)
        if count
    ]
    return np.concatenate(parts)


def _requests(world: World, stretches: list[_Stretch], table: Words) -> Requests:
    counts = np.concatenate([stretch.counts for stretch in stretches])
    sizes = [int(stretch.counts.sum()) for stretch in stretches]
    slot = np.repeat(np.concatenate([stretch.slots for stretch in stretches]), counts)
    tenant = np.repeat([stretch.tenant for stretch in stretches], sizes)
    factors = np.repeat(np.concatenate([stretch.token_factors for stretch in stretches], axis=1), counts, axis=1)
    second, load = _workloads(world, stretches, sizes, tenant, table[:, 1])
    fallback = uniform(table[:, 3]) < FALLBACK_SHARE
    wide = np.ascontiguousarray(table[:, 8:14]).view("<u8")
    requests = Requests(
        tenant=tenant,
        load=load,
        hour=slot // 6,
        region=_regions(world, tenant, table[:, 4]),
        user=_users(world, stretches, sizes, tenant, table[:, 2]),
        version=world.lexicon.version[load],
        start_us=slot * _SLOT_US + below(table[:, 0], _SLOT_US),
        lead_us=(spread(table[:, 6], 0.5) * _LEAD_US).astype(np.int64),
        trail_us=(spread(table[:, 7], 0.5) * _TRAIL_US).astype(np.int64),
        turns=second,
        model=np.where(fallback, world.lexicon.fallback[load], world.lexicon.model[load]),
        trace_high=wide[:, 0],
        trace_low=wide[:, 1],
        span=wide[:, 2],
        input_factor=factors[0],
        output_factor=factors[1],
        end_us=np.zeros(len(table), dtype=np.int64),
        failed=np.zeros(len(table), dtype=np.bool_),
    )
    _live(world, requests, fallback)
    return requests


def _workloads(
    world: World, stretches: list[_Stretch], sizes: list[int], tenant: Whole, word: Words
) -> tuple[Whole, Whole]:
    second = (uniform(word) >= world.lexicon.second_from[tenant]).astype(np.int64)
    load = world.lexicon.first[tenant] + second
    only = np.repeat([-1 if stretch.load is None else stretch.load for stretch in stretches], sizes)
    return second, np.where(only >= 0, only, load)


def _users(world: World, stretches: list[_Stretch], sizes: list[int], tenant: Whole, word: Words) -> Whole:
    """Return who asks: some users far more often than others."""
    user = (world.lexicon.users[tenant] * uniform(word) ** 2).astype(np.int64)
    only = np.repeat([-1 if stretch.user is None else stretch.user for stretch in stretches], sizes)
    return np.where(only >= 0, only, user)


def _regions(world: World, tenant: Whole, word: Words) -> Whole:
    first, second = world.lexicon.regions[tenant].T
    chosen: Whole = np.where((second >= 0) & (uniform(word) < _SECOND_REGION_SHARE), second, first)
    return chosen


def _live(world: World, requests: Requests, fallback: Flags) -> None:
    """Apply what happened in the tenants' lives: deploys and models that they took up."""
    places = {tenant.id: place for place, tenant in enumerate(world.tenants)}
    at_ns = requests.start_us * 1000
    for deploy in world.life.deploys:
        load = world.lexicon.load_of(places[deploy.tenant_id], deploy.use_case)
        mine = (at_ns >= deploy.at_ns) & (requests.load == load)
        requests.version[mine] = deploy.version
        requests.input_factor[mine] *= deploy.input_factor
        requests.output_factor[mine] *= deploy.output_factor
    for adoption in world.life.adoptions:
        load = world.lexicon.load_of(places[adoption.tenant_id], adoption.use_case)
        mine = (at_ns >= adoption.at_ns) & (requests.load == load) & fallback
        requests.model[mine] = lex.MODEL_NAMES.index(adoption.model)
