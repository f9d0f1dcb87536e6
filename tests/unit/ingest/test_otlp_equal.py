"""The same telemetry in protobuf and in JSON decodes to equal values, whatever it holds."""

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1 import metrics_pb2 as m
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from spanledger_ingest.errors import OtlpError
from spanledger_ingest.otlp import Decoded, Limits, Signal, decode

RECEIVED_NS = 1_790_000_000 * 10**9
LIMITS = Limits(
    max_attributes=3, max_elements=3, max_depth=3, max_value_chars=20, max_key_chars=10, max_events=2, max_links=1
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
int64 = st.integers(-(2**63), 2**63 - 1)
uint64 = st.one_of(st.just(0), st.integers(0, 2**64 - 1), st.integers(RECEIVED_NS, RECEIVED_NS + 10))
uint32 = st.integers(0, 2**32 - 1)
doubles = st.floats()
trace_ids = st.one_of(
    st.binary(min_size=16, max_size=16), st.sampled_from([b"", bytes(16), bytes(8), bytes(range(15))])
)
span_ids = st.binary(min_size=8, max_size=8) | st.sampled_from([b"", bytes(8), bytes(16), bytes(range(7))])

scalars: st.SearchStrategy[AnyValue] = st.one_of(
    st.builds(AnyValue),
    st.builds(AnyValue, string_value=texts),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=int64),
    st.builds(AnyValue, double_value=doubles),
    st.builds(AnyValue, bytes_value=st.binary(max_size=30)),
)


def _containers(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    pairs = st.lists(st.builds(KeyValue, key=texts, value=inner), max_size=4)
    return st.one_of(
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=4))),
        st.builds(AnyValue, kvlist_value=st.builds(KeyValueList, values=pairs)),
    )


values = st.recursive(scalars, _containers, max_leaves=8)
attributes = st.lists(st.builds(KeyValue, key=texts, value=values), max_size=5)
resources = st.builds(Resource, attributes=attributes)
scopes = st.builds(InstrumentationScope, name=texts, version=texts, attributes=attributes)

spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=span_ids,
    trace_state=texts,
    flags=uint32,
    name=texts,
    kind=st.integers(0, 9),
    start_time_unix_nano=uint64,
    end_time_unix_nano=uint64,
    attributes=attributes,
    dropped_attributes_count=uint32,
    events=st.lists(st.builds(Span.Event, time_unix_nano=uint64, name=texts, attributes=attributes), max_size=3),
    dropped_events_count=uint32,
    links=st.lists(st.builds(Span.Link, trace_id=trace_ids, span_id=span_ids, attributes=attributes), max_size=3),
    dropped_links_count=uint32,
    status=st.builds(Status, code=st.integers(0, 5), message=texts),
)
logs = st.builds(
    LogRecord,
    time_unix_nano=uint64,
    observed_time_unix_nano=uint64,
    severity_number=st.integers(0, 30),
    severity_text=texts,
    body=values,
    attributes=attributes,
    trace_id=trace_ids,
    span_id=span_ids,
    event_name=texts,
)
_common = {"attributes": attributes, "start_time_unix_nano": uint64, "time_unix_nano": uint64, "flags": uint32}
exemplars = st.lists(
    st.one_of(
        st.builds(m.Exemplar, as_int=int64, time_unix_nano=uint64, trace_id=trace_ids, span_id=span_ids),
        st.builds(m.Exemplar, as_double=doubles),
    ),
    max_size=2,
)
numbers = st.lists(
    st.one_of(
        st.builds(m.NumberDataPoint, as_int=int64, exemplars=exemplars, **_common),
        st.builds(m.NumberDataPoint, as_double=doubles, **_common),
        st.builds(m.NumberDataPoint, **_common),
    ),
    max_size=3,
)
_optional = st.one_of(st.none(), doubles)
histograms = st.builds(
    m.HistogramDataPoint,
    count=uint64,
    sum=_optional,
    bucket_counts=st.lists(uint64, max_size=3),
    explicit_bounds=st.lists(doubles, max_size=3),
    min=_optional,
    max=_optional,
    exemplars=exemplars,
    **_common,
)
int32 = st.integers(-(2**31), 2**31 - 1)
buckets = st.builds(m.ExponentialHistogramDataPoint.Buckets, offset=int32, bucket_counts=st.lists(uint64, max_size=3))
exponentials = st.builds(
    m.ExponentialHistogramDataPoint,
    count=uint64,
    sum=_optional,
    scale=int32,
    zero_count=uint64,
    positive=buckets,
    negative=buckets,
    min=_optional,
    max=_optional,
    zero_threshold=doubles,
    exemplars=exemplars,
    **_common,
)
quantiles = st.builds(m.SummaryDataPoint.ValueAtQuantile, quantile=doubles, value=doubles)
summaries = st.builds(
    m.SummaryDataPoint, count=uint64, sum=doubles, quantile_values=st.lists(quantiles, max_size=3), **_common
)
temporality = st.integers(0, 3)
data: list[dict[str, st.SearchStrategy[Any]]] = [
    {},
    {"gauge": st.builds(m.Gauge, data_points=numbers)},
    {"sum": st.builds(m.Sum, data_points=numbers, aggregation_temporality=temporality, is_monotonic=st.booleans())},
    {
        "histogram": st.builds(
            m.Histogram, data_points=st.lists(histograms, max_size=2), aggregation_temporality=temporality
        )
    },
    {
        "exponential_histogram": st.builds(
            m.ExponentialHistogram, data_points=st.lists(exponentials, max_size=2), aggregation_temporality=temporality
        )
    },
    {"summary": st.builds(m.Summary, data_points=st.lists(summaries, max_size=2))},
]
metrics = st.one_of(*(st.builds(m.Metric, name=texts, unit=texts, description=texts, **kind) for kind in data))


def grouped(
    request: Callable[..., Message], group: Any, scope_group: Any, names: tuple[str, str, str], items: Any
) -> st.SearchStrategy[Message]:
    inner = st.builds(scope_group, scope=scopes, schema_url=texts, **{names[2]: st.lists(items, max_size=3)})
    outer = st.builds(group, resource=resources, schema_url=texts, **{names[1]: st.lists(inner, max_size=2)})
    return st.builds(request, **{names[0]: st.lists(outer, max_size=2)})


REQUESTS: dict[Signal, st.SearchStrategy[Message]] = {
    "traces": grouped(
        ExportTraceServiceRequest, ResourceSpans, ScopeSpans, ("resource_spans", "scope_spans", "spans"), spans
    ),
    "logs": grouped(
        ExportLogsServiceRequest, ResourceLogs, ScopeLogs, ("resource_logs", "scope_logs", "log_records"), logs
    ),
    "metrics": grouped(
        ExportMetricsServiceRequest,
        m.ResourceMetrics,
        m.ScopeMetrics,
        ("resource_metrics", "scope_metrics", "metrics"),
        metrics,
    ),
}


def otlp_json(message: Message, chance: Random) -> bytes:
    """Write a message as OTLP/JSON: protobuf's JSON with hex ids, and the freedoms that OTLP gives to writers."""
    written = MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(_rewritten(written, "", chance), ensure_ascii=chance.random() < 0.5).encode()


_IDS = {"traceId", "spanId", "parentSpanId"}
_INT64 = {"intValue", "timeUnixNano", "startTimeUnixNano", "endTimeUnixNano", "count", "zeroCount", "asInt"}


def _rewritten(value: Any, name: str, chance: Random) -> Any:
    if isinstance(value, dict):
        fields = {key: _rewritten(inner, key, chance) for key, inner in value.items()}
        if name not in {"value", "body"} and chance.random() < 0.2:
            fields["aFieldOfTheFuture"] = {"nested": [1, None, "x"]}
        return fields
    if isinstance(value, list):
        return [_rewritten(inner, name, chance) for inner in value]
    if name in _IDS:
        hexed = base64.b64decode(value).hex()
        return hexed.upper() if chance.random() < 0.5 else hexed
    if name in _INT64 and chance.random() < 0.5:
        return int(value)
    return value


def _without_sizes(decoded: Decoded) -> list[tuple[str, str | None]]:
    return [(letter.reason, letter.service_name) for letter in decoded.rejections]


@pytest.mark.parametrize("signal", list(REQUESTS))
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(draw=st.data(), chance=st.randoms(use_true_random=False))
def test_json_and_protobuf_decode_to_equal_values(signal: Signal, draw: st.DataObject, chance: Random) -> None:
    message = draw.draw(REQUESTS[signal])
    binary = decode(signal, message.SerializeToString(), "protobuf", "o", limits=LIMITS, received_ns=RECEIVED_NS)
    written = otlp_json(message, chance)
    text = decode(signal, written, "json", "o", limits=LIMITS, received_ns=RECEIVED_NS)
    assert text.items == binary.items
    assert repr(text.items) == repr(binary.items)  # also tells 1 from 1.0 and from True
    assert (text.rejected, _without_sizes(text)) == (binary.rejected, _without_sizes(binary))


@pytest.mark.parametrize("signal", list(REQUESTS))
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(draw=st.data())
def test_what_is_decoded_can_be_written_as_json_and_utf8(signal: Signal, draw: st.DataObject) -> None:
    message = draw.draw(REQUESTS[signal])
    for item in decode(signal, message.SerializeToString(), "protobuf", "o", received_ns=RECEIVED_NS).items:
        written = json.dumps([item.attributes, getattr(item, "data", {})], allow_nan=False, default=bytes.hex)
        assert "\\u0000" not in written


@pytest.mark.parametrize("signal", list(REQUESTS))
@pytest.mark.parametrize("encoding", ["protobuf", "json"])
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(draw=st.data(), chance=st.randoms(use_true_random=False))
def test_mutated_bytes_are_decoded_or_refused_but_never_a_crash(
    signal: Signal, encoding: Any, draw: st.DataObject, chance: Random
) -> None:
    message = draw.draw(REQUESTS[signal])
    body = bytearray(message.SerializeToString() if encoding == "protobuf" else otlp_json(message, chance))
    for position, byte in draw.draw(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=5)):
        if body:
            body[position % len(body)] = byte
    try:
        decoded = decode(signal, bytes(body), encoding, "o", received_ns=RECEIVED_NS)
    except OtlpError:
        return
    assert decoded.count == len(decoded.items) + decoded.rejected
