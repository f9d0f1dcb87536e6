"""The same spans, sent by the exporters of the Python and JavaScript OpenTelemetry SDKs, become the same rows.

The spans stand in ``js/spans.json``. Every sender gives them a trace id of its own, nothing else differs.
"""

import functools
import json
import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from spanledger._export import SpoolingExporter

JS = Path(__file__).parent / "js"
KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}

Send = Callable[[Any, str], None]
"""Sends the spans to a running service under a trace id."""


class GivenIds(IdGenerator):
    def __init__(self, trace_id: str, span_ids: list[str]) -> None:
        self._trace_id = int(trace_id, 16)
        self._span_ids = iter(span_ids)

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return int(next(self._span_ids), 16)


def send_from_python(make: Callable[[Any], SpanExporter], service: Any, trace_id: str) -> None:
    wanted = json.loads((JS / "spans.json").read_text().replace("TRACE", trace_id))
    spans, exporter = wanted["spans"], make(service)
    ids = GivenIds(trace_id, [span["span_id"] for span in spans])
    provider = TracerProvider(resource=Resource(wanted["resource"]), id_generator=ids)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer(wanted["scope"]["name"], wanted["scope"]["version"])
    for span in spans:
        record(tracer, span, trace_id, wanted["start_seconds"] * 10**9)
    provider.force_flush()
    provider.shutdown()


def record(tracer: trace.Tracer, wanted: dict[str, Any], trace_id: str, start_ns: int) -> None:
    def context_of(span_id: str) -> SpanContext:
        return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(1))

    parent = wanted.get("parent")
    span = tracer.start_span(
        wanted["name"],
        context=trace.set_span_in_context(NonRecordingSpan(context_of(parent))) if parent else None,
        kind=KINDS[wanted["kind"]],
        attributes=wanted["attributes"],
        links=[trace.Link(context_of(span_id)) for span_id in wanted.get("links", [])],
        start_time=start_ns + wanted["start_nanos"],
    )
    for event in wanted.get("events", []):
        span.add_event(event["name"], event["attributes"], start_ns + event["nanos"])
    if "error" in wanted:
        span.set_status(Status(StatusCode.ERROR, wanted["error"]))
    span.end(start_ns + wanted["end_nanos"])


def send_from_javascript(protocol: str, compression: str, service: Any, trace_id: str, modules: Path) -> None:
    endpoint = f"http://{service.grpc}" if protocol == "grpc" else service.http
    subprocess.run(
        ["node", str(JS / "send.cjs"), protocol, compression, endpoint, trace_id],
        check=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "NODE_PATH": str(modules)},
    )


def _http(compression: Compression) -> Send:
    return functools.partial(
        send_from_python, lambda service: HttpExporter(f"{service.http}/v1/traces", compression=compression)
    )


def _grpc(compression: grpc.Compression) -> Send:
    return functools.partial(
        send_from_python, lambda service: GrpcExporter(service.grpc, insecure=True, compression=compression)
    )


REFERENCE = _http(Compression.NoCompression)
PYTHON_SENDERS: dict[str, Send] = {
    "python http/protobuf gzip": _http(Compression.Gzip),
    "python grpc": _grpc(grpc.Compression.NoCompression),
    "python grpc gzip": _grpc(grpc.Compression.Gzip),
    "python spanledger": functools.partial(send_from_python, lambda service: SpoolingExporter(service.http)),
}


def rows_of(service: Any, trace_id: str) -> dict[str, Any]:
    """What the service has of a trace: calls and spans, without the trace id."""
    stored = {
        "calls": service.get(f"/api/v1/calls?trace_id={trace_id}"),
        "trace": service.get(f"/api/v1/traces/{trace_id}"),
    }
    rows: dict[str, Any] = json.loads(json.dumps(stored).replace(trace_id, "TRACE"), object_hook=_without_trace_flags)
    return rows


def _without_trace_flags(row: dict[str, Any]) -> dict[str, Any]:
    """The one thing that the SDKs really send differently: Python leaves the W3C bits out of a span's flags."""
    return row | {"flags": row["flags"] & ~0xFF} if isinstance(row.get("flags"), int) else row


@pytest.fixture(scope="module")
def reference(running_service: Any) -> dict[str, Any]:
    trace_id = secrets.token_hex(16)
    REFERENCE(running_service, trace_id)
    return rows_of(running_service, trace_id)


def test_the_rows_say_what_was_sent(reference: dict[str, Any]) -> None:
    calls = {call["span_id"]: call for call in reference["calls"]["items"]}
    assert sorted(calls) == ["00000000000000a2", "00000000000000a3", "00000000000000a4"]
    chat, embeddings, failed = (calls[span_id] for span_id in sorted(calls))
    assert chat["provider"] == "openai"
    assert chat["response_id"] == "chatcmpl-TRACE"
    assert (chat["input_tokens"], chat["output_tokens"], chat["cache_read_tokens"]) == (1200, 80, 1024)
    assert chat["time"].startswith("2026-09-10T00:26:40.010")
    assert chat["duration_ms"] == pytest.approx(400.000001)
    assert (chat["tenant_id"], chat["use_case"], chat["service_name"]) == ("acme", "support", "interop-shop")
    assert embeddings["operation"] == "embeddings"
    assert all(call["billable"] for call in calls.values())
    assert chat["cost_status"] == embeddings["cost_status"] == "priced"
    assert (failed["status"], failed["error_type"], failed["cost_usd"]) == ("error", "overloaded_error", None)


@pytest.mark.parametrize("sender", PYTHON_SENDERS)
def test_every_python_exporter_delivers_the_same_rows(
    sender: str, running_service: Any, reference: dict[str, Any]
) -> None:
    trace_id = secrets.token_hex(16)
    PYTHON_SENDERS[sender](running_service, trace_id)
    assert rows_of(running_service, trace_id) == reference


@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf", "grpc"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_every_javascript_exporter_delivers_the_same_rows(
    protocol: str,
    compression: str,
    running_service: Any,
    reference: dict[str, Any],
    node_modules: Callable[[Path], Path],
) -> None:
    trace_id = secrets.token_hex(16)
    send_from_javascript(protocol, compression, running_service, trace_id, node_modules(JS))
    assert rows_of(running_service, trace_id) == reference
