"""The steps between a decoded item and a stored row, as values that the composition root injects."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from spanledger_analytics.ports import CallKeys, SpanKey
from spanledger_analytics.records import Call, CallFacts, Content, Head, LogRecord, Score, Span


class NormalisedSpan(Protocol):
    """What normalisation makes of a span."""

    @property
    def span(self) -> Span:
        """The span without the content in its attributes and events."""

    @property
    def facts(self) -> CallFacts | None:
        """What it says of a model call, if anything."""

    @property
    def contents(self) -> Sequence[Content]:
        """Its prompt and completion text, before the content policy."""


class NormalisedLog(Protocol):
    """What normalisation makes of a log record."""

    @property
    def record(self) -> LogRecord:
        """The record without content."""

    @property
    def contents(self) -> Sequence[Content]:
        """Its prompt and completion text, before the content policy."""

    @property
    def scores(self) -> Sequence[Score]:
        """Evaluations that the record reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is done to each item by itself: functions of their arguments, which any process may call."""

    normalise: Callable[[Span], NormalisedSpan]
    normalise_log: Callable[[LogRecord], NormalisedLog]
    keep_content: Callable[[Content], Content | None]
    """The content policy: the text to store, changed or not, or ``None``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Preparation):
    """What is done to items on their way to the store: functions of their arguments, but for ``related_keys``."""

    related_keys: Callable[[Sequence[Head], Sequence[CallFacts]], CallKeys | None]
    """What to ask the store for before the calls of these spans are settled; ``None`` for nothing. May remember."""
    settle: Callable[[Iterable[CallFacts], Mapping[SpanKey, str | None]], Sequence[Call]]
    price: Callable[[Call], Call]
