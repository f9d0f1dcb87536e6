"""What one poisoned item costs, what is cut, and what is refused before memory is spent on it."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from spanledger_ingest.errors import BadDataError, TooLargeError, UnsupportedEncodingError
from spanledger_ingest.otlp import DEFAULT_LIMITS, Decoded, decode, inflate

START = 1_544_712_660_000_000_000


def text_attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def traces(*spans: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def span(**changes: Any) -> dict[str, Any]:
    return {"traceId": "5b" * 16, "spanId": "ee" * 8, "startTimeUnixNano": START} | changes


def zstd(body: bytes) -> bytes:
    return bytes(pa.compress(body, codec="zstd", asbytes=True))


# Protobuf: one poisoned item must not cost the batch.


def request(*spans: SpanMessage) -> bytes:
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.extend(spans)
    return message.SerializeToString()


def proto_span(number: int = 1, *attributes: KeyValue, name: str = "chat") -> SpanMessage:
    return SpanMessage(
        trace_id=bytes(15) + bytes((number,)),
        span_id=bytes(7) + bytes((number,)),
        name=name,
        start_time_unix_nano=START,
        end_time_unix_nano=START,
        attributes=attributes,
    )


GOOD = proto_span(1).SerializeToString()


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length = bytearray()
    size = len(content)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes((number << 3 | 2, *length, size)) + content


def nested(depth: int, *, maps: bool = False) -> AnyValue:
    inner = AnyValue(string_value="deep")
    for _ in range(depth):
        outer = AnyValue()
        if maps:
            outer.kvlist_value.values.add(key="k").value.CopyFrom(inner)
        else:
            outer.array_value.values.append(inner)
        inner = outer
    return inner


def numbers(decoded: Decoded) -> list[int]:
    return [int(one.span_id, 16) for one in decoded.spans]


def test_invalid_utf8_costs_its_span_only() -> None:
    body = request(proto_span(1), proto_span(2, name="poisoned"), proto_span(3)).replace(b"poisoned", b"pois\xff\xfeed")
    with pytest.raises(Exception, match="UTF-8"):  # protobuf itself refuses the whole request
        ExportTraceServiceRequest.FromString(body)
    decoded = decode("traces", body, "protobuf", "")
    assert numbers(decoded) == [1, 3]
    assert [(one.reason, one.size > 10) for one in decoded.rejections] == [("a text is not valid UTF-8", True)]


def test_a_value_too_deep_for_protobuf_costs_its_span_only() -> None:
    deep = b"\x0a\x04deep"
    for _ in range(60):
        deep = field(5, field(1, deep))  # AnyValue.array_value, ArrayValue.values
    attribute = field(9, field(1, b"key") + field(2, deep))
    poisoned = proto_span(2).SerializeToString() + attribute
    body = field(1, b"".join(field(2, field(2, one)) for one in (GOOD, poisoned, GOOD)))
    with pytest.raises(Exception, match=r"MaxDepth"):
        ExportTraceServiceRequest.FromString(body)
    decoded = decode("traces", body, "protobuf", "")
    assert numbers(decoded) == [1, 1]
    assert [one.reason for one in decoded.rejections] == ["a value is nested too deep"]


@pytest.mark.parametrize("maps", [False, True])
def test_a_value_deeper_than_the_limit_is_cut_there_in_both_encodings(*, maps: bool) -> None:
    limits = replace(DEFAULT_LIMITS, max_depth=3)
    body = request(proto_span(1, KeyValue(key="a", value=nested(5, maps=maps))))
    (read,) = decode("traces", body, "protobuf", "", limits=limits).spans
    cut = {"k": {"k": {"k": None}}} if maps else [[[None]]]
    assert read.attributes == {"a": cut}
    written: dict[str, Any] = {"stringValue": "deep"}
    for _ in range(5):
        inner = {"key": "k", "value": written} if maps else written
        written = {"kvlistValue" if maps else "arrayValue": {"values": [inner]}}
    decoded = decode("traces", traces(span(attributes=[{"key": "a", "value": written}])), "json", "", limits=limits)
    assert decoded.spans[0].attributes == {"a": cut}


def test_json_nested_beyond_all_bounds_is_bad_data() -> None:
    deep = b'{"resourceSpans": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(BadDataError):
        decode("traces", deep, "json", "")


def test_a_broken_resource_keeps_its_good_attributes_and_all_spans() -> None:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    group.resource.attributes.add(key="host").value.string_value = "poisoned"
    scope = group.scope_spans.add()
    scope.scope.name = "p0isoned"
    scope.spans.append(proto_span(1))
    body = message.SerializeToString().replace(b"poisoned", b"\xff" * 8).replace(b"p0isoned", b"\xfe" * 8)
    decoded = decode("traces", body, "protobuf", "")
    assert decoded.rejected == 0
    assert decoded.spans[0].resource.attributes == {"service.name": "shop"}


def test_resources_and_scopes_are_shared_by_their_spans() -> None:
    first, second = decode("traces", traces(span(), span(spanId="ab" * 8)), "json", "").spans
    assert first.resource is second.resource
    assert first.scope is second.scope


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\xff", b"\x0b", b"\x0a\x05\x12\x03\x12\x01", b"not protobuf"])
def test_bytes_that_are_not_protobuf_are_bad_data(body: bytes) -> None:
    with pytest.raises(BadDataError):
        decode("traces", body, "protobuf", "")


def test_a_broken_metric_is_rejected_with_all_its_points() -> None:
    message = ExportMetricsServiceRequest()
    scope = message.resource_metrics.add().scope_metrics.add()
    for name in ("good", "poisoned"):
        metric = scope.metrics.add(name=name)
        for _ in range(3):
            metric.gauge.data_points.add(time_unix_nano=START, as_int=1)
    decoded = decode("metrics", message.SerializeToString().replace(b"poisoned", b"\xff" * 8), "protobuf", "")
    assert [point.name for point in decoded.metrics] == ["good"] * 3
    assert decoded.rejected == 3


# Cleaning and limits.


def test_nul_is_replaced_everywhere() -> None:
    key = KeyValue(key="k\0", value=AnyValue(string_value="v\0w"))
    (read,) = decode("traces", request(proto_span(1, key, name="n\0")), "protobuf", "").spans
    assert (read.name, read.attributes) == ("n\ufffd", {"k\ufffd": "v\ufffdw"})


def test_hostile_keys_are_only_data() -> None:
    keys = ["__proto__", "constructor", "'; DROP TABLE spans; --", "<script>", "", "a" * 2_000]
    pairs = [KeyValue(key=key, value=AnyValue(int_value=1)) for key in keys]
    (read,) = decode("traces", request(proto_span(1, *pairs)), "protobuf", "").spans
    assert list(read.attributes) == [*keys[:-1], "a" * 1024]


def test_the_last_of_duplicate_keys_wins() -> None:
    pairs = [KeyValue(key="k", value=AnyValue(int_value=number)) for number in (1, 2)]
    assert decode("traces", request(proto_span(1, *pairs)), "protobuf", "").spans[0].attributes == {"k": 2}


def test_what_exceeds_an_item_limit_is_cut_and_counted() -> None:
    limits = replace(DEFAULT_LIMITS, max_attributes=2, max_value_chars=3, max_elements=2, max_events=1, max_links=0)
    pairs = [
        text_attribute("a", "long text"),
        {"key": "b", "value": {"arrayValue": {"values": [{"intValue": 1}] * 5}}},
        text_attribute("c", "x"),
    ]
    events = [{"name": "e", "timeUnixNano": START}] * 3
    body = traces(span(attributes=pairs, events=events, links=[{"traceId": "5b" * 16, "spanId": "ee" * 8}]))
    (read,) = decode("traces", body, "json", "", limits=limits).spans
    assert read.attributes == {"a": "lon", "b": [1, 1]}
    assert (read.dropped_attributes, read.dropped_events, read.dropped_links) == (1, 2, 1)


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_too_many_items_are_refused_before_they_are_made(encoding: Any) -> None:
    limits = replace(DEFAULT_LIMITS, max_items=1000)
    many = 200_000
    body = field(1, field(2, field(2, b"") * many))  # empty spans, in two bytes each
    if encoding == "json":
        body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([b"{}"] * many) + b"]}]}]}"
    with pytest.raises(TooLargeError, match="1000 items"):
        decode("traces", body, encoding, "", limits=limits)


@pytest.mark.parametrize("wrap", [1, 2, 3])
def test_too_many_fields_that_mean_nothing_are_refused(wrap: int) -> None:
    body = b"\x20\x00" * 100_000  # field 4, a number, which no level of the envelope knows
    for _ in range(wrap - 1):
        body = field(2 if wrap == 3 and body[0] == 0x20 else 1, body)
    with pytest.raises(TooLargeError, match="fields"):
        decode("traces", body, "protobuf", "", limits=replace(DEFAULT_LIMITS, max_items=1000))


def test_a_metric_that_hides_very_many_points_is_refused_before_they_are_made() -> None:
    body = field(1, field(2, field(2, field(5, field(1, b"") * 100_000))))
    with pytest.raises(TooLargeError, match=r"1000 items|fields"):
        decode("metrics", body, "protobuf", "", limits=replace(DEFAULT_LIMITS, max_items=1000))


def test_too_many_json_values_are_refused_before_they_are_made() -> None:
    body = b'{"x": [' + b"1," * 5000 + b"1]}"
    with pytest.raises(TooLargeError, match="JSON values"):
        decode("traces", body, "json", "", limits=replace(DEFAULT_LIMITS, max_json_values=1000))


def test_too_many_empty_groups_are_refused() -> None:
    with pytest.raises(TooLargeError, match="groups"):
        decode("traces", b"\x0a\x00" * 5000, "protobuf", "", limits=replace(DEFAULT_LIMITS, max_items=1000))


def test_a_span_that_hides_very_many_values_is_rejected_before_they_are_made() -> None:
    bomb = proto_span(2).SerializeToString() + b"\x4a\x00" * 200_000
    body = field(1, field(2, field(2, GOOD) + field(2, bomb)))
    decoded = decode("traces", body, "protobuf", "")
    assert numbers(decoded) == [1]
    assert "values in one item" in decoded.rejections[0].reason


def test_a_large_but_honest_span_is_taken() -> None:
    prompt = KeyValue(key="gen_ai.input.messages", value=AnyValue(string_value="word " * 200_000))
    (read,) = decode("traces", request(proto_span(1, prompt)), "protobuf", "").spans
    assert len(read.attributes["gen_ai.input.messages"]) == 1_000_000


def test_too_many_json_objects_are_refused_before_they_are_made() -> None:
    body = b'{"resourceSpans":[' + b",".join([b"[]"] * 2000) + b"]}"
    with pytest.raises(TooLargeError, match="JSON objects"):
        decode("traces", body, "json", "", limits=replace(DEFAULT_LIMITS, max_json_objects=1000))


def test_of_very_many_rejections_all_are_counted_and_some_are_kept() -> None:
    limits = replace(DEFAULT_LIMITS, max_kept_rejections=5)
    decoded = decode("traces", traces(*[span(spanId="")] * 20), "json", "", limits=limits)
    assert (decoded.rejected, len(decoded.rejections)) == (20, 5)


# Decompression.

WIDE_WINDOW = bytes.fromhex("28b52ffd008821000074657874")
"""A zstd frame (RFC 8878) that asks for a window of 128 MiB to hold four bytes."""


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", b"text"),
        ("identity", b"text"),
        ("gzip", gzip.compress(b"text", mtime=0)),
        ("x-gzip", gzip.compress(b"te", mtime=0) + gzip.compress(b"xt", mtime=0)),
        (" GZIP ", gzip.compress(b"text", mtime=0)),
        ("deflate", zlib.compress(b"text")),
        ("zstd", zstd(b"text")),
        ("zstd", zstd(b"te") + zstd(b"xt")),
    ],
)
def test_inflate(encoding: str, body: bytes) -> None:
    assert inflate(body, encoding, 4) == b"text"


@pytest.mark.parametrize(
    ("encoding", "body", "error"),
    [
        ("gzip", gzip.compress(b"text!", mtime=0), TooLargeError),
        ("", b"text!", TooLargeError),
        ("gzip", gzip.compress(b"t", mtime=0) * 5, TooLargeError),
        ("gzip", gzip.compress(bytes(100_000_000), mtime=0), TooLargeError),
        ("gzip", gzip.compress(b"text", mtime=0)[:-1], BadDataError),
        ("gzip", gzip.compress(b"text", mtime=0) + b"rest", BadDataError),
        ("gzip", b"text", BadDataError),
        ("gzip", gzip.compress(b"\x1f\x8b", mtime=0), BadDataError),
        ("", b"\x1f\x8b", BadDataError),
        ("gzip, gzip", b"", UnsupportedEncodingError),
        ("br", b"", UnsupportedEncodingError),
        ("gzip", gzip.compress(b"", mtime=0) * 33, BadDataError),
        ("zstd", zstd(b"text!"), TooLargeError),
        ("zstd", zstd(b"t") * 5, TooLargeError),
        ("zstd", zstd(b"text")[:-1], BadDataError),
        ("zstd", zstd(b"text") + b"rest", BadDataError),
        ("zstd", b"text", BadDataError),
        ("zstd", gzip.compress(b"text", mtime=0), BadDataError),
        ("zstd", zstd(gzip.compress(b"", mtime=0)[:2]), BadDataError),
        ("zstd", zstd(b"") * 33, BadDataError),
        ("zstd", WIDE_WINDOW, BadDataError),
    ],
    ids=range(21),
)
def test_what_inflate_refuses(encoding: str, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        inflate(body, encoding, 4)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_a_bomb_costs_no_more_memory_than_the_limit(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        inflate(bomb, encoding, 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
