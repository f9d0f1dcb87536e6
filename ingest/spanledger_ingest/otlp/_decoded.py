"""What a decoded request is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from spanledger_analytics.records import LogRecord, MetricPoint, Rejection, Span

Signal: TypeAlias = Literal["traces", "logs", "metrics"]
Encoding: TypeAlias = Literal["protobuf", "json"]
Item: TypeAlias = Span | LogRecord | MetricPoint


@dataclass(slots=True, kw_only=True)
class Decoded:
    """The items of one request that can be taken, and why the others cannot.

    ``items`` are spans, log records or metric points as ``signal`` says. ``rejections`` holds the first ones of the
    ``rejected`` items. ``warning`` tells the client of something it probably did not mean, although nothing was
    rejected. ``foreign`` counts the items that name another tenant than their credential does.
    """

    signal: Signal
    items: list[Item] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """The rejected items by reason; reasons are texts of ours, so there are few."""
    warning: str = ""
    foreign: int = 0

    @property
    def count(self) -> int:
        """Items in the request, taken or not."""
        return len(self.items) + self.rejected

    @property
    def spans(self) -> Sequence[Span]:
        """The items of a traces request, else nothing."""
        return cast("list[Span]", self.items) if self.signal == "traces" else ()

    @property
    def logs(self) -> Sequence[LogRecord]:
        """The items of a logs request, else nothing."""
        return cast("list[LogRecord]", self.items) if self.signal == "logs" else ()

    @property
    def metrics(self) -> Sequence[MetricPoint]:
        """The items of a metrics request, else nothing."""
        return cast("list[MetricPoint]", self.items) if self.signal == "metrics" else ()
