"""G15: whatever is sent, the service answers in the words of the protocol and lives on."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # its stubs clash with types-grpcio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Tools

pytestmark = pytest.mark.timeout(3600)  # for the full length on a busy machine

CORPUS = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "data" / "corpus").glob("*.binpb"))]
FULL = os.environ.get("SPANLEDGER_FULL") == "1"
EXAMPLES = settings(
    deadline=None, max_examples=5000 if FULL else 150, suppress_health_check=list(HealthCheck)
)  # fmt: skip
PROTOBUF, JSON = "application/x-protobuf", "application/json"
SIGNALS: dict[str, tuple[type[Message], type[Message], str]] = {
    "traces": (ExportTraceServiceRequest, ExportTraceServiceResponse, "trace.v1.TraceService"),
    "logs": (ExportLogsServiceRequest, ExportLogsServiceResponse, "logs.v1.LogsService"),
    "metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse, "metrics.v1.MetricsService"),
}
REFUSALS = {400, 413, 415}
CODES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request of the corpus with some bytes changed, removed, repeated, or taken from another one."""
    body = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(body)))
        until = min(len(body), at + draw(st.integers(0, 40)))
        other = draw(st.sampled_from(CORPUS))
        start = draw(st.integers(0, len(other)))
        copies = st.sampled_from([b"", bytes(body[at:until]) * 3, other[start : start + 200]])
        new = draw(st.binary(max_size=20) | copies)
        body[at:until] = new
    return bytes(body)


WORDS = st.sampled_from([
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.response.id", "gen_ai.response.model",
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.input.messages", "llm.token_count.prompt",
    "tenant.id", "session.id", "service.name", "chat", "gpt-4o", "openai", "__proto__", "",
])  # fmt: skip
TEXT = WORDS | st.text(max_size=20)


def fill(draw: st.DrawFn, message: Message, depth: int = 0) -> None:
    """Give a message random fields, also such as make no sense."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None:
            if draw(st.booleans()):
                _set(draw, message, field)
        elif (depth < 14 and draw(st.integers(0, 2 + depth // 5)) == 0) or depth < 3:
            if field.is_repeated:
                for _ in range(draw(st.integers(0, 2))):
                    fill(draw, getattr(message, field.name).add(), depth + 1)
            else:
                inner = getattr(message, field.name)
                inner.SetInParent()
                fill(draw, inner, depth + 1)


def _set(draw: st.DrawFn, message: Message, field: Any) -> None:
    value = _scalar(draw, field)
    if field.is_repeated:
        getattr(message, field.name).extend([value])
    else:
        setattr(message, field.name, value)


def _scalar(draw: st.DrawFn, field: Any) -> Any:
    if field.type == field.TYPE_STRING:
        return draw(TEXT)
    if field.type == field.TYPE_BYTES:
        return draw(st.sampled_from([b"", bytes(16), b"\x01" * 16, b"\x02" * 8]) | st.binary(max_size=20))
    if field.type == field.TYPE_BOOL:
        return draw(st.booleans())
    if field.type in {field.TYPE_DOUBLE, field.TYPE_FLOAT}:
        return draw(st.floats())
    bits = 32 if field.cpp_type in {field.CPPTYPE_INT32, field.CPPTYPE_UINT32, field.CPPTYPE_ENUM} else 64
    signed = field.cpp_type in {field.CPPTYPE_INT32, field.CPPTYPE_INT64, field.CPPTYPE_ENUM}
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    likely = [now for now in (1_790_000_000 * 10**9, 1, 0, high, low) if low <= now <= high]
    return draw(st.sampled_from(likely) | st.integers(low, high))


@st.composite
def built(draw: st.DrawFn, signal: str) -> Message:
    message = SIGNALS[signal][0]()
    fill(draw, message)
    return message


def check(server: "Server", signal: str, body: bytes, media: str) -> None:
    """Send a body; the answer must be a message of the protocol, in the encoding of the request."""
    response = SIGNALS[signal][1]
    answer = server.post(body, path=f"/v1/{signal}", media=media)
    assert answer.status == 200 or answer.status in REFUSALS, answer
    assert answer.headers["content-type"] == media
    expected = response if answer.status == 200 else Status
    if media == PROTOBUF:
        expected.FromString(answer.body)
    else:
        said = json.loads(answer.body)
        assert said.keys() <= ({"partialSuccess"} if answer.status == 200 else {"code", "message", "details"})


def check_grpc(server: "Server", signal: str, body: bytes) -> None:
    _, response, service = SIGNALS[signal]
    code, answer = server.call(body, f"/opentelemetry.proto.collector.{service}/Export")
    assert code in CODES, code
    response.FromString(answer)


def lives(server: "Server") -> None:
    """Check that all of it was processed: an item that the normaliser cannot take is a defect of ours."""
    server.wait_until_stored()
    reasons = [row["reason"] for row in server.get("/api/v1/ingest/rejected").json()["items"]]
    assert [reason for reason in reasons if re.search("(processing|decoding) failed", reason)] == []
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "cannot take a request" not in log
    for path in ("/readyz", "/metrics", "/api/v1/calls?limit=500", "/api/v1/usage?by=tenant,model,provider"):
        assert server.get(path).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("signal", SIGNALS)
def test_g15_mutated_requests(server: "Server", signal: str) -> None:
    @EXAMPLES
    @given(body=mutated(), over_grpc=st.booleans())
    def send(body: bytes, *, over_grpc: bool) -> None:
        if over_grpc:
            check_grpc(server, signal, body)
        else:
            check(server, signal, body, PROTOBUF)

    send()
    lives(server)


@pytest.mark.slow
@pytest.mark.parametrize("signal", SIGNALS)
def test_g15_built_requests(server: "Server", signal: str) -> None:
    @EXAMPLES
    @given(message=built(signal), way=st.sampled_from(["http", "grpc", "json"]), cut=st.none() | st.integers(0, 2000))
    def send(message: Message, way: str, cut: int | None) -> None:
        if way == "json":
            check(server, signal, MessageToJson(message).encode()[:cut], JSON)
        elif way == "http":
            check(server, signal, message.SerializeToString()[:cut], PROTOBUF)
        else:
            check_grpc(server, signal, message.SerializeToString()[:cut])

    send()
    lives(server)


@pytest.mark.slow
def test_g15_the_rest_api_by_its_openapi(server: "Server", tools: "Tools") -> None:
    import schemathesis

    assert server.post(tools.numbered("seen")).status == 200
    server.wait_until_stored()
    base = f"http://127.0.0.1:{server.port}"
    schema = schemathesis.openapi.from_dict(server.get("/openapi.json").json())
    found: list[Any] = list(schema.get_all_operations())
    operations = [result.ok() for result in found]
    assert len(operations) >= 8
    for operation in operations:
        _try(operation, base)
    assert server.get("/readyz").status == 200
    assert "Traceback" not in server.log.read_text()


def _try(operation: Any, base: str) -> None:
    examples = settings(EXAMPLES, max_examples=500 if FULL else 25)

    @examples
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        answer = case.call(base_url=base)
        assert answer.status_code < 500 or answer.status_code in {503, 504}, (operation.label, answer.text[:500])

    ask()
