"""From the items of many requests to one batch for the store."""

import logging
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from spanledger_analytics.ports import Related, SpanKey, SpanStore
from spanledger_analytics.records import Batch, Call, CallFacts, Content, LogRecord, MetricPoint, Rejection, Score, Span
from spanledger_ingest.otlp import Item
from spanledger_ingest.pipeline._steps import Steps

_log = logging.getLogger(__name__)

_Name = tuple[str, str, str]
"""A trace or a response: which of them, owner, id."""
_In = TypeVar("_In", Span, LogRecord)
_Out = TypeVar("_Out")


@dataclass(slots=True, kw_only=True)
class Work:
    """Items and dead letters to store; everything before ``position`` is stored once they are."""

    items: Sequence[Item] = ()
    rejections: list[Rejection] = field(default_factory=list)
    position: int | None = None

    def halves(self) -> tuple["Work", "Work"]:
        """Split the items in two; the position moves only with the second half."""
        middle = len(self.items) // 2
        first = Work(items=self.items[:middle], rejections=self.rejections)
        return first, Work(items=self.items[middle:], position=self.position)


def process(work: Work, store: SpanStore, steps: Steps) -> Batch:
    """Normalise, settle and price the items.

    An item that cannot be normalised becomes a dead letter. What goes wrong later is raised as it is: the caller finds
    the item to blame.
    """
    rejections = list(work.rejections)
    contents: list[Content] = []
    spans = _newest(item for item in work.items if isinstance(item, Span))
    logs = [item for item in work.items if isinstance(item, LogRecord)]
    normal_spans = _each(steps.normalise, spans, rejections)
    normal_logs = _each(steps.normalise_log, logs, rejections)
    scores: list[Score] = []
    for log in normal_logs:
        contents.extend(log.contents)
        scores.extend(log.scores)
    for span in normal_spans:
        contents.extend(span.contents)
    stored_spans = [normal.span for normal in normal_spans]
    facts = [normal.facts for normal in normal_spans if normal.facts is not None]
    return Batch(
        spans=stored_spans,
        calls=_settled(stored_spans, facts, store, steps),
        contents=[kept for content in contents if (kept := steps.keep_content(content)) is not None],
        logs=[normal.record for normal in normal_logs],
        metrics=[item for item in work.items if isinstance(item, MetricPoint)],
        scores=scores,
        rejections=rejections,
        journal_position=work.position,
    )


def _key(found: Span | CallFacts) -> SpanKey:
    return found.owner, found.trace_id, found.span_id


def _newest(spans: Iterable[Span]) -> Sequence[Span]:
    """Return one span per identity, the one that ends last: retrying clients repeat themselves."""
    newest: dict[SpanKey, Span] = {}
    for span in spans:
        key = _key(span)
        known = newest.get(key)
        if known is None or span.end_ns >= known.end_ns:
            newest[key] = span
    return list(newest.values())


def _each(step: Callable[[_In], _Out], items: Iterable[_In], rejections: list[Rejection]) -> list[_Out]:
    done = []
    for item in items:
        try:
            done.append(step(item))
        except Exception as error:  # noqa: BLE001 - part of the worker loop: one item must not cost the others
            _log.warning("cannot normalise a %s: %s", type(item).__name__, where(error))
            rejections.append(dead_letter(item, error))
    return done


def _settled(spans: Sequence[Span], facts: Sequence[CallFacts], store: SpanStore, steps: Steps) -> list[Call]:
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


def _concerned(news: Iterable[Span | CallFacts], known: Mapping[SpanKey, CallFacts]) -> set[SpanKey]:
    """Return the calls that traces and response ids connect with what is new."""
    by_name: defaultdict[_Name, list[CallFacts]] = defaultdict(list)
    for facts in known.values():
        for name in _names(facts):
            by_name[name].append(facts)
    open_names = [("trace", found.owner, found.trace_id) for found in news]
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


def where(error: BaseException) -> str:
    """Return the kind of an error and the line that raised it, without its text: that may quote what users wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place


def dead_letter(item: Item, error: BaseException) -> Rejection:
    """Return what is kept of an item that cannot be processed: never its values, which may be anything."""
    service = item.resource.attributes.get("service.name")
    return Rejection(
        owner=item.owner,
        signal=_signal(item),
        reason=f"processing failed: {type(error).__name__}",
        service_name=service if isinstance(service, str) else None,
        time_ns=item.start_ns if isinstance(item, Span) else item.time_ns,
    )


def _signal(item: Item) -> Literal["traces", "logs", "metrics"]:
    if isinstance(item, Span):
        return "traces"
    return "logs" if isinstance(item, LogRecord) else "metrics"


def with_dead_letter(work: Work, error: BaseException) -> Work:
    """Return the work with its items, none or one, replaced by dead letters."""
    return replace(work, items=(), rejections=[*work.rejections, *(dead_letter(item, error) for item in work.items)])
