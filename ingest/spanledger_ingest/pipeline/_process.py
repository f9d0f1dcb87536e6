"""From the items of many requests to one batch for the store."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from spanledger_analytics import rows
from spanledger_analytics.ports import Related, SpanKey, SpanStore
from spanledger_analytics.records import Batch, Call, CallFacts, Head
from spanledger_ingest.pipeline._prepare import Prepared
from spanledger_ingest.pipeline._steps import Steps

_Name = tuple[str, str, str]
"""A trace or a response: which of them, owner, id."""


@dataclass(slots=True, kw_only=True)
class Work:
    """Items and dead letters to store; everything before ``position`` is stored once they are."""

    items: Prepared = field(default_factory=Prepared)
    position: int | None = None

    def halves(self) -> tuple["Work", "Work"]:
        """Split the items in two; the position moves only with the second half."""
        middle = len(self.items) // 2
        first = replace(self.items.part(0, middle), rejections=self.items.rejections)
        return Work(items=first), Work(items=self.items.part(middle, len(self.items)), position=self.position)

    def dead(self, error: BaseException) -> "Work":
        """Return the work with its items replaced by dead letters."""
        letters = [*self.items.rejections, *self.items.letters(error)]
        return Work(items=Prepared(rejections=letters), position=self.position)


def process(work: Work, store: SpanStore, steps: Steps) -> Batch:
    """Settle and price the calls of the items.

    What goes wrong is raised as it is: the caller finds the item to blame.
    """
    items = work.items
    heads = rows.heads(items.spans)
    places = _newest(heads)
    spans = items.spans if len(places) == len(heads) else items.spans.take(places)
    facts = [found for place in places if (found := items.facts[place]) is not None]
    return Batch(
        spans=spans,
        calls=_settled([heads[place] for place in places], facts, store, steps),
        contents=[
            *chain.from_iterable(log.contents for log in items.logs),
            *chain.from_iterable(items.contents[place] for place in places),
        ],
        logs=[log.record for log in items.logs],
        metrics=items.metrics,
        scores=list(chain.from_iterable(log.scores for log in items.logs)),
        rejections=items.rejections,
        journal_position=work.position,
    )


def _key(found: Head | CallFacts) -> SpanKey:
    return found.owner, found.trace_id, found.span_id


def _newest(spans: Sequence[Head]) -> list[int]:
    """Return the place of one span per identity, the one that ends last: retrying clients repeat themselves."""
    newest: dict[SpanKey, int] = {}
    for place, span in enumerate(spans):
        known = newest.setdefault(_key(span), place)
        if known != place and span.end_ns >= spans[known].end_ns:
            newest[_key(span)] = place
    return list(newest.values())


def _settled(spans: Sequence[Head], facts: Sequence[CallFacts], store: SpanStore, steps: Steps) -> list[Call]:
    """Settle the calls that these spans belong to, whenever the other spans of the same calls arrived."""
    keys = steps.related_keys(spans, facts) if spans else None
    related = Related((), {}) if keys is None else store.related(keys)
    known = {_key(found): found for found in related.facts}
    news: list[CallFacts] = []
    for found in facts:
        older = known.get(_key(found))
        if older is None or found.end_ns >= older.end_ns:
            known[_key(found)] = found
        if older is None or found != older:
            news.append(found)
    if not known:
        return []
    moved = [span for span in spans if related.parents.get(_key(span), "") != span.parent_span_id]
    parents = dict(related.parents)
    parents.update((_key(span), span.parent_span_id) for span in spans)
    concerned = _concerned([*moved, *news], known)
    # What two spans have in common may be their time alone, and the other one is not at hand when a span comes again:
    # it must not be billed for that.
    return [
        steps.price(call)
        for call in steps.settle(known.values(), parents)
        if not call.billable or _key(call.own) in concerned
    ]


def _concerned(news: Iterable[Head | CallFacts], known: Mapping[SpanKey, CallFacts]) -> set[SpanKey]:
    """Return the calls that traces and response ids connect with what is new."""
    traces = {(found.owner, found.trace_id) for found in news}
    if all(key[:2] in traces for key in known):
        return set(known)  # nearly always
    by_name: defaultdict[_Name, list[CallFacts]] = defaultdict(list)
    for facts in known.values():
        for name in _names(facts):
            by_name[name].append(facts)
    open_names = [("trace", *trace) for trace in traces]
    seen = set(open_names)
    concerned: set[SpanKey] = set()
    while open_names:
        for facts in by_name[open_names.pop()]:
            concerned.add(_key(facts))
            more = [name for name in _names(facts) if name not in seen]
            seen.update(more)
            open_names.extend(more)
    return concerned


def _names(facts: CallFacts) -> list[_Name]:
    names = [("trace", facts.owner, facts.trace_id)]
    if facts.response_id is not None:
        names.append(("response", facts.owner, facts.response_id))
    return names
