"""G16: rules of OTLP 1.11 that need a whole service; docs/otlp-conformance.md lists all rules with their tests."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # its stubs clash with types-grpcio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Answer, Server, Tools

pytestmark = pytest.mark.timeout(1800)  # for the full length on a busy machine

MIB = 1024 * 1024
PROTOBUF, JSON = "application/x-protobuf", "application/json"
UNKNOWN_FIELD = b"\xba\x3e\x03new"  # field 999, three bytes


def large(name: str) -> bytes:
    """Return a request of two MiB that compresses to little."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name=name)
    span.start_time_unix_nano = span.end_time_unix_nano = 1_790_000_000 * 10**9
    span.attributes.add(key="text").value.string_value = "x" * 2 * MIB
    return request.SerializeToString()


def test_g16_the_size_limit_is_configurable_and_holds_after_decompression(new_server: "Callable[..., Server]") -> None:
    server = new_server(SPANLEDGER_INGEST_MAX_BODY_MIB="1")
    server.start()
    body = large("too large")
    assert server.post(body).status == 413
    assert server.post(gzip.compress(body), content_encoding="gzip").status == 413
    assert server.call(body)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", compression=grpc.Compression.Gzip) as channel:
        path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        export: Any = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        with pytest.raises(grpc.RpcError) as failed:
            export(body, timeout=90)
    refusal: Any = failed.value
    assert refusal.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not any("retryinfo" in key for key, _ in refusal.trailing_metadata())


def test_g16_answers_to_hostile_requests_stay_small(server: "Server") -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(20_000):
        scope.spans.add(name=f"no identity {number} " + "x" * 100, trace_id=bytes(number % 16))
    answer = server.post(request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, partial.rejected_spans) == (200, 20_000)
    assert partial.error_message
    spans = [{"traceId": "z" * 5000, "spanId": "y" * 5000, "name": "x"}] * 200
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    answers = [
        answer,
        server.post(body, media=JSON),
        server.post(b"{" * 5000, media=JSON),
        server.post(b"", content_encoding="x" * 8000),
        server.post(b"", media="x/" + "y" * 8000),
    ]
    assert max(len(answer.body) for answer in answers) < 16 * 1024


def test_g16_concurrent_unary_calls_are_served_together(server: "Server", tools: "Tools") -> None:
    names = [f"7-{number:06}" for number in range(200)]
    with (
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        ThreadPoolExecutor(50) as pool,
    ):
        path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        export: Any = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        answers = list(pool.map(lambda name: export(tools.numbered(name), timeout=90), names))
    assert set(answers) == {b""}
    server.wait_until_stored()
    assert server.one("SELECT count(*) AS n FROM llm_calls WHERE session_id LIKE '7-%'") == {"n": 200 * 20}


def test_g16_fields_of_future_versions_are_ignored(server: "Server") -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    scope = group.scope_spans.add()
    span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="from the future")
    span.start_time_unix_nano = span.end_time_unix_nano = 1_790_000_000 * 10**9
    event = span.events.add(name="e")
    pair = span.attributes.add(key="k")
    pair.value.string_value = "v"
    for message in (pair.value, pair, event, span, scope.scope, scope, group.resource, group, request):
        message.MergeFromString(UNKNOWN_FIELD)
    body = request.SerializeToString()
    assert body.count(UNKNOWN_FIELD) == 9
    for answer in (server.post(body), server.post(gzip.compress(body), content_encoding="gzip")):
        assert (answer.status, answer.body) == (200, b"")
    assert server.call(body) == (grpc.StatusCode.OK, b"")
    server.wait_until_stored()
    assert server.query("SELECT name FROM spans") == [{"name": "from the future"}]


def test_g16_empty_envelopes_are_accepted(server: "Server") -> None:
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics"):
        for body in (b"", b"\x0a\x00", b"\x0a\x02\x12\x00", b"\x0a\x02\x0a\x00"):
            answer = server.post(body, path=path)
            assert (answer.status, answer.body) == (200, b"")


def test_g16_every_refusal_is_a_status_in_the_encoding_of_the_request(server: "Server") -> None:
    for media in (PROTOBUF, JSON):
        check_refusals(server, media)


def check_refusals(server: "Server", media: str) -> None:
    refusals: dict[int, Callable[[], Answer]] = {
        400: lambda: server.post(b"\xff\xff", media=media),
        405: lambda: server.request("GET", "/v1/traces", headers={"content-type": media}),
        413: lambda: server.post(b"", media=media, content_length=str(65 * MIB)),
        415: lambda: server.post(b"", media=media, content_encoding="br"),
    }
    for status, ask in refusals.items():
        answer = ask()
        assert (answer.status, answer.headers["content-type"]) == (status, media)
        said = Status.FromString(answer.body).message if media == PROTOBUF else json.loads(answer.body)["message"]
        assert said
