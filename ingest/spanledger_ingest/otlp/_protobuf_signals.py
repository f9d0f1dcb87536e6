"""OTLP/protobuf: spans, log records and metrics."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as LogMessage
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, Metric, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from spanledger_analytics.records import Resource, Scope
from spanledger_ingest.otlp._build import Builder, MetricKind, RawEvent, RawLink
from spanledger_ingest.otlp._clean import Rejected, finite
from spanledger_ingest.otlp._decoded import Signal
from spanledger_ingest.otlp._protobuf import Reader
from spanledger_ingest.otlp._wire import fields

_MAX_EXEMPLARS: Final = 16


def decode_protobuf(signal: Signal, body: bytes, builder: Builder) -> None:
    """Read a request into the builder.

    Raises:
        BadDataError: the body is not a protobuf message at all.
        TooLargeError: it holds more items than allowed.
    """
    reader = Reader(builder)
    take: Callable[[memoryview, Resource, Scope], None] = {
        "traces": _Spans(reader).take,
        "logs": _Logs(reader).take,
        "metrics": _Metrics(reader).take,
    }[signal]
    reader.each(body, take)


class _Spans:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._build = reader.build

    def take(self, payload: memoryview, resource: Resource, scope: Scope) -> None:
        span = self._reader.parse(payload, SpanMessage, "Span")
        attributes, dropped = self._reader.attributes(span.attributes)
        status = span.status
        self._build.span(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_span_id=span.parent_span_id.hex(),
            trace_state=span.trace_state,
            flags=span.flags,
            name=span.name,
            kind=span.kind,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            status=status.code,
            status_message=status.message,
            attributes=(attributes, dropped + span.dropped_attributes_count),
            events=self._events(span.events, span.dropped_events_count),
            links=self._links(span.links, span.dropped_links_count),
            resource=resource,
            scope=scope,
        )

    def _events(self, events: Sequence[SpanMessage.Event], dropped: int) -> tuple[Sequence[RawEvent], int]:
        if not events:
            return (), dropped
        most = self._build.limits.max_events
        read = self._reader.attributes
        few = [(event.name, event.time_unix_nano, read(event.attributes)[0]) for event in events[:most]]
        return few, dropped + len(events) - len(few)

    def _links(self, links: Sequence[SpanMessage.Link], dropped: int) -> tuple[Sequence[RawLink], int]:
        if not links:
            return (), dropped
        most = self._build.limits.max_links
        read = self._reader.attributes
        few = [(link.trace_id.hex(), link.span_id.hex(), read(link.attributes)[0]) for link in links[:most]]
        return few, dropped + len(links) - len(few)


class _Logs:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def take(self, payload: memoryview, resource: Resource, scope: Scope) -> None:
        record = self._reader.parse(payload, LogMessage, "LogRecord")
        self._reader.build.log(
            time_ns=record.time_unix_nano,
            observed_ns=record.observed_time_unix_nano,
            trace_id=record.trace_id.hex(),
            span_id=record.span_id.hex(),
            event_name=record.event_name,
            severity=record.severity_number,
            severity_text=record.severity_text,
            body=self._reader.value(record.body, self._reader.build.limits.max_depth),
            attributes=self._reader.attributes(record.attributes)[0],
            resource=resource,
            scope=scope,
        )


_KINDS: Final[Mapping[str, MetricKind]] = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponential_histogram": "exponential_histogram",
    "summary": "summary",
}
_DATA_FIELDS: Final = frozenset({5, 7, 9, 10, 11})


class _Metrics:
    """A metric is cut no further: if it is broken, all its points are rejected, and counted from the wire."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._build = reader.build

    def take(self, payload: memoryview, resource: Resource, scope: Scope) -> None:
        points = self._count_points(payload)
        self._build.admit(points)  # beside the one admitted for the metric itself: empty metrics cost time as well
        try:
            metric = self._reader.parse(payload, Metric, "Metric")
        except Rejected as rejected:
            self._build.reject(str(rejected), resource, len(payload), points)
            return
        which = metric.WhichOneof("data")
        if which is None:
            return
        data: Any = getattr(metric, which)
        for point in data.data_points:
            try:
                self._point(metric, data, point, resource, scope)
            except Rejected as rejected:
                self._build.reject(str(rejected), resource, point.ByteSize())

    def _count_points(self, payload: memoryview) -> int:
        budget = self._reader.budget
        bodies = [data for number, data in fields(payload, budget) if number in _DATA_FIELDS]
        return sum(number == 1 for data in bodies for number, _ in fields(data, budget))

    def _point(self, metric: Metric, data: Any, point: Any, resource: Resource, scope: Scope) -> None:
        kind = _KINDS[metric.WhichOneof("data") or ""]
        number = isinstance(point, NumberDataPoint)
        self._build.point(
            name=metric.name,
            unit=metric.unit,
            kind=kind,
            temporality=getattr(data, "aggregation_temporality", 0),
            monotonic=getattr(data, "is_monotonic", False),
            start_ns=point.start_time_unix_nano,
            time_ns=point.time_unix_nano,
            flags=point.flags,
            value=_number(point) if number else None,
            count=None if number else point.count,
            total=None if number or not _has_sum(kind, point) else finite(point.sum),
            data=_details(kind, point),
            attributes=self._reader.attributes(point.attributes)[0],
            resource=resource,
            scope=scope,
        )


def _number(point: NumberDataPoint | Exemplar) -> float | None:
    which = point.WhichOneof("value")
    if which is None:
        return None
    return float(point.as_int) if which == "as_int" else finite(point.as_double)


def _has_sum(kind: MetricKind, point: Any) -> bool:
    return kind == "summary" or point.HasField("sum")


def _details(kind: MetricKind, point: Any) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if kind == "histogram":
        details = {"bucket_counts": list(point.bucket_counts), "explicit_bounds": _finite(point.explicit_bounds)}
    elif kind == "exponential_histogram":
        details = {
            "scale": point.scale,
            "zero_count": point.zero_count,
            "zero_threshold": finite(point.zero_threshold),
            "positive": {"offset": point.positive.offset, "bucket_counts": list(point.positive.bucket_counts)},
            "negative": {"offset": point.negative.offset, "bucket_counts": list(point.negative.bucket_counts)},
        }
    elif kind == "summary":
        few = point.quantile_values
        return {"quantiles": [{"quantile": finite(one.quantile), "value": finite(one.value)} for one in few]}
    if kind in {"histogram", "exponential_histogram"}:
        details |= {name: finite(getattr(point, name)) for name in ("min", "max") if point.HasField(name)}
    if point.exemplars:
        details["exemplars"] = [_exemplar(one) for one in point.exemplars[:_MAX_EXEMPLARS]]
    return details


def _finite(numbers: Sequence[float]) -> list[float | None]:
    return [finite(number) for number in numbers]


def _exemplar(exemplar: Exemplar) -> dict[str, Any]:
    return {
        "time_ns": exemplar.time_unix_nano,
        "value": _number(exemplar),
        "trace_id": exemplar.trace_id.hex(),
        "span_id": exemplar.span_id.hex(),
    }
