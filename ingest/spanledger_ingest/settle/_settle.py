"""Settlement: from what every span says to calls that are billed once."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import Call, CallFacts, CostStatus
from spanledger_ingest.settle._beside import Group, pairs_by_id, pairs_by_time, place_of, places_to_watch
from spanledger_ingest.settle._merge import in_order, merged
from spanledger_ingest.settle._nest import Nested, Nesting
from spanledger_ingest.settle._tree import key_of, nearest_above


@dataclass(frozen=True, slots=True)
class Settled:
    """A call row and the span that is billed for it."""

    call: Call
    winner: SpanKey | None
    """``None`` for wrappers and roll-ups: they stand for several calls."""


def settle(facts: Iterable[CallFacts], parents: Mapping[SpanKey, str | None]) -> list[Call]:
    """Return one row per span, of which exactly one per real call is billable.

    A pure function of the set of facts: neither order nor repetition matters. Rows come in order of their identity.

    Args:
        facts: Everything known of the calls, as the spans said it: of a call's other spans too, or they count again.
        parents: Parent of every span of these traces, also of those that say nothing of calls.
    """
    return [settled.call for settled in settle_all(facts, parents)]


def settle_all(facts: Iterable[CallFacts], parents: Mapping[SpanKey, str | None]) -> list[Settled]:
    """Settle and keep who won."""
    known = _distinct(facts)
    calls = {key: one for key, one in known.items() if not one.rollup}
    rows = {key: Settled(_not_billable(one, "rollup"), None) for key, one in known.items() if one.rollup}
    alone, others = _parted(calls)
    rows.update((key, Settled(_billable(one, own=one, alone=True), key)) for key, one in alone)
    if others:
        links = dict(parents) | {key: one.parent_span_id for key, one in known.items()}
        rows.update((key_of(row.call.own), row) for row in _settle_together(dict(sorted(others)), links))
    return [rows[key] for key in sorted(rows)]


def _settle_together(candidates: Mapping[SpanKey, CallFacts], links: Mapping[SpanKey, str | None]) -> Iterable[Settled]:
    """Settle spans of which some may tell one call; in order of their identity."""
    above = nearest_above(candidates, links)
    nested = Nesting().decide(candidates, above)
    members = {key: one for key, one in candidates.items() if key not in nested.wrappers and key not in nested.rollups}
    union = _Union(members)
    union.join(nested.pairs)
    union.join(pairs_by_id(members.values()))
    union.join(pairs_by_time(list(members.values()), union.groups(members)))
    for group in union.sets():
        yield from _rows([members[key] for key in group], above, nested)
    for key, one in candidates.items():
        if key not in members:
            reason = "wrapper" if key in nested.wrappers else "rollup"
            yield Settled(_not_billable(one, reason), None)


_Found = list[tuple[SpanKey, CallFacts]]


def _parted(calls: Mapping[SpanKey, CallFacts]) -> tuple[_Found, _Found]:
    """Part the spans that nothing can join to another one, which are nearly all, from those to look at closely.

    What joins spans is a common trace, a common response id, or their place and time.
    """
    traces = Counter((one.owner, one.trace_id) for one in calls.values())
    ids = Counter((one.owner, one.response_id) for one in calls.values() if one.response_id is not None)
    busy = places_to_watch(calls.values())
    alone: _Found = []
    others: _Found = []
    for key, one in calls.items():
        lone = (
            traces[one.owner, one.trace_id] == 1
            and (one.response_id is None or ids[one.owner, one.response_id] == 1)
            and (not busy or place_of(one) not in busy)
        )
        (alone if lone else others).append((key, one))
    return alone, others


def _distinct(facts: Iterable[CallFacts]) -> dict[SpanKey, CallFacts]:
    """Return one telling per span: the one that ends last, whatever the order."""
    known: dict[SpanKey, CallFacts] = {}
    for one in facts:
        key = key_of(one)
        other = known.setdefault(key, one)
        if other is not one and other != one and _age(one) > _age(other):
            known[key] = one
    return known


def _age(facts: CallFacts) -> tuple[int, int, str]:
    return facts.end_ns, facts.start_ns, repr(facts)


class _Union:
    """Disjoint sets of spans (union-find with path halving)."""

    def __init__(self, keys: Iterable[SpanKey]) -> None:
        self._parent = {key: key for key in keys}

    def _root(self, key: SpanKey) -> SpanKey:
        parent = self._parent
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(self, pairs: Iterable[tuple[SpanKey, SpanKey]]) -> None:
        for one, other in pairs:
            first, second = self._root(one), self._root(other)
            if first != second:
                self._parent[second] = first

    def sets(self) -> Collection[Sequence[SpanKey]]:
        found: defaultdict[SpanKey, list[SpanKey]] = defaultdict(list)
        for key in self._parent:
            found[self._root(key)].append(key)
        return found.values()

    def groups(self, facts: Mapping[SpanKey, CallFacts]) -> dict[SpanKey, Group]:
        """Return what is known together about the set each span is in."""
        found: dict[SpanKey, Group] = {}
        for keys in self.sets():
            group = Group()
            for key in keys:
                found[key] = group
                group.scopes.add(facts[key].scope_name)
                response_id = facts[key].response_id
                if response_id is not None:
                    group.ids.add(response_id)
        return found


def _rows(group: Sequence[CallFacts], above: Mapping[SpanKey, SpanKey], nested: Nested) -> Iterable[Settled]:
    keys = {key_of(one) for one in group}
    wrappers = {above[key] for key in keys if above.get(key) in keys}
    tellings = in_order((one for one in group if key_of(one) not in nested.attempts), wrappers)
    if not tellings:  # nothing but attempts, which happens only where ids cross: the first failure stands for all
        tellings = in_order(group, wrappers)[:1]
    winner = tellings[0]
    call = merged(tellings)
    shared = {response_id for response_id, times in Counter(one.response_id for one in group).items() if times > 1}
    for one in group:
        key = key_of(one)
        if one is winner:
            yield Settled(_billable(call, own=one, alone=len(group) == 1), key)
            continue
        reason = "nested_duplicate" if key in wrappers or above.get(key) in keys else "detached_duplicate"
        if one.response_id is not None and one.response_id in shared:
            reason = "same_response_id"
        if key in nested.attempts:
            reason = "failed_attempt"
        yield Settled(_not_billable(one, reason, response_id=call.response_id), key_of(winner))


def _billable(call: CallFacts, *, own: CallFacts, alone: bool) -> Call:
    unpriced: CostStatus = "unpriced_model" if call.usage_source != "missing" else "no_usage"
    reason = "only_span" if alone else "best_span"
    if unpriced == "no_usage":
        reason = "error_without_usage" if call.status == "error" else "usage_missing"
    return Call(facts=call, own=own, billable=True, billing_reason=reason, cost_status=unpriced)


def _not_billable(own: CallFacts, reason: str, response_id: str | None = None) -> Call:
    # A store finds the spans of a call by trace and by the response id its rows show.
    found = own.response_id is None and response_id is not None and reason != "failed_attempt"
    facts = replace(own, response_id=response_id) if found else own
    return Call(facts=facts, own=own, billable=False, billing_reason=reason, cost_status="not_billable")
