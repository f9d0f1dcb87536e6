"""What the decoders take, clean, cut and refuse."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from spanledger_analytics.records import Event, Link, LogRecord, MetricPoint, Resource, Scope, Span
from spanledger_ingest.errors import BadDataError
from spanledger_ingest.otlp import decode

START = 1_544_712_660_000_000_000
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
SERVICE = Resource({"service.name": "my.service"})
LIBRARY = Scope("my.library", "1.0.0", {"my.scope.attribute": "some scope attribute"})


def text_attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def envelope(signal: str, scopes: str, items: str, *found: Any) -> bytes:
    """The frame of the four example requests beside the OTLP specification."""
    scope = {
        "name": "my.library",
        "version": "1.0.0",
        "attributes": [text_attribute("my.scope.attribute", "some scope attribute")],
    }
    resource = {"attributes": [text_attribute("service.name", "my.service")]}
    group = {"resource": resource, scopes: [{"scope": scope, items: list(found)}]}
    return json.dumps({signal: [group]}).encode()


def traces(*spans: Any) -> bytes:
    return envelope("resourceSpans", "scopeSpans", "spans", *spans)


def span(**changes: Any) -> dict[str, Any]:
    good = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "chat",
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": START + 5,
    }
    return good | changes


def one(**changes: Any) -> Span:
    decoded = decode("traces", traces(span(**changes)), "json", "")
    assert decoded.rejections == []
    (only,) = decoded.spans
    return only


def value(written: Any) -> Any:
    return one(attributes=[{"key": "k", "value": written}]).attributes["k"]


# The four example requests beside the specification, written again by hand.


def test_the_example_of_a_span() -> None:
    body = traces(
        {
            "traceId": "5B8EFFF798038103D269B633813FC60C",
            "spanId": "EEE19B7EC3C1B174",
            "parentSpanId": "EEE19B7EC3C1B173",
            "name": "I'm a server span",
            "startTimeUnixNano": "1544712660000000000",
            "endTimeUnixNano": "1544712661000000000",
            "kind": 2,
            "attributes": [text_attribute("my.span.attr", "some value")],
        }
    )
    assert decode("traces", body, "json", "acme").spans == [
        Span(
            owner="acme",
            trace_id=TRACE,
            span_id=SPAN,
            parent_span_id="eee19b7ec3c1b173",
            name="I'm a server span",
            kind="server",
            start_ns=START,
            end_ns=START + 10**9,
            attributes={"my.span.attr": "some value"},
            resource=SERVICE,
            scope=LIBRARY,
        )
    ]


def test_the_example_of_a_log_record() -> None:
    attributes = [
        text_attribute("string.attribute", "some string"),
        {"key": "boolean.attribute", "value": {"boolValue": True}},
        {"key": "int.attribute", "value": {"intValue": "10"}},
        {"key": "double.attribute", "value": {"doubleValue": 637.704}},
        {
            "key": "array.attribute",
            "value": {"arrayValue": {"values": [{"stringValue": "many"}, {"stringValue": "values"}]}},
        },
        {
            "key": "map.attribute",
            "value": {"kvlistValue": {"values": [text_attribute("some.map.key", "some value")]}},
        },
    ]
    record = {
        "timeUnixNano": "1544712660300000000",
        "observedTimeUnixNano": "1544712660300000000",
        "severityNumber": 10,
        "severityText": "Information",
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "body": {"stringValue": "Example log record"},
        "attributes": attributes,
    }
    body = envelope("resourceLogs", "scopeLogs", "logRecords", record)
    assert decode("logs", body, "json", "").logs == [
        LogRecord(
            time_ns=START + 300_000_000,
            observed_ns=START + 300_000_000,
            trace_id=TRACE,
            span_id=SPAN,
            severity=10,
            severity_text="Information",
            body="Example log record",
            attributes={
                "string.attribute": "some string",
                "boolean.attribute": True,
                "int.attribute": 10,
                "double.attribute": 637.704,
                "array.attribute": ["many", "values"],
                "map.attribute": {"some.map.key": "some value"},
            },
            resource=SERVICE,
            scope=LIBRARY,
        )
    ]


@pytest.mark.parametrize("wrap", [lambda pairs: {"values": pairs}, list], ids=["as specified", "as once published"])
def test_the_example_of_an_event(wrap: Callable[[Any], Any]) -> None:
    pairs = [{"key": "type", "value": {"intValue": "0"}}, text_attribute("title", "Free Online GUID Generator")]
    record = {
        "timeUnixNano": "1544712660300000000",
        "eventName": "browser.page_view",
        "severityNumber": 9,
        "attributes": [text_attribute("event.name", "browser.page_view")],
        "body": {"kvlistValue": wrap(pairs)},
    }
    (event,) = decode("logs", envelope("resourceLogs", "scopeLogs", "logRecords", record), "json", "").logs
    assert (event.event_name, event.severity, event.trace_id) == ("browser.page_view", 9, None)
    assert event.body == {"type": 0, "title": "Free Online GUID Generator"}


def test_the_example_of_metrics() -> None:
    at = {"startTimeUnixNano": START, "timeUnixNano": START}

    def metric(name: str, kind: str, point: dict[str, Any], **more: Any) -> dict[str, Any]:
        point = at | {"attributes": [text_attribute(f"{name}.attr", "some value")]} | point
        return {"name": name, "unit": "1", "description": "I am a " + kind, kind: {"dataPoints": [point]} | more}

    histogram = {"count": 2, "sum": 2, "bucketCounts": [1, 1], "explicitBounds": [1], "min": 0, "max": 2}
    exponential = {
        "count": 3,
        "sum": 10,
        "scale": 0,
        "zeroCount": 1,
        "positive": {"offset": 1, "bucketCounts": [0, 2]},
        "min": 0,
        "max": 5,
        "zeroThreshold": 0,
    }
    body = envelope(
        "resourceMetrics",
        "scopeMetrics",
        "metrics",
        metric("my.counter", "sum", {"asDouble": 5}, aggregationTemporality=1, isMonotonic=True),
        metric("my.gauge", "gauge", {"asDouble": 10}),
        metric("my.histogram", "histogram", histogram, aggregationTemporality=1),
        metric("my.exponential.histogram", "exponentialHistogram", exponential, aggregationTemporality=1),
    )

    def point(name: str, kind: Any, **fields: Any) -> MetricPoint:
        empty = MetricPoint(
            name=name,
            unit="1",
            kind=kind,
            temporality="delta",
            start_ns=START,
            time_ns=START,
            attributes={f"{name}.attr": "some value"},
            resource=SERVICE,
            scope=LIBRARY,
        )
        return replace(empty, **fields)

    assert decode("metrics", body, "json", "").metrics == [
        point("my.counter", "sum", monotonic=True, value=5.0),
        point("my.gauge", "gauge", temporality="unspecified", value=10.0),
        point(
            "my.histogram",
            "histogram",
            count=2,
            total=2.0,
            data={"bucket_counts": [1, 1], "explicit_bounds": [1.0], "min": 0.0, "max": 2.0},
        ),
        point(
            "my.exponential.histogram",
            "exponential_histogram",
            count=3,
            total=10.0,
            data={
                "scale": 0,
                "zero_count": 1,
                "zero_threshold": 0.0,
                "positive": {"offset": 1, "bucket_counts": [0, 2]},
                "negative": {"offset": 0, "bucket_counts": []},
                "min": 0.0,
                "max": 5.0,
            },
        ),
    ]


# The rules of OTLP/JSON.


def test_ids_are_hex_in_any_case() -> None:
    assert one(traceId=TRACE.upper(), spanId=SPAN.title()).trace_id == TRACE


@pytest.mark.parametrize("time", [str(START), START, float(START), f"+{START}"], ids=repr)
def test_64_bit_integers_are_numbers_or_strings(time: Any) -> None:
    assert one(startTimeUnixNano=time).start_ns == START


def test_unknown_fields_are_ignored_at_every_level() -> None:
    future = {"futureField": {"a": [1, {"b": None}]}}
    body = json.loads(
        traces(span(status={"code": 1} | future, attributes=[text_attribute("a", "b") | future]) | future)
    )
    body |= future
    body["resourceSpans"][0] |= future
    assert decode("traces", json.dumps(body).encode(), "json", "").spans[0].attributes == {"a": "b"}


def test_field_names_of_the_proto_files_are_unknown_fields() -> None:
    assert one(parent_span_id=SPAN, dropped_attributes_count=3).dropped_attributes == 0


def test_enums_are_integers_and_names_are_understood_although_they_are_not_allowed() -> None:
    assert one(kind=3, status={"code": 2}).kind == "client"
    lenient = one(kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_ERROR"})
    assert (lenient.kind, lenient.status) == ("client", "error")
    assert one(kind=77).kind == "unspecified"


def test_null_means_missing() -> None:
    empty = one(attributes=None, events=None, status=None, kind=None, parentSpanId=None, traceState=None)
    assert empty == one()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"stringValue": ""}, ""),
        ({"stringValue": "x"}, "x"),
        ({"boolValue": False}, False),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 0}, 0),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "1.5"}, 1.5),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"doubleValue": "Infinity"}, "Infinity"),
        ({"doubleValue": "-Infinity"}, "-Infinity"),
        ({"bytesValue": "_-8="}, b"\xff\xef"),
        ({"bytesValue": "/+8"}, b"\xff\xef"),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": []}}, {}),
        ({}, None),
        (None, None),
        ({"valueOfTheFuture": 1}, None),
    ],
)
def test_values(written: Any, read: Any) -> None:
    assert (value(written), type(value(written))) == (read, type(read))


def test_bare_nan_and_broken_unicode_are_mended_rather_than_costing_the_request() -> None:
    body = traces(span(attributes=[text_attribute("a", "x?y"), {"key": "n", "value": {"doubleValue": float("nan")}}]))
    (read,) = decode("traces", body.replace(b"?", b"\\ud83d"), "json", "").spans
    assert read.attributes == {"a": "x\ufffdy", "n": "NaN"}
    (read,) = decode("traces", body.replace(b"?", b"\xff").replace(b"NaN", b"0"), "json", "").spans
    assert read.attributes == {"a": "x\ufffdy", "n": 0.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"traceId": "zz" * 16},
        {"traceId": 5},
        {"startTimeUnixNano": "soon"},
        {"startTimeUnixNano": -1},
        {"startTimeUnixNano": 2**64},
        {"startTimeUnixNano": True},
        {"kind": "CLIENT"},
        {"name": 5},
        {"flags": 2**32},
        {"attributes": {}},
        {"attributes": ["x"]},
        {"attributes": [{"key": 5}]},
        {"attributes": [{"key": "k", "value": "x"}]},
        {"attributes": [{"key": "k", "value": {"intValue": "many"}}]},
        {"attributes": [{"key": "k", "value": {"intValue": 2**63}}]},
        {"attributes": [{"key": "k", "value": {"boolValue": 1}}]},
        {"attributes": [{"key": "k", "value": {"doubleValue": "much"}}]},
        {"attributes": [{"key": "k", "value": {"bytesValue": "?"}}]},
        {"attributes": [{"key": "k", "value": {"stringValue": {}}}]},
        {"events": [5]},
        {"links": 5},
        {"status": []},
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_costs_its_span_only(changes: dict[str, Any]) -> None:
    decoded = decode("traces", traces(span(), span(**changes), span(spanId="aa" * 8)), "json", "")
    assert len(decoded.spans) == 2
    assert (decoded.rejected, len(decoded.rejections), decoded.count) == (1, 1, 3)
    assert decoded.rejections[0].service_name == "my.service"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b'{"resourceSpans": 5}', b'{"resourceSpans": [5]}'])
def test_what_is_not_a_request_at_all_is_bad_data(body: bytes) -> None:
    with pytest.raises(BadDataError):
        decode("traces", body, "json", "")


def test_a_broken_resource_or_scope_costs_no_span() -> None:
    body = json.loads(traces(span()))
    body["resourceSpans"][0]["resource"] = {"attributes": [{"key": 5}]}
    body["resourceSpans"][0]["scopeSpans"][0]["scope"] = 7
    assert len(decode("traces", json.dumps(body).encode(), "json", "").spans) == 1


# Identity and time.


@pytest.mark.parametrize(
    "changes",
    [
        {"traceId": ""},
        {"traceId": "0" * 32},
        {"traceId": "ab" * 15},
        {"traceId": "ab" * 17},
        {"spanId": ""},
        {"spanId": "0" * 16},
        {"spanId": "ab" * 7},
        {"startTimeUnixNano": 0, "endTimeUnixNano": 0},
        {"startTimeUnixNano": 5, "endTimeUnixNano": 2**64 - 1},
    ],
    ids=str,
)
def test_spans_without_identity_or_time_are_rejected(changes: dict[str, Any]) -> None:
    decoded = decode("traces", traces(span(**changes), span()), "json", "", received_ns=START)
    assert (len(decoded.spans), decoded.rejected, decoded.rejections[0].time_ns) == (1, 1, START)


@pytest.mark.parametrize(
    ("start", "end", "read"),
    [
        (START, START + 5, (START, START + 5)),
        (START, START - 5, (START, START)),
        (START, 0, (START, START)),
        (0, START, (START, START)),
        (START, 2**64 - 1, (START, START)),
        (1, START, (START, START)),
        (2**63, START, (START, START)),
    ],
)
def test_a_time_that_is_missing_or_absurd_is_the_other_one(start: int, end: int, read: tuple[int, int]) -> None:
    cleaned = one(startTimeUnixNano=start, endTimeUnixNano=end)
    assert (cleaned.start_ns, cleaned.end_ns) == read


@pytest.mark.parametrize("parent", ["", "0" * 16, "abcd", None])
def test_a_parent_that_is_no_id_makes_a_root(parent: Any) -> None:
    assert one(parentSpanId=parent).parent_span_id is None


def test_events_and_links_are_read_and_cleaned() -> None:
    events = [
        {"name": "a", "timeUnixNano": START + 1, "attributes": [text_attribute("k", "v")]},
        {"name": "b\0", "timeUnixNano": 2**64 - 1},
    ]
    links = [{"traceId": TRACE.upper(), "spanId": SPAN}, {"traceId": "", "spanId": SPAN}]
    read = one(events=events, links=links, droppedLinksCount=2)
    assert read.events == (Event("a", START + 1, {"k": "v"}), Event("b\ufffd", START))
    assert (read.links, read.dropped_links) == ((Link(TRACE, SPAN),), 3)


@pytest.mark.parametrize(
    ("record", "received", "read"),
    [
        ({"timeUnixNano": START}, 0, START),
        ({"observedTimeUnixNano": START}, 5, START),
        ({}, START, START),
        ({}, 0, None),
        ({"timeUnixNano": 2**64 - 1, "observedTimeUnixNano": 1}, START, START),
    ],
)
def test_log_records_take_the_best_time_there_is(record: Any, received: int, read: int | None) -> None:
    body = envelope("resourceLogs", "scopeLogs", "logRecords", record)
    decoded = decode("logs", body, "json", "", received_ns=received)
    assert [log.time_ns for log in decoded.logs] == ([] if read is None else [read])
    assert decoded.rejected == (read is None)


def test_numbers_of_metrics_are_finite_or_missing() -> None:
    points = [
        {"timeUnixNano": START, "asDouble": "NaN"},
        {"timeUnixNano": START},
        {"timeUnixNano": START, "asInt": "7", "flags": 1},
        {"timeUnixNano": START, "asInt": "7"},
    ]
    metric = {"name": "m", "gauge": {"dataPoints": points}}
    read = decode("metrics", envelope("resourceMetrics", "scopeMetrics", "metrics", metric), "json", "").metrics
    assert [point.value for point in read] == [None, None, None, 7.0]
