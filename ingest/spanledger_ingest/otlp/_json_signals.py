"""OTLP/JSON: spans, log records and metrics."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from spanledger_analytics.records import Resource, Scope
from spanledger_ingest.otlp._build import Builder, MetricKind, RawEvent, RawLink
from spanledger_ingest.otlp._clean import MAX_INT64, MIN_INT64, Rejected
from spanledger_ingest.otlp._decoded import Signal
from spanledger_ingest.otlp._json import (
    JsonObject,
    Reader,
    enum,
    finite_double,
    flag,
    hex_id,
    integer,
    message,
    objects,
    parse_json,
    text,
    uint32,
)

_MAX_EXEMPLARS: Final = 16
_FIELDS: Final[Mapping[Signal, tuple[str, str, str]]] = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}
_SPAN_KINDS: Final = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
_STATUS_CODES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_TEMPORALITIES: Final = {
    f"AGGREGATION_TEMPORALITY_{name}": number for number, name in enumerate(("UNSPECIFIED", "DELTA", "CUMULATIVE"))
}
_SEVERITIES: Final = {
    f"SEVERITY_NUMBER_{level}{step if step > 1 else ''}": 4 * rank + step
    for rank, level in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
    for step in (1, 2, 3, 4)
} | {"SEVERITY_NUMBER_UNSPECIFIED": 0}


def decode_json(signal: Signal, body: bytes, builder: Builder) -> None:
    """Read a request into the builder.

    Raises:
        BadDataError: the body is not an OTLP/JSON request at all.
        TooLargeError: it holds more items than allowed.
    """
    request = parse_json(body, builder.limits)
    groups, scopes, items = _FIELDS[signal]
    reader = Reader(builder)
    take: Callable[[JsonObject, Resource, Scope], None] = {
        "traces": _Spans(reader).take,
        "logs": _Logs(reader).take,
        "metrics": _Metrics(reader).take,
    }[signal]
    reader.each(request.get(groups), scopes, items, take)
    if request and groups not in request:
        seen = ", ".join(sorted(request)[:3])[:100]
        builder.decoded.warning = f"nothing was taken: the request has no field {groups!r}, only {seen}"


class _Spans:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._build = reader.build

    def take(self, span: JsonObject, resource: Resource, scope: Scope) -> None:
        get = span.get
        attributes, dropped = self._reader.attributes(get("attributes"))
        status = message(get("status"))
        self._build.span(
            trace_id=hex_id(get("traceId")),
            span_id=hex_id(get("spanId")),
            parent_span_id=hex_id(get("parentSpanId")),
            trace_state=text(get("traceState")),
            flags=uint32(get("flags")),
            name=text(get("name")),
            kind=enum(get("kind"), _SPAN_KINDS),
            start_ns=integer(get("startTimeUnixNano")),
            end_ns=integer(get("endTimeUnixNano")),
            status=enum(status.get("code"), _STATUS_CODES),
            status_message=text(status.get("message")),
            attributes=(attributes, dropped + uint32(get("droppedAttributesCount"))),
            events=self._events(objects(get("events")), uint32(get("droppedEventsCount"))),
            links=self._links(objects(get("links")), uint32(get("droppedLinksCount"))),
            resource=resource,
            scope=scope,
        )

    def _events(self, events: list[Any], dropped: int) -> tuple[list[RawEvent], int]:
        few = events[: self._build.limits.max_events]
        return [self._event(message(event)) for event in few], dropped + len(events) - len(few)

    def _event(self, event: JsonObject) -> RawEvent:
        attributes = self._reader.attributes(event.get("attributes"))[0]
        return text(event.get("name")), integer(event.get("timeUnixNano")), attributes

    def _links(self, links: list[Any], dropped: int) -> tuple[list[RawLink], int]:
        few = links[: self._build.limits.max_links]
        return [self._link(message(link)) for link in few], dropped + len(links) - len(few)

    def _link(self, link: JsonObject) -> RawLink:
        attributes = self._reader.attributes(link.get("attributes"))[0]
        return hex_id(link.get("traceId")), hex_id(link.get("spanId")), attributes


class _Logs:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def take(self, record: JsonObject, resource: Resource, scope: Scope) -> None:
        get = record.get
        self._reader.build.log(
            time_ns=integer(get("timeUnixNano")),
            observed_ns=integer(get("observedTimeUnixNano")),
            trace_id=hex_id(get("traceId")),
            span_id=hex_id(get("spanId")),
            event_name=text(get("eventName")),
            severity=enum(get("severityNumber"), _SEVERITIES),
            severity_text=text(get("severityText")),
            body=self._reader.value(get("body"), self._reader.build.limits.max_depth),
            attributes=self._reader.attributes(get("attributes"))[0],
            resource=resource,
            scope=scope,
        )


_KINDS: Final[Mapping[str, MetricKind]] = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "exponential_histogram",
    "summary": "summary",
}


class _Metrics:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._build = reader.build

    def take(self, metric: JsonObject, resource: Resource, scope: Scope) -> None:
        which = next((name for name in _KINDS if metric.get(name) is not None), None)
        if which is None:
            return
        points = objects(message(metric[which]).get("dataPoints"))
        self._build.admit(len(points))  # as in protobuf: beside the one admitted for the metric itself
        for point in points:
            try:
                self._point(metric, which, message(point), resource, scope)
            except Rejected as rejected:
                self._build.reject(str(rejected), resource, 0)

    def _point(self, metric: JsonObject, which: str, point: JsonObject, resource: Resource, scope: Scope) -> None:
        get = point.get
        kind = _KINDS[which]
        number = kind in {"gauge", "sum"}
        has_sum = not number and (kind == "summary" or get("sum") is not None)
        self._build.point(
            name=text(metric.get("name")),
            unit=text(metric.get("unit")),
            kind=kind,
            temporality=enum(metric[which].get("aggregationTemporality"), _TEMPORALITIES),
            monotonic=flag(metric[which].get("isMonotonic")),
            start_ns=integer(get("startTimeUnixNano")),
            time_ns=integer(get("timeUnixNano")),
            flags=uint32(get("flags")),
            value=_number(point) if number else None,
            count=None if number else integer(get("count")),
            total=finite_double(get("sum")) if has_sum else None,
            data=_details(kind, point),
            attributes=self._reader.attributes(get("attributes"))[0],
            resource=resource,
            scope=scope,
        )


def _number(point: JsonObject) -> float | None:
    if point.get("asInt") is not None:
        return float(integer(point["asInt"], MIN_INT64, MAX_INT64))
    return None if point.get("asDouble") is None else finite_double(point["asDouble"])


def _details(kind: MetricKind, point: JsonObject) -> dict[str, Any]:
    get = point.get
    details: dict[str, Any] = {}
    if kind == "histogram":
        bounds = [finite_double(bound) for bound in objects(get("explicitBounds"))]
        details = {"bucket_counts": _counts(get("bucketCounts")), "explicit_bounds": bounds}
    elif kind == "exponential_histogram":
        details = {
            "scale": _int32(get("scale")),
            "zero_count": integer(get("zeroCount")),
            "zero_threshold": finite_double(get("zeroThreshold")),
            "positive": _buckets(message(get("positive"))),
            "negative": _buckets(message(get("negative"))),
        }
    elif kind == "summary":
        few = map(message, objects(get("quantileValues")))
        pairs = [(finite_double(one.get("quantile")), finite_double(one.get("value"))) for one in few]
        return {"quantiles": [{"quantile": quantile, "value": value} for quantile, value in pairs]}
    if kind in {"histogram", "exponential_histogram"}:
        details |= {name: finite_double(get(name)) for name in ("min", "max") if get(name) is not None}
    if exemplars := objects(get("exemplars"))[:_MAX_EXEMPLARS]:
        details["exemplars"] = [_exemplar(message(one)) for one in exemplars]
    return details


def _int32(value: Any) -> int:
    return integer(value, -(2**31), 2**31 - 1)


def _counts(values: Any) -> list[int]:
    return [integer(one) for one in objects(values)]


def _buckets(buckets: JsonObject) -> dict[str, Any]:
    return {"offset": _int32(buckets.get("offset")), "bucket_counts": _counts(buckets.get("bucketCounts"))}


def _exemplar(exemplar: JsonObject) -> dict[str, Any]:
    return {
        "time_ns": integer(exemplar.get("timeUnixNano")),
        "value": _number(exemplar),
        "trace_id": hex_id(exemplar.get("traceId")),
        "span_id": hex_id(exemplar.get("spanId")),
    }
