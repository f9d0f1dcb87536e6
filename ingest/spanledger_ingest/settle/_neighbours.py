"""What the last batches told, for halves of one call that arrive in two of them.

A store finds the spans of a call by trace and by response id. Halves that only time joins share neither, and mostly
they arrive together. Where they do not, the second half finds the trace of the first in this memory, and so does a span
of the first half's trace that arrives later still. It lasts for the next few thousand candidates of one process, which
is longer than exporters keep a span; it is empty after a restart.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from spanledger_analytics.ports import CallKeys
from spanledger_analytics.records import CallFacts, Head, Span
from spanledger_ingest.settle._beside import first_word_ns, may_be_inner, may_be_one, may_be_outer
from spanledger_ingest.settle._keys import linking_traces, related_keys

_Trace = tuple[str, str]
_Moment = tuple[str, str | None, int]
"""Owner, service and tenth of a second."""

_MOMENT_NS = 100_000_000
_PER_MOMENT = 64
_CALLS = 16_384
_TRACES = 16_384
_PARTNERS = 32
_COMPANY = 512
"""How many traces are looked up for one batch on suspicion."""


class Neighbours:
    """Names what to ask the store for, like :func:`related_keys`, and remembers. For one writer thread."""

    def __init__(self) -> None:
        self._inners = _Memory()
        self._outers = _Memory()
        self._partners: OrderedDict[_Trace, set[_Trace]] = OrderedDict()

    def related_keys(self, spans: Sequence[Span | Head], facts: Sequence[CallFacts]) -> CallKeys | None:
        """Return the keys of stored facts that may belong to the same calls; ``None`` if there can be none."""
        for one in facts:
            self._remember(one)
        keys = related_keys(spans, facts)
        if keys is None or not self._partners:
            return keys
        beside = self._beside({*linking_traces(spans), *((one.owner, one.trace_id) for one in facts)})
        return replace(keys, trace_ids={*keys.trace_ids, *beside}) if beside else keys

    def _beside(self, traces: set[_Trace]) -> set[_Trace]:
        """Return the traces of possible other halves, and of theirs: who takes whom is decided over all of them."""
        found: set[_Trace] = set()
        waiting = list(traces)
        while waiting and len(found) < _COMPANY:
            new = self._partners.get(waiting.pop(), set()) - found
            found |= new
            waiting.extend(new)
        return found

    def _remember(self, one: CallFacts) -> None:
        if may_be_inner(one):
            for other in self._outers.near(one):
                if may_be_one(one, other):
                    self._note(one, other)
            self._inners.keep(one)
        if may_be_outer(one):
            for other in self._inners.near(one):
                if may_be_one(other, one):
                    self._note(one, other)
            self._outers.keep(one)

    def _note(self, one: CallFacts, other: CallFacts) -> None:
        first, second = (one.owner, one.trace_id), (other.owner, other.trace_id)
        for trace, partner in ((first, second), (second, first)):
            partners = self._partners.setdefault(trace, set())
            if len(partners) < _PARTNERS:
                partners.add(partner)
        while len(self._partners) > _TRACES:
            self._partners.popitem(last=False)


def _moments(facts: CallFacts) -> set[int]:
    """Return the moments in which the call ended and began to answer."""
    heard_ns = first_word_ns(facts)
    return {moment // _MOMENT_NS for moment in (facts.end_ns, heard_ns) if moment is not None}


class _Memory:
    """Calls by service and moment, the oldest moments forgotten first."""

    def __init__(self) -> None:
        self._calls: OrderedDict[_Moment, list[CallFacts]] = OrderedDict()
        self._size = 0

    def near(self, facts: CallFacts) -> Iterable[CallFacts]:
        """Yield what ended, or began to answer, in the same moment or the next to it; some twice."""
        if not self._calls:
            return
        for moment in {moment + step for moment in _moments(facts) for step in (-1, 0, 1)}:
            yield from self._calls.get((facts.owner, facts.service_name, moment), ())

    def keep(self, facts: CallFacts) -> None:
        """Remember a call."""
        for moment in _moments(facts):
            kept = self._calls.setdefault((facts.owner, facts.service_name, moment), [])
            if len(kept) < _PER_MOMENT:
                kept.append(facts)
                self._size += 1
        while self._size > _CALLS:
            _, forgotten = self._calls.popitem(last=False)
            self._size -= len(forgotten)
