"""Calls told twice by spans that neither nest nor share a trace: by response id, or by time alone.

**By response id.** Ids unite spans of one owner whose times lie within an hour of each other, with two exceptions,
because some servers answer the same id to everybody. An id that does not look unique unites only spans that overlap,
come from different instrumentations and do not contradict each other's usage. And one instrumentation that reports two
different usages under one id means two calls. Different instrumentations may differ (Traceloop counts 18 tokens of an
Anthropic stream where the SDK's own span says 17); they stay one call.

**By time.** Some instrumentations lose their context: the client's span starts a trace of its own, and framework
streams and errors have no id to find it by. Such a span is a duplicate if it is a root (or a sibling), lies within the
time of another instrumentation's span of the same service, model and outcome, and at least one of the two has no id;
the closest pairs find each other first. Only pairs that are known to happen qualify: any instrumentation around a
provider's own SDK, and a framework around a client where that family is seen to lose context. The two end within
milliseconds of each other, so they mostly arrive together; :class:`~._neighbours.Neighbours` finds those that do not.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import CallFacts
from spanledger_ingest.normalise import detaches, is_framework
from spanledger_ingest.settle._same import (
    HOUR_NS,
    SECOND_NS,
    contradict,
    gap_ns,
    is_unique,
    same_kind,
    same_model,
    same_usage,
)
from spanledger_ingest.settle._tree import key_of

Pair = tuple[SpanKey, SpanKey]

_NATIVE = "native_sdk"
_RECENT = 32
"""Clusters of one id, or spans around one instant, that are looked at; beyond it, telemetry is hostile."""
_SLACK_NS = 50_000_000
"""How far a duplicate may stick out of the span it belongs to."""
_APART_NS = 500_000_000
"""How much later the one around it may end. What a framework does after an answer takes milliseconds."""


def pairs_by_id(calls: Iterable[CallFacts]) -> list[Pair]:
    """Return pairs of spans that one response id makes one call."""
    by_id: defaultdict[tuple[str, str], list[CallFacts]] = defaultdict(list)
    for facts in calls:
        if facts.response_id is not None:
            by_id[facts.owner, facts.response_id].append(facts)
    return [pair for (_, response_id), told in by_id.items() if len(told) > 1 for pair in _cluster(response_id, told)]


def _cluster(response_id: str, told: list[CallFacts]) -> Iterable[Pair]:
    belongs = _joins if is_unique(response_id) else _joins_weakly
    clusters: list[list[CallFacts]] = []
    for facts in sorted(told, key=_order):
        near = [cluster for cluster in clusters[-_RECENT:] if belongs(facts, cluster)]
        if not near:
            clusters.append([facts])
            continue
        home = min(near, key=lambda cluster: abs(cluster[-1].start_ns - facts.start_ns))
        yield key_of(home[0]), key_of(facts)
        home.append(facts)


def _joins(facts: CallFacts, cluster: Sequence[CallFacts]) -> bool:
    if min(gap_ns(facts, member) for member in cluster[-_RECENT:]) > HOUR_NS:
        return False
    return not any(member.scope_name == facts.scope_name and contradict(member, facts) for member in cluster[-_RECENT:])


def _joins_weakly(facts: CallFacts, cluster: Sequence[CallFacts]) -> bool:
    return all(
        gap_ns(facts, member) <= SECOND_NS and _other_scope(facts, member) and not contradict(facts, member)
        for member in cluster[-_RECENT:]
    )


def _other_scope(one: CallFacts, other: CallFacts) -> bool:
    return not one.scope_name or one.scope_name != other.scope_name


def _order(facts: CallFacts) -> tuple[int, SpanKey]:
    return facts.start_ns, key_of(facts)


@dataclass(slots=True)
class Group:
    """The spans known to tell one call so far."""

    ids: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=set)
    joined: "Group | None" = None
    """The larger group that this one has become a part of."""

    def whole(self) -> "Group":
        """Return the group that this one is a part of by now."""
        found = self
        while found.joined is not None:
            found = found.joined
        return found

    def join(self, other: "Group") -> None:
        """Take another whole group in."""
        self.ids |= other.ids
        self.scopes |= other.scopes
        other.joined = self


Place = tuple[str, str | None, str]
"""Owner, service and outcome, which two tellings of one call share."""


def place_of(facts: CallFacts) -> Place:
    """Return where time could join this span to another."""
    return facts.owner, facts.service_name, facts.status


def places_to_watch(calls: Iterable[CallFacts]) -> Collection[Place]:
    """Return the places where time could join spans: several instrumentations tell there, and not all with ids."""
    scopes: dict[Place, str] = {}
    several: set[Place] = set()
    silent: set[Place] = set()
    for facts in calls:
        place = place_of(facts)
        if scopes.setdefault(place, facts.scope_name) != facts.scope_name:
            several.add(place)
        if facts.response_id is None:
            silent.add(place)
    return several & silent


def pairs_by_time(calls: Sequence[CallFacts], groups: Mapping[SpanKey, Group]) -> list[Pair]:
    """Return pairs of spans that time alone makes one call.

    Args:
        calls: Candidates, without wrappers, roll-ups and failed attempts.
        groups: What is known to be one call already.
    """
    places: defaultdict[Place, list[CallFacts]] = defaultdict(list)
    for facts in calls:
        places[place_of(facts)].append(facts)
    return [pair for place in places.values() if _worth_looking(place, groups) for pair in _closest(place, groups)]


def _worth_looking(place: Sequence[CallFacts], groups: Mapping[SpanKey, Group]) -> bool:
    several = len({facts.scope_name for facts in place}) > 1
    return several and any(not groups[key_of(facts)].ids for facts in place)


def _closest(place: list[CallFacts], groups: Mapping[SpanKey, Group]) -> Iterable[Pair]:
    """Yield pairs, the closest in time first; a call that has found its other half takes no second one."""
    place.sort(key=_order)
    offers = sorted(_offers(place, groups), key=lambda offer: (offer[0], key_of(offer[1]), key_of(offer[2])))
    for _, outer, inner in offers:
        one, other = groups[key_of(outer)].whole(), groups[key_of(inner)].whole()
        if _are_strangers(one, other) and _may_enclose(outer, inner, other.scopes):
            one.join(other)
            yield key_of(outer), key_of(inner)


def _offers(place: Sequence[CallFacts], groups: Mapping[SpanKey, Group]) -> Iterable[tuple[int, CallFacts, CallFacts]]:
    """Yield what may be one call, with how far apart in time: distance, outer span, inner span."""
    outers = [facts for facts in place if facts.dialect != _NATIVE]
    starts = [facts.start_ns for facts in outers]
    for inner in place:
        if not (inner.dialect == _NATIVE or detaches(inner.dialect, inner.response_id)):
            continue
        here = bisect_right(starts, inner.start_ns)
        last = min(bisect_right(starts, inner.start_ns + _SLACK_NS), here + _RECENT)
        for outer in outers[max(0, here - 2 * _RECENT) : last]:
            if _tells_again(inner, outer, groups) and (apart := _apart_ns(inner, outer)) <= _APART_NS:
                yield apart + abs(inner.start_ns - outer.start_ns), outer, inner


def _tells_again(inner: CallFacts, outer: CallFacts, groups: Mapping[SpanKey, Group]) -> bool:
    return (
        _covers(outer, inner)
        and _is_loose(inner, outer)
        and _may_enclose(outer, inner, groups[key_of(inner)].scopes)
        and _are_strangers(groups[key_of(inner)], groups[key_of(outer)])
        and _says_the_same(inner, outer)
    )


def may_be_inner(facts: CallFacts) -> bool:
    """Return whether the span may have lost one around it in another trace."""
    return facts.parent_span_id is None and (facts.dialect == _NATIVE or detaches(facts.dialect, facts.response_id))


def may_be_outer(facts: CallFacts) -> bool:
    """Return whether the span may stand around one that lost it."""
    return facts.dialect != _NATIVE and (facts.response_id is None or is_framework(facts.scope_name))


def may_be_one(inner: CallFacts, outer: CallFacts) -> bool:
    """Return whether time could make these two one call, as far as the two alone can tell."""
    return (
        inner.scope_name != outer.scope_name
        and (inner.response_id is None or outer.response_id is None)
        and place_of(inner) == place_of(outer)
        and _apart_ns(inner, outer) <= _APART_NS
        and _may_enclose(outer, inner, {inner.scope_name})
        and _says_the_same(inner, outer)
    )


def _covers(outer: CallFacts, inner: CallFacts) -> bool:
    if outer.end_ns + _SLACK_NS >= inner.end_ns:
        return True
    # Some spans of streams end when the stream is handed over, before the client asks; the first word comes later.
    heard_ns = first_word_ns(outer)
    return heard_ns is not None and inner.start_ns <= heard_ns <= inner.end_ns + _SLACK_NS


def _apart_ns(inner: CallFacts, outer: CallFacts) -> int:
    """Return how far apart they ended, or heard the first word if that is closer."""
    apart = abs(outer.end_ns - inner.end_ns)
    said_ns, heard_ns = first_word_ns(inner), first_word_ns(outer)
    if said_ns is not None and heard_ns is not None:
        apart = min(apart, abs(heard_ns - said_ns))
    return apart


def first_word_ns(facts: CallFacts) -> int | None:
    """Return when the answer began, if it is known."""
    return None if facts.ttft_ns is None else facts.start_ns + facts.ttft_ns


def _is_loose(inner: CallFacts, outer: CallFacts) -> bool:
    if inner.trace_id == outer.trace_id:
        return inner.parent_span_id == outer.parent_span_id
    return inner.parent_span_id is None


def _may_enclose(outer: CallFacts, inner: CallFacts, told_by: Collection[str]) -> bool:
    """Return whether ``outer`` may tell again what ``inner`` tells, which these scopes have told already."""
    framework = is_framework(outer.scope_name)
    if inner.dialect == _NATIVE:
        return framework or (outer.dialect != _NATIVE and len(told_by) == 1)
    same_family = outer.dialect == inner.dialect and detaches(inner.dialect, inner.response_id)
    return framework and same_family and not any(map(is_framework, told_by))


def _are_strangers(one: Group, other: Group) -> bool:
    return one is not other and not (one.ids and other.ids) and not one.scopes & other.scopes


def _says_the_same(inner: CallFacts, outer: CallFacts) -> bool:
    models = [(facts.request_model, facts.response_model) for facts in (inner, outer)]
    if not (same_kind(inner, outer) and same_model(*models)):
        return False
    silent = inner.usage_source == "missing" or outer.usage_source == "missing"
    return silent or same_usage(inner.usage, outer.usage) or _heard_less(outer, inner)


def _heard_less(outer: CallFacts, inner: CallFacts) -> bool:
    # LangChain misses the uncached part of the input where Anthropic's stream names it only at the start.
    heard, said = outer.usage, inner.usage
    if not is_framework(outer.scope_name) or not heard.output or heard.output != said.output:
        return False
    return heard.input is not None and said.input is not None and heard.input < said.input
