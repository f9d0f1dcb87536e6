"""From raw fields to valid records: the half of decoding that JSON and protobuf share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from spanledger_analytics.records import (
    Attributes,
    AttributeValue,
    Event,
    Link,
    LogRecord,
    MetricPoint,
    Rejection,
    Resource,
    Scope,
    Span,
)
from spanledger_ingest.errors import TooLargeError
from spanledger_ingest.otlp._clean import MAX_INT64, Rejected, clean_text, kind_of, status_of, usable_time
from spanledger_ingest.otlp._decoded import Decoded, Signal
from spanledger_ingest.otlp._limits import Limits

MetricKind: TypeAlias = Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
Temporality: TypeAlias = Literal["unspecified", "delta", "cumulative"]
RawEvent: TypeAlias = tuple[str, int, Attributes]
RawLink: TypeAlias = tuple[str, str, Attributes]

_TEMPORALITIES: Final[tuple[Temporality, ...]] = ("unspecified", "delta", "cumulative")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_NO_RECORDED_VALUE: Final = 1
_NOTHING: Final[Attributes] = {}


class Builder:
    """Collects the items of one request under its limits.

    Ids arrive as lower-case hex of any length, times as integers of any size, texts uncleaned, attributes clean.
    """

    def __init__(self, signal: Signal, owner: str, limits: Limits, received_ns: int) -> None:
        self.limits = limits
        self.decoded = Decoded(signal=signal)
        self._owner = owner
        self._received_ns = usable_time(received_ns)
        self._items = self.decoded.items
        self._admitted = 0
        self._groups = 0
        self._name_chars = limits.max_key_chars

    def admit(self, more: int = 1) -> None:
        """Count ``more`` items before anything is made of them.

        Raises:
            TooLargeError: the request holds more than allowed.
        """
        self._admitted += more
        if self._admitted > self.limits.max_items:
            raise TooLargeError(f"more than {self.limits.max_items} items in one request: send smaller batches")

    def admit_group(self) -> None:
        """Count a group of items (a resource or a scope) in the same way: empty ones cost time as well.

        Raises:
            TooLargeError: the request holds more than allowed.
        """
        self._groups += 1
        if self._groups > self.limits.max_items:
            raise TooLargeError(f"more than {self.limits.max_items} groups in one request: send smaller batches")

    def reject(self, reason: str, resource: Resource, size: int, count: int = 1) -> None:
        """Note that ``count`` items are not taken, and why. ``size`` is in bytes, 0 if unknown."""
        decoded = self.decoded
        decoded.rejected += count
        decoded.reasons[reason] += count
        if len(decoded.rejections) < self.limits.max_kept_rejections:
            service = resource.attributes.get("service.name")
            decoded.rejections.append(
                Rejection(
                    owner=self._owner,
                    signal=decoded.signal,
                    reason=reason,
                    service_name=service if isinstance(service, str) else None,
                    size=size,
                    time_ns=self._received_ns,
                )
            )

    def _short(self, text: str) -> str:
        return clean_text(text, self._name_chars) if len(text) > self._name_chars or "\0" in text else text

    def scope(self, name: str, version: str, attributes: Attributes, schema_url: str) -> Scope:
        """Return the scope with clean texts."""
        return Scope(self._short(name), self._short(version), attributes, self._short(schema_url))

    def resource(self, attributes: Attributes, schema_url: str) -> Resource:
        """Return the resource with clean texts."""
        return Resource(attributes, self._short(schema_url))

    def span(  # noqa: PLR0913 - the fields of an OTLP span, by name
        self,
        *,
        trace_id: str,
        span_id: str,
        parent_span_id: str,
        trace_state: str,
        flags: int,
        name: str,
        kind: int,
        start_ns: int,
        end_ns: int,
        status: int,
        status_message: str,
        attributes: tuple[Attributes, int],
        events: tuple[Sequence[RawEvent], int],
        links: tuple[Sequence[RawLink], int],
        resource: Resource,
        scope: Scope,
    ) -> None:
        """Take a span. A missing start or end is the other one; an end before the start is the start.

        Raises:
            Rejected: it has no identity or no time.
        """
        if len(trace_id) != 32 or trace_id == _NO_TRACE:
            raise Rejected("trace_id must be 16 bytes and not zero")
        if len(span_id) != 16 or span_id == _NO_SPAN:
            raise Rejected("span_id must be 8 bytes and not zero")
        start_ns, end_ns = _period(start_ns, end_ns)
        kept_links, lost_links = _links(*links) if links[0] else ((), links[1])
        self._items.append(
            Span(
                owner=self._owner,
                trace_id=trace_id,
                span_id=span_id,
                parent_span_id=_optional_id(parent_span_id, 16),
                trace_state=self._short(trace_state),
                flags=flags,
                name=self._short(name),
                kind=kind_of(kind),
                start_ns=start_ns,
                end_ns=end_ns,
                status=status_of(status),
                status_message=self._long(status_message),
                attributes=attributes[0],
                events=self._events(events[0], start_ns) if events[0] else (),
                links=kept_links,
                dropped_attributes=attributes[1],
                dropped_events=events[1],
                dropped_links=lost_links,
                resource=resource,
                scope=scope,
            )
        )

    def _long(self, text: str) -> str:
        longest = self.limits.max_value_chars
        return clean_text(text, longest) if len(text) > longest or "\0" in text else text

    def _events(self, events: Iterable[RawEvent], start_ns: int) -> tuple[Event, ...]:
        return tuple(Event(self._short(name), usable_time(at) or start_ns, found) for name, at, found in events)

    def log(  # noqa: PLR0913 - the fields of an OTLP log record, by name
        self,
        *,
        time_ns: int,
        observed_ns: int,
        trace_id: str,
        span_id: str,
        event_name: str,
        severity: int,
        severity_text: str,
        body: AttributeValue,
        attributes: Attributes,
        resource: Resource,
        scope: Scope,
    ) -> None:
        """Take a log record. Its time is, in this order: its own, when it was observed, when it was received.

        Raises:
            Rejected: there is none of these times.
        """
        observed_ns = usable_time(observed_ns)
        time_ns = usable_time(time_ns) or observed_ns or self._received_ns
        if not time_ns:
            raise Rejected("log record has no time")
        self._items.append(
            LogRecord(
                owner=self._owner,
                time_ns=time_ns,
                observed_ns=observed_ns,
                trace_id=_optional_id(trace_id, 32),
                span_id=_optional_id(span_id, 16),
                event_name=self._short(event_name),
                severity=severity if 0 <= severity <= 24 else 0,
                severity_text=self._short(severity_text),
                body=body,
                attributes=attributes,
                resource=resource,
                scope=scope,
            )
        )

    def point(  # noqa: PLR0913 - the fields of an OTLP metric and of its point, by name
        self,
        *,
        name: str,
        unit: str,
        kind: MetricKind,
        temporality: int,
        monotonic: bool,
        start_ns: int,
        time_ns: int,
        flags: int,
        value: float | None,
        count: int | None,
        total: float | None,
        data: Mapping[str, Any],
        attributes: Attributes,
        resource: Resource,
        scope: Scope,
    ) -> None:
        """Take a data point; one that says it has no recorded value keeps none.

        Raises:
            Rejected: it has no name or no time.
        """
        if not name:
            raise Rejected("metric has no name")
        time_ns = usable_time(time_ns) or self._received_ns
        if not time_ns:
            raise Rejected("data point has no time")
        empty = bool(flags & _NO_RECORDED_VALUE)
        self._items.append(
            MetricPoint(
                owner=self._owner,
                name=self._short(name),
                unit=self._short(unit),
                kind=kind,
                temporality=_TEMPORALITIES[temporality] if 0 <= temporality < 3 else "unspecified",
                monotonic=monotonic,
                start_ns=usable_time(start_ns),
                time_ns=time_ns,
                value=None if empty else value,
                count=None if empty or count is None else min(count, MAX_INT64),
                total=None if empty else total,
                data=_NOTHING if empty else data,
                attributes=attributes,
                resource=resource,
                scope=scope,
            )
        )


def _period(start_ns: int, end_ns: int) -> tuple[int, int]:
    start, end = usable_time(start_ns), usable_time(end_ns)
    if not start and not end:
        raise Rejected("span has neither a start nor an end between 1990 and 2262")
    start = start or end
    return start, max(start, end)


def _optional_id(hex_id: str, digits: int) -> str | None:
    return hex_id if len(hex_id) == digits and hex_id.strip("0") else None


def _links(links: Iterable[RawLink], dropped: int) -> tuple[tuple[Link, ...], int]:
    kept = []
    for trace_id, span_id, attributes in links:
        if _optional_id(trace_id, 32) and _optional_id(span_id, 16):
            kept.append(Link(trace_id, span_id, attributes))
        else:
            dropped += 1
    return tuple(kept), dropped
