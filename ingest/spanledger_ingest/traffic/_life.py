"""What happens in a world without being an incident: bursts, deploys, planned changes, tenants that come and go."""

from dataclasses import dataclass

from spanledger_ingest.traffic._catalogue import MODELS, Archetype
from spanledger_ingest.traffic._random import Stream
from spanledger_ingest.traffic._served import SERVED

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
MINUTE_NS = HOUR_NS // 60
LIVED_DAYS = 10
"""Worlds shorter than this have no late joiners, no churn and no planned changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """For a while a tenant sends several times as much as usual, for good reasons: a campaign, a bulk job."""

    tenant_id: str
    onset_ns: int
    end_ns: int
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """A new version of a prompt, a little longer or shorter than the last, and the traffic that it draws."""

    tenant_id: str
    use_case: str
    at_ns: int
    version: int
    input_factor: float
    output_factor: float
    volume_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedChange:
    """From a time on another model answers to a name: announced, at another price, or silent, at the same price."""

    asked: str
    served: str
    at_ns: int
    planned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """From a time on a tenant falls back to a model that it never used before."""

    tenant_id: str
    use_case: str
    model: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The exporter of a service loses everything: no span of any of its tenants arrives."""

    service: str
    onset_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """All of it, for one world."""

    bursts: tuple[Burst, ...] = ()
    deploys: tuple[Deploy, ...] = ()
    served_changes: tuple[ServedChange, ...] = ()
    adoptions: tuple[Adoption, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """What has to be known of a tenant to make up its life."""

    id: str
    archetype: Archetype
    use_cases: tuple[tuple[str, int], ...]
    """Name and version of the prompt at the start."""
    unused_models: tuple[str, ...]


_BURSTS_PER_DAY = {"interactive": 0.03, "batch": 0.4, "agent": 0.2, "steady": 0.03, "sparse": 0.1}
_WILD = 2.0  # real clients burst more often


def bursts(seed: int, member: Member, days: range, *, wild: bool) -> list[Burst]:
    """Draw the natural bursts of a tenant; each day for itself, so that a longer period has the same ones."""
    chance = _BURSTS_PER_DAY[member.archetype.name] * (_WILD if wild else 1.0)
    found = []
    for day in days:
        stream = Stream(seed, "burst", member.id, day)
        if stream.chance(chance):
            onset = day * DAY_NS + stream.below(22 * 6) * (HOUR_NS // 6)
            length = (1 + stream.below(9)) * (HOUR_NS // 6)
            factor = round(3.0 * (20 / 3) ** (stream.uniform() ** 2), 1)
            found.append(Burst(tenant_id=member.id, onset_ns=onset, end_ns=onset + length, factor=factor))
    return found


def deploys(seed: int, member: Member, start_ns: int, end_ns: int) -> list[Deploy]:
    """Draw the deploys of a tenant: about one in three weeks for each prompt, in office hours."""
    found = []
    for case, version in member.use_cases:
        stream = Stream(seed, "deploy", member.id, case)
        day, released = start_ns // DAY_NS, version
        while True:
            day += 3 + int(stream.exponential(18))
            at = day * DAY_NS + (8 * 60 + stream.below(480)) * MINUTE_NS
            if at >= end_ns:
                break
            released += 1
            found.append(_deploy(stream, member.id, case, released, at))
    return found


def _deploy(stream: Stream, tenant_id: str, case: str, version: int, at_ns: int) -> Deploy:
    def about(width: float) -> float:
        return round(1 - width + 2 * width * stream.uniform(), 3)

    return Deploy(
        tenant_id=tenant_id,
        use_case=case,
        at_ns=at_ns,
        version=version,
        input_factor=about(0.08),
        output_factor=about(0.06),
        volume_factor=about(0.2),
    )


def served_changes(seed: int, start_ns: int, end_ns: int) -> list[ServedChange]:
    """Draw one announced change of what a name stands for, at another price, and one silent one at the same."""
    stream = Stream(seed, "served")
    span = (end_ns - start_ns) // HOUR_NS
    planned = stream.shuffled([served for served in SERVED if served.dearer in {"small", "medium"}])[0]
    silent = stream.shuffled([served for served in SERVED[len(MODELS) :] if served.dearer is None])
    chosen = next(served for served in silent if served.asked != planned.asked)
    hours = [span * (3 + stream.below(2)) // 10, span * (5 + stream.below(4)) // 10]
    return [
        ServedChange(asked=served.asked, served=served.name, at_ns=start_ns + hour * HOUR_NS, planned=planned is served)
        for served, hour in zip((planned, chosen), hours, strict=True)
    ]


def adoptions(seed: int, members: list[Member], start_ns: int, end_ns: int) -> list[Adoption]:
    """Let one tenant in eight try a model that is new to it."""
    found = []
    for member in members:
        stream = Stream(seed, "adoption", member.id)
        if stream.chance(0.125) and member.unused_models:
            at = start_ns + int((end_ns - start_ns) * (0.4 + 0.5 * stream.uniform())) // HOUR_NS * HOUR_NS
            model = member.unused_models[stream.below(len(member.unused_models))]
            found.append(Adoption(tenant_id=member.id, use_case=member.use_cases[0][0], model=model, at_ns=at))
    return found


def outages(seed: int, services: list[str], start_ns: int, end_ns: int) -> list[Outage]:
    """Let the exporter of a service fail about once a week, for 10 to 90 minutes."""
    stream = Stream(seed, "outage")
    found, at = [], start_ns + int(stream.exponential(4 * DAY_NS))
    while at < end_ns:
        onset, length = at // MINUTE_NS * MINUTE_NS, (10 + stream.below(81)) * MINUTE_NS
        found.append(Outage(service=services[stream.below(len(services))], onset_ns=onset, end_ns=onset + length))
        at += length + int(stream.exponential(7 * DAY_NS))
    return found
