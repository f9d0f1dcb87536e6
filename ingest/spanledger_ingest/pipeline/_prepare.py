"""From decoded items to rows: all that can be done without knowing what is stored."""

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

import pyarrow as pa

from spanledger_analytics import rows, schema
from spanledger_analytics.records import CallFacts, Content, LogRecord, MetricPoint, Rejection, Score, Span
from spanledger_ingest import tenancy
from spanledger_ingest.errors import IngestError
from spanledger_ingest.journal import Received
from spanledger_ingest.otlp import Decoded, Item, Signal
from spanledger_ingest.pipeline._steps import Preparation

_log = logging.getLogger(__name__)

_In = TypeVar("_In", Span, LogRecord)
_Out = TypeVar("_Out")
_NO_SPANS: Final = schema.SPANS.arrow.empty_table()


class PreparedLog(NamedTuple):
    """A log record and what it said, as the content policy lets it be stored."""

    record: LogRecord
    contents: Sequence[Content]
    scores: Sequence[Score]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Items that are ready to be settled and stored, and the dead letters beside them."""

    spans: pa.Table = field(default_factory=lambda: _NO_SPANS)
    facts: Sequence[CallFacts | None] = ()
    """What each of the spans says of a call."""
    contents: Sequence[Sequence[Content]] = ()
    """What each of the spans says besides, as the content policy lets it be stored."""
    logs: Sequence[PreparedLog] = ()
    metrics: Sequence[MetricPoint] = ()
    rejections: Sequence[Rejection] = ()
    foreign: int = 0
    """Items that named another tenant than their credential does."""

    def __len__(self) -> int:
        return self.spans.num_rows + len(self.logs) + len(self.metrics)

    def part(self, low: int, high: int) -> "Prepared":
        """Return the items at these places, without dead letters."""
        spans = self.spans.num_rows
        logs = spans + len(self.logs)
        return Prepared(
            spans=self.spans.slice(low, max(0, min(high, spans) - low)),
            facts=self.facts[low:high],
            contents=self.contents[low:high],
            logs=self.logs[max(0, low - spans) : max(0, high - spans)],
            metrics=self.metrics[max(0, low - logs) : max(0, high - logs)],
        )

    def letters(self, error: BaseException) -> list[Rejection]:
        """Return dead letters for all items."""
        spans = zip(*(self.spans[name].to_pylist() for name in ("owner", "service_name", "start_ns")), strict=True)
        others: list[Item] = [*(log.record for log in self.logs), *self.metrics]
        return [
            *(_letter("traces", owner, service, start, error) for owner, service, start in spans),
            *(_letter_of(item, error) for item in others),
        ]


def joined(parts: Sequence[Prepared]) -> Prepared:
    """Return the items and dead letters of all parts, in their order."""
    return Prepared(
        spans=pa.concat_tables([part.spans for part in parts]).combine_chunks() if parts else _NO_SPANS,
        facts=list(chain.from_iterable(part.facts for part in parts)),
        contents=list(chain.from_iterable(part.contents for part in parts)),
        logs=list(chain.from_iterable(part.logs for part in parts)),
        metrics=list(chain.from_iterable(part.metrics for part in parts)),
        rejections=list(chain.from_iterable(part.rejections for part in parts)),
        foreign=sum(part.foreign for part in parts),
    )


def read_again(received: Received, decode: Callable[[Received], Decoded], steps: Preparation) -> Prepared:
    """Prepare what a journaled request holds; if it cannot be read any more, a dead letter."""
    return prepare(decode_again(received, decode), steps)


def decode_again(received: Received, decode: Callable[[Received], Decoded]) -> Decoded:
    """Decode a journaled request; if that fails, to a dead letter."""
    try:
        return decode(received)
    except IngestError as error:
        _log.error("a journaled request cannot be decoded any more: %s", error)
        return refused(received.signal, tenancy.label(received.owner), str(error), received.received_ns)
    except Exception as error:  # noqa: BLE001 - the worker loop: else it would fail again at every start
        _log.error("a journaled request cannot be decoded: %s", where(error))
        owner = tenancy.label(received.owner)
        return refused(received.signal, owner, f"decoding failed: {where(error)}", received.received_ns)


def refused(signal: Signal, owner: str, reason: str, received_ns: int) -> Decoded:
    """Return a request of which nothing can be taken."""
    rejection = Rejection(owner=owner, signal=signal, reason=reason, time_ns=received_ns)
    return Decoded(signal=signal, rejections=[rejection], rejected=1)


def prepare(decoded: Decoded, steps: Preparation) -> Prepared:
    """Normalise the items and write the rows of the spans. An item with which that fails becomes a dead letter."""
    letters = list(decoded.rejections)
    spans = _each(lambda span: _prepared_span(span, steps), decoded.spans, letters)
    table, spans = _table(spans, letters)
    return Prepared(
        spans=table,
        facts=[span.facts for span in spans],
        contents=[span.contents for span in spans],
        logs=_each(lambda log: _prepared_log(log, steps), decoded.logs, letters),
        metrics=decoded.metrics,
        rejections=letters,
        foreign=decoded.foreign,
    )


class _Span(NamedTuple):
    item: Span
    row: rows.Row
    facts: CallFacts | None
    contents: Sequence[Content]


def _prepared_span(span: Span, steps: Preparation) -> _Span:
    normal = steps.normalise(span)
    return _Span(span, rows.span_row(normal.span), normal.facts, _allowed(normal.contents, steps))


def _prepared_log(log: LogRecord, steps: Preparation) -> PreparedLog:
    normal = steps.normalise_log(log)
    return PreparedLog(normal.record, _allowed(normal.contents, steps), normal.scores)


def _allowed(contents: Sequence[Content], steps: Preparation) -> Sequence[Content]:
    return [kept for one in contents if (kept := steps.keep_content(one)) is not None] if contents else ()


def _each(step: Callable[[_In], _Out], items: Iterable[_In], letters: list[Rejection]) -> list[_Out]:
    done = []
    for item in items:
        try:
            done.append(step(item))
        except Exception as error:  # noqa: BLE001 - part of the worker loop: one item must not cost the others
            letters.append(_letter_of(item, error))
    return done


def _table(spans: list[_Span], letters: list[Rejection]) -> tuple[pa.Table, list[_Span]]:
    """Return the rows in columns, and the spans they are of."""
    try:
        return rows.table_of(schema.SPANS, [span.row for span in spans]), spans
    except Exception as error:  # noqa: BLE001 - as above: the item that does not fit is looked for
        if len(spans) == 1:
            letters.append(_letter_of(spans[0].item, error))
            return _NO_SPANS, []
        middle = len(spans) // 2
        (first, some), (second, others) = _table(spans[:middle], letters), _table(spans[middle:], letters)
        return pa.concat_tables([first, second]), some + others


def _letter_of(item: Item, error: BaseException) -> Rejection:
    service = item.resource.attributes.get("service.name")
    signal: Literal["logs", "metrics"] = "logs" if isinstance(item, LogRecord) else "metrics"
    return _letter(
        "traces" if isinstance(item, Span) else signal,
        item.owner,
        service if isinstance(service, str) else None,
        item.start_ns if isinstance(item, Span) else item.time_ns,
        error,
    )


def _letter(
    signal: Literal["traces", "logs", "metrics"], owner: str, service: str | None, time_ns: int, error: BaseException
) -> Rejection:
    """Return what is kept of an item that cannot be processed: never its values, which may be anything."""
    _log.warning("an item of %s cannot be processed: %s", signal, where(error))
    return Rejection(
        owner=owner,
        signal=signal,
        reason=f"processing failed: {type(error).__name__}",
        service_name=service,
        time_ns=time_ns,
    )


def where(error: BaseException) -> str:
    """Return the kind of an error and the line that raised it, without its text: that may quote what users wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place
