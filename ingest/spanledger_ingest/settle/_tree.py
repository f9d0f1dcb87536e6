"""Who is inside whom: the nearest candidate above each candidate, through spans that are no candidates."""

from collections.abc import Iterable, Mapping, Sequence

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import CallFacts


def key_of(facts: CallFacts) -> SpanKey:
    """Return the identity of the span that states the facts."""
    return facts.owner, facts.trace_id, facts.span_id


def nearest_above(
    candidates: Mapping[SpanKey, CallFacts], parents: Mapping[SpanKey, str | None]
) -> dict[SpanKey, SpanKey]:
    """Return for each candidate the nearest candidate among its ancestors, if there is one.

    Missing parents end the walk; so does a cycle, whose members then have nobody above them.
    """
    found: dict[SpanKey, SpanKey | None] = {}
    for key in candidates:
        _walk(key, candidates, parents, found)
    above = {key: top for key in candidates if (top := found[key]) is not None}
    for key in _in_cycles(above):
        del above[key]
    return above


def _walk(
    start: SpanKey,
    candidates: Mapping[SpanKey, CallFacts],
    parents: Mapping[SpanKey, str | None],
    found: dict[SpanKey, SpanKey | None],
) -> None:
    path: list[SpanKey] = []
    seen: set[SpanKey] = set()
    key, answer = start, None
    while key not in seen:
        if key in found:
            answer = found[key]
            break
        seen.add(key)
        path.append(key)
        own = candidates.get(key)
        parent = own.parent_span_id if own is not None else parents.get(key)
        if not parent:
            break
        key = (key[0], key[1], parent)
        if key in candidates:
            answer = key
            break
    for passed in path:
        found[passed] = answer


def _in_cycles(above: Mapping[SpanKey, SpanKey]) -> set[SpanKey]:
    seen_by: dict[SpanKey, SpanKey] = {}
    cyclic: set[SpanKey] = set()
    for start in above:
        here: SpanKey | None = start
        while here is not None and here not in seen_by:
            seen_by[here] = start
            here = above.get(here)
        if here is not None and seen_by[here] == start:
            cyclic.update(_cycle_from(here, above))
    return cyclic


def _cycle_from(start: SpanKey, above: Mapping[SpanKey, SpanKey]) -> Iterable[SpanKey]:
    yield start
    here = above[start]
    while here != start:
        yield here
        here = above[here]


def innermost_first(candidates: Mapping[SpanKey, CallFacts], above: Mapping[SpanKey, SpanKey]) -> Sequence[SpanKey]:
    """Return the candidates so that everybody comes after all that is inside it."""
    waiting = dict.fromkeys(candidates, 0)
    for enclosing in above.values():
        waiting[enclosing] += 1
    ready = sorted(key for key, inside in waiting.items() if not inside)
    order: list[SpanKey] = []
    while ready:
        key = ready.pop()
        order.append(key)
        outer = above.get(key)
        if outer is not None:
            waiting[outer] -= 1
            if not waiting[outer]:
                ready.append(outer)
    return order
