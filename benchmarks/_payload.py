"""The benchmark's spans: OTLP requests of 512 spans, deterministic by batch number.

Half are model calls with the OTel GenAI names (18-26 attributes; two in five carry 1-4 KB of prompt and of completion,
2 % failed), half are the HTTP requests inside them. 200 tenants after Zipf's law, 8 models. About 1,740 bytes a span.
"""

import bisect
import json
import random
from functools import cache
from itertools import accumulate
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

SPANS_PER_BATCH = 512
CALLS_PER_BATCH = SPANS_PER_BATCH // 2
TENANTS = 200
MODELS = (
    ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("openai", "gpt-4o", "gpt-4o-2024-08-06"),
    ("anthropic", "claude-sonnet-4-0", "claude-sonnet-4-20250514"),
    ("openai", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
    ("anthropic", "claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
    ("openai", "gpt-4.1", "gpt-4.1-2025-04-14"),
    ("openai", "o3-mini", "o3-mini-2025-01-31"),
    ("openai", "gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"),
)
_ERRORS = 0.02
_WITH_TEXT = 0.4
_ERROR_TYPES = ("rate_limit_exceeded", "timeout", "500")
_BATCH_NS = 25_000_000
"""Time between batches: 20,480 spans a second."""
_VALUES: dict[type, str] = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}

Value = str | bool | int | float | list[str]


def request(number: int, base_ns: int, batch_ns: int = _BATCH_NS) -> bytes:
    """Return one serialised ExportTraceServiceRequest.

    Args:
        number: of the batch; the same number makes the same spans.
        base_ns: when batch 0 started, ns since the epoch.
        batch_ns: time between the starts of two batches, ns.
    """
    chance = random.Random(number)  # noqa: S311 - a benchmark, and it must be repeatable
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    _set(resource_spans.resource.attributes, _RESOURCE)
    calls, web = resource_spans.scope_spans.add(), resource_spans.scope_spans.add()
    calls.scope.name, calls.scope.version = "opentelemetry.instrumentation.genai.openai", "1.3b0"
    calls.schema_url = "https://opentelemetry.io/schemas/1.37.0"
    web.scope.name, web.scope.version = "opentelemetry.instrumentation.httpx", "0.66b2"
    start_ns = base_ns + number * batch_ns
    for place in range(CALLS_PER_BATCH):
        _add_call(chance, calls, web, start_ns + place * (batch_ns // CALLS_PER_BATCH))
    return message.SerializeToString()


_RESOURCE: dict[str, Value] = {
    "service.name": "assistant",
    "service.version": "2.4.1",
    "deployment.environment.name": "production",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
}


def _add_call(chance: random.Random, calls: ScopeSpans, web: ScopeSpans, start_ns: int) -> None:
    trace_id, call_id, web_id = chance.randbytes(16), chance.randbytes(8), chance.randbytes(8)
    provider, model, answering = MODELS[min(int(chance.expovariate(0.5)), len(MODELS) - 1)]
    failed = chance.random() < _ERRORS
    duration_ns = int(chance.lognormvariate(0.3, 0.8) * 1e9)
    call = calls.spans.add(trace_id=trace_id, span_id=call_id, name=f"chat {model}", kind=3)
    _times(call, start_ns, duration_ns)
    _set(call.attributes, _call_attributes(chance, provider, model))
    if failed:
        call.status.code = Status.STATUS_CODE_ERROR
        _set(call.attributes, {"error.type": chance.choice(_ERROR_TYPES)})
    else:
        _set(call.attributes, _answer_attributes(chance, answering))
    if chance.random() < _WITH_TEXT:
        _set(call.attributes, _texts(chance))
    inner = web.spans.add(trace_id=trace_id, span_id=web_id, parent_span_id=call_id, name="POST", kind=3)
    _times(inner, start_ns + 200_000, duration_ns - 400_000)
    _set(inner.attributes, _http_attributes(provider, failed=failed))


def _times(span: Span, start_ns: int, duration_ns: int) -> None:
    span.start_time_unix_nano, span.end_time_unix_nano = start_ns, start_ns + duration_ns


def _call_attributes(chance: random.Random, provider: str, model: str) -> dict[str, Value]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.top_p": 0.95,
        "gen_ai.request.max_tokens": 2048,
        "gen_ai.request.stream": chance.random() < 0.5,
        "gen_ai.output.type": "text",
        "gen_ai.conversation.id": f"conversation-{chance.randrange(10**6):06}",
        "server.address": f"api.{provider}.com",
        "server.port": 443,
        "tenant.id": f"tenant-{_zipf(chance):03}",
        "user.id": f"user-{chance.randrange(20_000):05}",
        "session.id": f"session-{chance.randrange(10**6):06}",
        "spanledger.use_case": chance.choice(("chat", "summary", "extraction", "search")),
        "gen_ai.prompt.name": chance.choice(("greeting", "support", "digest")),
        "gen_ai.prompt.version": "7",
    }


def _answer_attributes(chance: random.Random, answering: str) -> dict[str, Value]:
    tokens = int(chance.lognormvariate(6.5, 1.0)) + 8
    return {
        "gen_ai.response.id": f"chatcmpl-{chance.randbytes(14).hex()}",
        "gen_ai.response.model": answering,
        "gen_ai.response.finish_reasons": [chance.choices(("stop", "length", "tool_calls"), (90, 5, 5))[0]],
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.usage.output_tokens": int(chance.lognormvariate(5.0, 0.9)) + 1,
        "gen_ai.usage.cache_read.input_tokens": tokens // 2 if chance.random() < 0.3 else 0,
        "gen_ai.response.time_to_first_chunk": round(chance.lognormvariate(-0.9, 0.5), 6),
    }


def _texts(chance: random.Random) -> dict[str, Value]:
    return {
        f"gen_ai.{side}.messages": json.dumps(
            [{"role": role, "parts": [{"type": "text", "content": _prose(chance, chance.randrange(1024, 4096))}]}]
        )
        for side, role in (("input", "user"), ("output", "assistant"))
    }


def _http_attributes(provider: str, *, failed: bool) -> dict[str, Value]:
    return {
        "http.request.method": "POST",
        "url.full": f"https://api.{provider}.com/v1/chat/completions",
        "server.address": f"api.{provider}.com",
        "server.port": 443,
        "http.response.status_code": 500 if failed else 200,
        "network.protocol.version": "1.1",
        "network.peer.address": "203.0.113.7",
        "network.peer.port": 443,
        "user_agent.original": "python-httpx/0.28.1",
    }


def _set(target: Any, attributes: dict[str, Value]) -> None:
    """Add attributes to a repeated field of KeyValue."""
    for key, value in attributes.items():
        pair = target.add(key=key)
        if isinstance(value, list):
            for item in value:
                pair.value.array_value.values.add(string_value=item)
        else:
            setattr(pair.value, _VALUES[type(value)], value)


@cache
def _shares() -> list[float]:
    return list(accumulate(1 / rank for rank in range(1, TENANTS + 1)))


def _zipf(chance: random.Random) -> int:
    shares = _shares()
    return bisect.bisect(shares, chance.random() * shares[-1])


@cache
def _words() -> list[str]:
    chance = random.Random(1)  # noqa: S311 - same
    letters = "eeeetttaaooiinnsshhrrddlu"
    return ["".join(chance.choices(letters, k=chance.randrange(2, 11))) for _ in range(300)]


def _prose(chance: random.Random, length: int) -> str:
    return " ".join(chance.choices(_words(), k=length // 7))
