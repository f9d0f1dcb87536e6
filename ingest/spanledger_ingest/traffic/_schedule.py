"""When which incident happens, and to whom: plans of incidents for a world."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from spanledger_ingest.traffic import _lexicon as lex
from spanledger_ingest.traffic._catalogue import MODELS, USE_CASES
from spanledger_ingest.traffic._incidents import FACTORS, HOURS, KINDS, MAGNITUDES, Incident, Kind, Magnitude, Scope
from spanledger_ingest.traffic._random import Stream
from spanledger_ingest.traffic._rates import SLOT_NS, expected_rates
from spanledger_ingest.traffic._served import SERVED, Served, others
from spanledger_ingest.traffic._turns import cut_at
from spanledger_ingest.traffic._world import HOUR_NS, Tenant, World

Plan = Literal["none", "demo", "full"]
_MINUTE_NS: Final = 60_000_000_000
_QUIET_HOURS = (3, 8)
_SETTLED_NS = 72 * HOUR_NS
"""A tenant has been there this long before something happens to it alone."""
_WANTED_PER_HOUR = 60.0
_WANTED = 120.0
"""Requests that a scope should have in the time of an incident, where the world has that many."""
_OFTEN_CUT = 0.05
_STEADY = 0.8
_CAUSES: Final[dict[Kind, str]] = {
    "cost_spike": "runaway_loop",
    "unit_price": "dearer_model_behind_alias",
    "latency": "provider_slow",
    "error_burst": "provider_fails",
    "token_drift": "history_grows",
    "traffic_zero": "application_down",
    "retry_storm": "answers_rejected",
    "length_surge": "max_tokens_lowered",
    "cache_collapse": "prompt_prefix_changed",
}


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which an incident happens."""

    onset_ns: int
    end_ns: int


def schedule(world: World, plan: Plan) -> tuple[Incident, ...]:
    """Return the incidents of a plan for a world, in order of time."""
    if plan == "none":
        return ()
    from spanledger_ingest.traffic._demo_plan import demo_incidents  # noqa: PLC0415 - it builds on this module

    return demo_incidents(world) if plan == "demo" else tuple(_full(world))


def _full(world: World) -> Iterator[Incident]:
    """Yield incidents of all kinds and magnitudes in random order, with quiet between them, until the period ends."""
    stream = Stream(world.seed, "schedule")
    half = (world.start_ns + world.end_ns) // 2 // HOUR_NS * HOUR_NS
    at = half + stream.below(_QUIET_HOURS[0]) * HOUR_NS
    for kind, magnitude in _mixed(stream):
        onset = at + stream.below(60) * _MINUTE_NS
        end = onset + int(HOURS[kind][MAGNITUDES.index(magnitude)] * HOUR_NS)
        if end > world.end_ns:
            continue  # a shorter one may still fit
        made = make(world, kind, magnitude, Window(onset, end), stream)
        if made is not None:
            yield made
            quiet = _QUIET_HOURS[0] + stream.below(_QUIET_HOURS[1] - _QUIET_HOURS[0] + 1)
            at = end + quiet * HOUR_NS


def _mixed(stream: Stream) -> Iterator[tuple[Kind, Magnitude]]:
    """Yield every kind in every magnitude: all kinds once, then again, so that short worlds have most of them too."""
    sizes = {kind: stream.shuffled(MAGNITUDES) for kind in KINDS}
    for turn in range(len(MAGNITUDES)):
        yield from ((kind, sizes[kind][turn]) for kind in stream.shuffled(KINDS))


def make(world: World, kind: Kind, magnitude: Magnitude, window: Window, stream: Stream) -> Incident | None:
    """Make an incident of a kind in a window, in a scope that has traffic then; None if there is no such scope."""
    served = None
    if kind == "unit_price":
        served = _dearer(world, magnitude, window, stream)
        scope = None if served is None else Scope(model=served.asked)
    else:
        scope = _scope(world, kind, window, stream)
    if scope is None:
        return None
    factor = FACTORS[kind][MAGNITUDES.index(magnitude)]
    return incident(kind, magnitude, factor, scope, window, served=served)


def incident(
    kind: Kind, magnitude: Magnitude, factor: float, scope: Scope, window: Window, *, served: Served | None = None
) -> Incident:
    """Return an incident with its cause."""
    limit = _limit(scope, factor) if kind == "length_surge" else None
    root: dict[str, Any] = scope.as_json() | ({} if served is None else _answering(served))
    return Incident(
        id=f"{kind}-{magnitude}-{window.onset_ns // _MINUTE_NS}",
        kind=kind,
        magnitude=magnitude,
        factor=factor,
        scope=scope,
        onset_ns=window.onset_ns,
        end_ns=window.end_ns,
        cause=_CAUSES[kind],
        root_cause=root | ({} if limit is None else {"max_tokens": limit}),
        served=None if served is None else served.name,
        max_tokens=limit,
    )


def _answering(served: Served) -> dict[str, Any]:
    """Return what answers, and how much dearer its tokens are."""
    usual = SERVED[lex.MODEL_NAMES.index(served.asked)]
    return {
        "response_model": served.name,
        "input_price_ratio": round(served.input_price / usual.input_price, 4),
        "output_price_ratio": round(served.output_price / usual.output_price, 4),
    }


def _limit(scope: Scope, share: float) -> int:
    case = next(case for case in USE_CASES if case.name == scope.use_case)
    return cut_at(case.output_median, share)


def _scope(world: World, kind: Kind, window: Window, stream: Stream) -> Scope | None:
    if kind in {"error_burst", "latency"}:
        by_model = kind == "latency" and stream.chance(0.5)
        return _shared(world, window, stream, "model" if by_model else "provider")
    if kind == "length_surge" or (kind in {"token_drift", "cache_collapse"} and stream.chance(0.4)):
        return _shared(world, window, stream, "use_case", suits(kind))
    return _own(world, window, stream, suits(kind), calm=kind in {"cost_spike", "traffic_zero"})


def suits(kind: Kind) -> frozenset[str]:
    """Return the use cases in which a kind of incident can be seen."""
    if kind == "length_surge":
        limited = [case for case in USE_CASES if case.max_tokens is not None]
        rarely = [case for case in limited if cut_at(case.output_median, _OFTEN_CUT) < (case.max_tokens or 0)]
        return frozenset(case.name for case in rarely)
    if kind == "cache_collapse":
        return frozenset(case.name for case in USE_CASES if case.cacheable >= 0.4 and case.input_median > 1000)
    return frozenset(lex.CASES)


def _own(world: World, window: Window, stream: Stream, cases: frozenset[str], *, calm: bool) -> Scope | None:
    """Choose a tenant and one of its use cases: one that is busy, and not in a burst.

    Where the incident is one of volume, it is a tenant whose volume says something: not one that comes in batches.
    """
    loads = [
        (Scope(tenant_id=tenant.id, use_case=load.use_case.name), requests * load.weight)
        for tenant, requests in volumes(world, window)
        if _is_settled(world, tenant, window) and not (calm and tenant.archetype.burstiness > _STEADY)
        for load in tenant.workloads
        if load.use_case.name in cases
    ]
    return _pick(loads, window, stream)


def _shared(
    world: World, window: Window, stream: Stream, dimension: str, cases: frozenset[str] = frozenset(lex.CASES)
) -> Scope | None:
    sums: dict[str, float] = {}
    for tenant, requests in volumes(world, window):
        for load in tenant.workloads:
            for model, share in load.shares:
                if load.use_case.name in cases:
                    values = {"model": model.name, "provider": model.provider.stored, "use_case": load.use_case.name}
                    value = values[dimension]
                    sums[value] = sums.get(value, 0.0) + requests * load.weight * share
    return _pick([(Scope(**{dimension: value}), volume) for value, volume in sorted(sums.items())], window, stream)


def _pick(scopes: list[tuple[Scope, float]], window: Window, stream: Stream) -> Scope | None:
    """Choose among those with enough requests, or take the largest."""
    wanted = max(_WANTED, _WANTED_PER_HOUR * (window.end_ns - window.onset_ns) / HOUR_NS)
    enough = [(scope, volume) for scope, volume in scopes if volume >= wanted]
    if enough:
        return enough[stream.index([volume**0.5 for _, volume in enough])][0]
    return max(scopes, key=lambda each: each[1], default=(None, 0.0))[0]


def _dearer(world: World, magnitude: Magnitude, window: Window, stream: Stream) -> Served | None:
    """Choose a dearer model for a name that has traffic and does not change what stands behind it anyway."""
    changing = {change.asked for change in world.life.served_changes}
    found = [s for model in MODELS if model.name not in changing for s in others(model.name, magnitude)]
    volumes_of = [model_volume(world, served.asked, window) for served in found]
    return found[stream.index([volume**0.5 for volume in volumes_of])] if any(volumes_of) else None


def model_volume(world: World, model: str, window: Window) -> float:
    """Return the requests for a model to be expected in a window."""
    return sum(
        requests * load.weight * share
        for tenant, requests in volumes(world, window)
        for load in tenant.workloads
        for used, share in load.shares
        if used.name == model
    )


def volumes(world: World, window: Window) -> Iterable[tuple[Tenant, float]]:
    """Return the requests of each tenant to be expected in a window."""
    slots = np.arange(window.onset_ns // SLOT_NS, -(-window.end_ns // SLOT_NS))
    return [(tenant, float(expected_rates(world, tenant, slots).sum())) for tenant in world.tenants]


def _is_settled(world: World, tenant: Tenant, window: Window) -> bool:
    present = tenant.joined_ns + _SETTLED_NS <= window.onset_ns and window.end_ns <= tenant.left_ns
    bursting = any(
        burst.tenant_id == tenant.id
        and burst.onset_ns - 2 * HOUR_NS < window.end_ns
        and burst.end_ns + 2 * HOUR_NS > window.onset_ns
        for burst in world.life.bursts
    )
    return present and not bursting
