"""Writes planned requests as OTLP: the spans that FastAPI's and the providers' official instrumentors would export."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from spanledger_ingest.traffic import _wire as wire
from spanledger_ingest.traffic._catalogue import Fault, Provider, Usage
from spanledger_ingest.traffic._requests import Attempt, Request, ToolRun

MOST_SPANS = 512
"""Spans per export request: the default batch of the OpenTelemetry SDKs."""

_INTERNAL, _SERVER, _CLIENT = 1, 2, 3
_ERROR_STATUS = 2
_FLAGS = b"\x85\x01\x00\x01\x00\x00"  # field 16: sampled bit unset, parent known to be local, as SDKs write it
_GENAI_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
_SERVER_SCOPE = ("opentelemetry.instrumentation.fastapi", "0.66b2", "")
_AGENT_SCOPE = ("opentelemetry.instrumentation.genai.langchain", "1.3b0", _GENAI_SCHEMA)
_MESSAGES: dict[Fault, str] = {
    "rate_limit": "Error code: 429 - rate limit reached for requests",
    "server_error": "Error code: 500 - the server had an error while processing the request",
    "timeout": "Request timed out.",
}

Scope = tuple[str, str, str]
"""Name, version, schema URL."""


class _Encoded(NamedTuple):
    scope: Scope
    span: bytes


def encode(requests: Sequence[Request]) -> bytes:
    """Encode requests as one ExportTraceServiceRequest, its spans grouped by service and scope."""
    groups: dict[str, dict[Scope, list[bytes]]] = {}
    for request in requests:
        scopes = groups.setdefault(request.use_case.service, {})
        for scope, span in _spans(request):
            scopes.setdefault(scope, []).append(wire.message(2, span))
    return b"".join(
        wire.message(1, wire.message(1, _resource(service)) + _scope_spans(scopes))
        for service, scopes in sorted(groups.items())
    )


def span_count(request: Request) -> int:
    """Return how many spans a request has."""
    return 1 + len(request.steps)


def batches(requests: Iterable[Request]) -> Iterable[list[Request]]:
    """Cut a sequence of requests so that each batch has at most `MOST_SPANS` spans and no trace is torn apart."""
    batch: list[Request] = []
    spans = 0
    for request in requests:
        if spans + span_count(request) > MOST_SPANS:
            yield batch
            batch, spans = [], 0
        batch.append(request)
        spans += span_count(request)
    if batch:
        yield batch


@cache
def _resource(service: str) -> bytes:
    attributes = {
        "service.name": service,
        "service.version": "2.4.1",
        "deployment.environment.name": "production",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.2",
    }
    return b"".join(
        wire.message(1, wire.text(1, name) + wire.message(2, wire.text(1, value))) for name, value in attributes.items()
    )


def _scope_spans(scopes: dict[Scope, list[bytes]]) -> bytes:
    return b"".join(wire.message(2, _scope_head(scope) + b"".join(spans)) for scope, spans in sorted(scopes.items()))


@cache
def _scope_head(scope: Scope) -> bytes:
    name, version, schema_url = scope
    head = wire.message(1, wire.text(1, name) + wire.text(2, version))
    return head + wire.text(3, schema_url) if schema_url else head


def _spans(request: Request) -> Iterable[_Encoded]:
    context = _context(request)
    yield _Encoded(_SERVER_SCOPE, _server(request, context))
    for step in request.steps:
        ids = wire.message(1, request.trace_id) + wire.message(2, step.span_id) + wire.message(4, request.span_id)
        if isinstance(step, ToolRun):
            yield _Encoded(_AGENT_SCOPE, ids + _tool(step) + context + _FLAGS)
        else:
            yield _Encoded(_scope(step.model.provider), ids + _call(step) + context + _FLAGS)


def _scope(provider: Provider) -> Scope:
    return provider.scope, provider.scope_version, _GENAI_SCHEMA


def _context(request: Request) -> bytes:
    """Encode what `spanledger.context(...)` puts on every span."""
    return b"".join(
        (
            wire.string("tenant.id", request.tenant.id),
            wire.string("user.id", request.user_id),
            wire.string("session.id", request.session_id),
            wire.string("spanledger.use_case", request.use_case.name),
            wire.string("gen_ai.prompt.name", request.use_case.prompt),
            wire.string("gen_ai.prompt.version", request.prompt_version),
            wire.string("cloud.region", request.region),
        )
    )


def _head(name: str, kind: int, start_ns: int, end_ns: int) -> bytes:
    return wire.text(5, name) + bytes((0x30, kind)) + wire.fixed64(7, start_ns) + wire.fixed64(8, end_ns)


def _status(message: str) -> bytes:
    return wire.message(15, wire.text(2, message) + bytes((0x18, _ERROR_STATUS)))


def _server(request: Request, context: bytes) -> bytes:
    route = request.use_case.route
    return b"".join(
        (
            wire.message(1, request.trace_id),
            wire.message(2, request.span_id),
            _head(f"POST {route}", _SERVER, request.start_ns, request.end_ns),
            wire.string("http.request.method", "POST"),
            wire.string("http.route", route),
            wire.string("url.scheme", "https"),
            wire.integer("http.response.status_code", 502 if request.failed else 200),
            wire.string("error.type", "502") if request.failed else b"",
            context,
            _status("") if request.failed else b"",
            _FLAGS,
        )
    )


def _tool(run: ToolRun) -> bytes:
    return b"".join(
        (
            _head(f"execute_tool {run.tool}", _INTERNAL, run.start_ns, run.end_ns),
            wire.string("gen_ai.operation.name", "execute_tool"),
            wire.string("gen_ai.tool.name", run.tool),
            wire.string("gen_ai.tool.call.id", run.call_id),
            wire.string("gen_ai.tool.type", "function"),
        )
    )


def _call(attempt: Attempt) -> bytes:
    model, provider = attempt.model, attempt.model.provider
    limit = attempt.max_tokens
    asked = b"".join(
        (
            _head(f"{provider.operation} {model.name}", _CLIENT, attempt.start_ns, attempt.end_ns),
            wire.string("gen_ai.operation.name", provider.operation),
            wire.string("gen_ai.provider.name", provider.name),
            wire.string("gen_ai.request.model", model.name),
            wire.string("server.address", provider.server),
            wire.integer("gen_ai.request.max_tokens", limit) if limit is not None else b"",
            wire.boolean("gen_ai.request.stream", value=True) if attempt.stream else b"",
        )
    )
    if attempt.fault is not None:
        fault = provider.error_types[attempt.fault]
        return asked + wire.string("error.type", fault) + _status(_MESSAGES[attempt.fault])
    return asked + _answer(attempt)


def _answer(attempt: Attempt) -> bytes:
    first_chunk = wire.double("gen_ai.response.time_to_first_chunk", attempt.ttft_ns / 1e9) if attempt.stream else b""
    return b"".join(
        (
            wire.strings("gen_ai.response.finish_reasons", attempt.model.provider.finishes[attempt.finish]),
            wire.string("gen_ai.response.model", attempt.served),
            wire.string("gen_ai.response.id", attempt.response_id),
            _usage(attempt.usage),
            first_chunk,
        )
    )


def _usage(usage: Usage) -> bytes:
    """Encode the token counts; instrumentors leave out the classes of which there were none."""
    details = (
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read),
        ("gen_ai.usage.cache_write.input_tokens", usage.cache_write),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
    )
    return b"".join(
        (
            wire.integer("gen_ai.usage.input_tokens", usage.input),
            wire.integer("gen_ai.usage.output_tokens", usage.output),
            *(wire.integer(name, tokens) for name, tokens in details if tokens),
        )
    )
