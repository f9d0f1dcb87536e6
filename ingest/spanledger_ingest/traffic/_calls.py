"""From turns to calls: attempts and their faults, one after the other in time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanledger_ingest.traffic import _lexicon as lex
from spanledger_ingest.traffic._arrivals import arrivals
from spanledger_ingest.traffic._draws import Flags, Whole, Wide, Words, below, halves, mix, named, spread, uniform
from spanledger_ingest.traffic._rows import (
    NO_FAULT,
    NO_TOOL,
    RATE_LIMIT,
    SERVER_ERROR,
    STOP,
    TIMEOUT,
    Calls,
    Requests,
    Traffic,
    Turns,
    chosen,
    joined,
    ordered,
    take,
)
from spanledger_ingest.traffic._turns import Asked, Usage, asked, concerned, used
from spanledger_ingest.traffic._world import World

_MOST_ATTEMPTS: Final = 3
_FAULT_MS: Final = np.array([90.0, 420.0, 30_000.0])
_RATE_LIMITS, _SERVER_ERRORS = 0.55, 0.80
_TOOL_US = 160_000
_REFUSED_REPEATS = 0.5
_PAUSE_US = 500_000
_MACHINES: Final = 4
MOST_SKEW_US: Final = 5_000_000


@dataclass(slots=True, eq=False)
class _Tries:
    """By turn: how often it fails, how often it is repeated for no reason, and whether it is answered."""

    faults: Whole
    repeats: Whole
    answered: Flags

    @property
    def count(self) -> Whole:
        return self.faults + self.repeats + self.answered


def traffic(world: World, hours: range, tenants: Iterable[int] | None = None) -> Traffic | None:
    """Make the traffic of some hours (since the epoch), of all tenants or some; None if there is none."""
    wanted = range(len(world.tenants)) if tenants is None else tenants
    parts = [_answered(world, requests, turns) for requests, turns in arrivals(world, wanted, hours)]
    if not parts:
        return None
    calls = [part.calls for part in parts]
    offset = 0
    for part in parts:
        part.calls.request = part.calls.request + offset
        offset += len(part.requests.tenant)
    whole = Traffic(joined([part.requests for part in parts]), joined(calls))
    whole = chosen(whole, _kept(world, whole.requests))
    if world.faults:
        _skew(world, whole)
    return ordered(whole) if len(whole) else None


def _skew(world: World, whole: Traffic) -> None:
    """Put the clocks wrong: each service runs on some machines, and each machine is off by up to five seconds."""
    rows = whole.requests
    machine = (rows.trace_low % np.uint64(_MACHINES)).astype(np.int64)
    service = lex.SERVICE_OF[world.lexicon.case[rows.load]]
    off = below(named(world.seed, "clock", service * _MACHINES + machine), 2 * MOST_SKEW_US) - MOST_SKEW_US
    rows.start_us = rows.start_us + off
    rows.end_us = rows.end_us + off
    by_call = off[whole.calls.request]
    whole.calls.start_us = whole.calls.start_us + by_call
    whole.calls.end_us = whole.calls.end_us + by_call


def _kept(world: World, requests: Requests) -> Flags:
    """Tell which requests lie in the period, are not kept from happening, and are not lost by the telemetry."""
    start_ns = requests.start_us * 1000
    kept = (start_ns >= world.start_ns) & (requests.end_us * 1000 <= world.end_ns)
    for incident in world.incidents:
        if incident.kind == "traffic_zero":
            during = (start_ns >= incident.onset_ns) & (start_ns < incident.end_ns)
            kept &= ~(during & _of_scope(world, requests, incident.scope.tenant_id, incident.scope.use_case))
    services = lex.SERVICE_OF[world.lexicon.case[requests.load]]
    for outage in world.life.outages:
        during = (requests.end_us * 1000 >= outage.onset_ns) & (requests.end_us * 1000 < outage.end_ns)
        kept &= ~(during & (services == lex.SERVICES.index(outage.service)))
    return kept


def _of_scope(world: World, requests: Requests, tenant_id: str | None, use_case: str | None) -> Flags:
    mine = np.ones(len(requests.tenant), dtype=np.bool_)
    if tenant_id is not None:
        mine &= requests.tenant == next(n for n, tenant in enumerate(world.tenants) if tenant.id == tenant_id)
    if use_case is not None:
        mine &= world.lexicon.case[requests.load] == lex.CASES.index(use_case)
    return mine


def _answered(world: World, requests: Requests, turns: Turns) -> Traffic:
    wanted = asked(world, requests, turns)
    tries = _tries(turns, wanted)
    alive = _alive(turns, tries)
    turns, wanted, tries = take(turns, alive), take(wanted, alive), take(tries, alive)
    usage = used(world, requests, turns, wanted)
    _note_versions(world, requests, turns, wanted)
    calls, gaps = _attempts(turns, wanted, usage, tries)
    _place(requests, turns, tries, calls, gaps)
    return Traffic(requests, calls)


def _tries(turns: Turns, wanted: Asked) -> _Tries:
    """Call, and call again after a fault, as applications do that retry by themselves."""
    fails = uniform(turns.words[:, 9]) < wanted.error_rate
    faults = fails.astype(np.int64)
    for attempt in range(1, _MOST_ATTEMPTS):
        fails = fails & (uniform(turns.words[:, 9 + attempt]) < wanted.again_rate)
        faults += fails
    answered = ~fails
    extra = wanted.repeats - 1 + below(turns.words[:, 17], 3) - 1
    repeats = np.where((wanted.repeats > 1) & answered, extra, 0).clip(0).astype(np.int64)
    return _Tries(faults, repeats, answered)


def _alive(turns: Turns, tries: _Tries) -> Flags:
    """Tell which turns come about: none after one that failed."""
    failed = ~tries.answered
    before: Whole = np.cumsum(failed) - failed
    first = turns.turn == 0
    at_first: Whole = before[np.flatnonzero(first)]
    alive: Flags = before == at_first[np.cumsum(first) - 1]
    return alive


def _note_versions(world: World, requests: Requests, turns: Turns, wanted: Asked) -> None:
    """Write down the prompt version that an incident brought with it."""
    for incident in world.incidents:
        if incident.version is not None:
            requests.version[turns.request[concerned(world, incident, wanted)]] = incident.version


def _attempts(turns: Turns, wanted: Asked, usage: Usage, tries: _Tries) -> tuple[Calls, Whole]:
    """Return the calls, not yet placed in time, and the pause after each in microseconds."""
    count = tries.count
    of = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    base: Wide = np.ascontiguousarray(turns.words[:, 0:2]).view("<u8")[:, 0]
    identity = mix(base[of] ^ (nth + 1).astype(np.uint64))
    one, two = halves(mix(identity, 1))
    three, _ = halves(mix(identity, 2))
    failing = nth < tries.faults[of]
    repeated = ~failing & (nth < (tries.faults + tries.repeats)[of])
    refused = repeated & (uniform(three) < _REFUSED_REPEATS)
    fault = np.where(failing, _kind(one), np.where(refused, RATE_LIMIT, NO_FAULT))
    good = fault == NO_FAULT
    fault_us = np.where(fault == TIMEOUT, 1.0, spread(two, 0.4)) * _FAULT_MS[fault] * 1000
    ttft, length = _durations(turns, wanted, usage)
    final = good & ~repeated
    calls = Calls(
        request=turns.request[of],
        model=wanted.model[of],
        served=wanted.served[of],
        limit=wanted.limit[of],
        stream=good & (uniform(turns.words[of, 8]) < lex.STREAMS[wanted.case[of]]),
        fault=fault,
        input=_if(good, usage.input[of]),
        output=_if(good, usage.output[of]),
        cache_read=_if(good, usage.cache_read[of]),
        cache_write=_if(good, usage.cache_write[of]),
        reasoning=_if(good, usage.reasoning[of]),
        cost=_if(good, usage.cost[of]),
        finish=np.where(good, usage.finish[of], STOP),
        start_us=np.zeros(len(of), dtype=np.int64),
        end_us=np.where(good, length[of], fault_us.astype(np.int64)),
        ttft_us=_if(good, ttft[of]),
        tool=np.where(final & ~turns.last[of], below(turns.words[of, 14], lex.TOOLS[wanted.case[of]]), NO_TOOL),
        tool_us=np.zeros(len(of), dtype=np.int64),
        span=identity,
    )
    calls.tool_us = _if(calls.tool >= 0, (spread(turns.words[of, 15], 0.8) * _TOOL_US).astype(np.int64))
    pause = (_PAUSE_US * 2.0 ** np.minimum(nth, 5) * (0.75 + 0.5 * uniform(three))).astype(np.int64)
    return calls, np.where(final, calls.tool_us, pause)


def _if(which: Flags, numbers: Whole) -> Whole:
    return np.where(which, numbers, 0)


def _kind(word: Words) -> Whole:
    u = uniform(word)
    return np.where(u < _RATE_LIMITS, RATE_LIMIT, np.where(u < _SERVER_ERRORS, SERVER_ERROR, TIMEOUT))


def _durations(turns: Turns, wanted: Asked, usage: Usage) -> tuple[Whole, Whole]:
    """Return the time to the first token and the whole time of an answer, in microseconds."""
    first = lex.TTFT_MS[wanted.model] * 1000 * spread(turns.words[:, 5], 0.35) * (1 + usage.input / 60_000)
    rest = usage.output * (1_000_000 / lex.TOKENS_PER_SECOND[wanted.model])
    ttft = (first * wanted.slower).astype(np.int64)
    return ttft, ttft + (rest * wanted.slower).astype(np.int64)


def _place(requests: Requests, turns: Turns, tries: _Tries, calls: Calls, gaps: Whole) -> None:
    """Put the calls of each request one after the other, each after the pause that the one before it left."""
    length = calls.end_us
    after = np.cumsum(length + gaps)
    first = np.searchsorted(calls.request, np.arange(len(requests.tenant)))
    before = after - length - gaps
    start = requests.start_us + requests.lead_us
    calls.start_us = start[calls.request] + before - before[first][calls.request]
    calls.end_us = calls.start_us + length
    last = np.append(first[1:], len(length)) - 1
    requests.end_us = calls.end_us[last] + np.where(calls.fault[last] >= 0, gaps[last], 0) + requests.trail_us
    failed = np.zeros(len(requests.tenant), dtype=np.bool_)
    failed[turns.request[~tries.answered]] = True
    requests.failed = failed
