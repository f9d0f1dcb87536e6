"""Nested spans: which of them describe one call, which wrap others, and which sum others up.

The innermost spans are decided first. Each decided call travels up as a :class:`Unit` until something encloses it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import CallFacts, Usage
from spanledger_ingest.normalise import is_framework
from spanledger_ingest.settle._same import answered, has_usage, same_kind, same_model, same_usage
from spanledger_ingest.settle._tree import innermost_first, key_of

_MAX_LEVELS = 64
"""How many enclosing model calls see a call inside them; deeper towers are hostile, and would cost quadratic time."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One call as seen from above."""

    head: CallFacts
    """Its outermost span."""
    parts: tuple["Unit", ...]
    """What the head was found to be one call with."""
    answered: bool
    """Whether any of its spans saw an answer."""
    usage: Usage | None
    """The provider's counts, of the outermost span that has them."""
    ids: frozenset[str]
    models: frozenset[tuple[str | None, str | None]]
    """Asked and answering model, as its spans name them."""

    @classmethod
    def of(cls, head: CallFacts, parts: Iterable["Unit"] = ()) -> "Unit":
        """Make one call of a span and what lies inside it."""
        parts = tuple(parts)
        usage = head.usage if has_usage(head) else next((part.usage for part in parts if part.usage), None)
        own_id = () if head.response_id is None else (head.response_id,)
        return cls(
            head,
            parts,
            answered(head) or any(part.answered for part in parts),
            usage,
            frozenset(own_id).union(*(part.ids for part in parts)),
            frozenset([(head.request_model, head.response_model)]).union(*(part.models for part in parts)),
        )

    def is_told_by(self, facts: CallFacts) -> bool:
        """Return whether these facts carry the response id of this call."""
        return facts.response_id is not None and facts.response_id in self.ids

    def fits(self, facts: CallFacts) -> bool:
        """Return whether the models agree."""
        return all(same_model(names, (facts.request_model, facts.response_model)) for names in self.models)

    def spans(self) -> Iterable[SpanKey]:
        """Return all spans of the call."""
        waiting = [self]
        while waiting:
            unit = waiting.pop()
            yield key_of(unit.head)
            waiting.extend(unit.parts)


@dataclass(frozen=True, slots=True)
class Nested:
    """What nesting says: pairs that are one call, spans that are no call of their own, and failed attempts."""

    pairs: Sequence[tuple[SpanKey, SpanKey]]
    wrappers: frozenset[SpanKey]
    rollups: frozenset[SpanKey]
    attempts: frozenset[SpanKey]


class Nesting:
    """Decides one forest of candidates."""

    def __init__(self) -> None:
        self._pairs: list[tuple[SpanKey, SpanKey]] = []
        self._wrappers: set[SpanKey] = set()
        self._rollups: set[SpanKey] = set()
        self._attempts: set[SpanKey] = set()

    def decide(self, candidates: Mapping[SpanKey, CallFacts], above: Mapping[SpanKey, SpanKey]) -> Nested:
        """Return the decision over all of them."""
        inside: defaultdict[SpanKey, list[Unit]] = defaultdict(list)
        order = innermost_first(candidates, above)
        depths: dict[SpanKey, int] = {}
        for key in reversed(order):
            depths[key] = depths[above[key]] + 1 if key in above else 0
        for key in order:
            seen = [unit for unit in inside.pop(key, []) if depths[key_of(unit.head)] - depths[key] <= _MAX_LEVELS]
            units = self._enclose(candidates[key], seen)
            if key in above:
                inside[above[key]].extend(units)
        return Nested(self._pairs, frozenset(self._wrappers), frozenset(self._rollups), frozenset(self._attempts))

    def _enclose(self, outer: CallFacts, inside: list[Unit]) -> list[Unit]:
        """Return the calls visible above ``outer``, given those visible inside it."""
        inside.sort(key=_order)
        related = [unit for unit in inside if same_kind(unit.head, outer)]
        others = [unit for unit in inside if not same_kind(unit.head, outer)]
        if not related:
            return [Unit.of(outer), *others]
        told = [unit for unit in related if unit.is_told_by(outer)]
        if told:
            rest = [unit for unit in related if not unit.is_told_by(outer)]
            return [self._join(outer, told, rest), *(unit for unit in rest if unit.answered), *others]
        peers = [unit for unit in related if unit.answered]
        failures = [unit for unit in related if not unit.answered]
        return [*self._compare(outer, peers, failures), *others]

    def _compare(self, outer: CallFacts, peers: list[Unit], failures: list[Unit]) -> list[Unit]:
        if not peers:
            # A success around failures was retried inside. A failure around failures is the last of them.
            if answered(outer):
                return [self._join(outer, [], failures)]
            return [self._join(outer, failures[-1:], failures[:-1])]
        if has_usage(outer):
            return self._match(outer, peers, failures)
        if len(peers) == 1 and peers[0].fits(outer):
            return [self._join(outer, peers, failures)]
        self._wrappers.add(key_of(outer))
        return [*peers, *failures]

    def _match(self, outer: CallFacts, peers: list[Unit], failures: list[Unit]) -> list[Unit]:
        equal = [unit for unit in peers if unit.usage and same_usage(unit.usage, outer.usage) and unit.fits(outer)]
        if not equal and len(peers) == 1 and peers[0].fits(outer) and _retold(outer, peers[0]):
            equal = peers
        if equal:
            # Of several alike, an outer span repeats what it heard last.
            rest = [unit for unit in peers if unit is not equal[-1]]
            return [self._join(outer, equal[-1:], failures), *rest]
        if len(peers) > 1 and _sum_up(peers, outer.usage):
            self._rollups.add(key_of(outer))
            return [*peers, *failures]
        return [Unit.of(outer), *peers, *failures]

    def _join(self, outer: CallFacts, same: Iterable[Unit], failures: Iterable[Unit]) -> Unit:
        """Make ``outer`` and some units one call, and the unanswered units its failed attempts."""
        unit = Unit.of(outer, same)
        self._pairs.extend((key_of(outer), key_of(part.head)) for part in unit.parts)
        for failure in failures:
            if not failure.answered:
                self._attempts.update(failure.spans())
                self._pairs.append((key_of(outer), key_of(failure.head)))
        return unit


def _retold(outer: CallFacts, unit: Unit) -> bool:
    """Return whether ``outer`` can only be telling of this call, although the counts differ.

    A framework counts what it heard from the client inside it, and an instrumentation of an SDK wraps the SDK's own
    span.
    """
    if unit.usage is None:
        return True
    if outer.response_id is not None and unit.ids:
        return False
    client_inside = not is_framework(unit.head.scope_name)
    return client_inside and (is_framework(outer.scope_name) or unit.head.dialect == "native_sdk")


def _order(unit: Unit) -> tuple[int, SpanKey]:
    return unit.head.start_ns, key_of(unit.head)


def _sum_up(units: Sequence[Unit], total: Usage) -> bool:
    return same_usage(Usage(input=_sum(units, lambda u: u.input), output=_sum(units, lambda u: u.output)), total)


def _sum(units: Iterable[Unit], part: Callable[[Usage], int | None]) -> int | None:
    known = [count for unit in units if unit.usage is not None and (count := part(unit.usage)) is not None]
    return sum(known) if known else None
