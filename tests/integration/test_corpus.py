"""Every captured case becomes the calls that the provider really answered, billed once.

``TRUTH`` says what the provider reported, by provider and kind of case. ``KNOWN`` lists where an instrumentation itself
reports something else, or nothing; in everything not listed the settled calls equal the truth.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from spanledger_analytics.memory import MemoryStore
from spanledger_analytics.ports import Related
from spanledger_analytics.queries import CallsQuery
from spanledger_analytics.records import Batch, Call, LogRecord, Span
from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.otlp import decode
from spanledger_ingest.settle import Neighbours, explain, related_keys, settle

CORPUS = Path(__file__).parent.parent / "data" / "corpus"


@dataclass(frozen=True)
class Truth:
    """One call, as the provider answered it; totals include their classes."""

    input: int | None
    output: int | None
    finish: str | None
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    asked: str = ""
    answered: str | None = ""
    http: int | None = None


def plain(finish: str = "stop", **more: Any) -> list[Truth]:
    return [Truth(14, 17, finish, **more)]


def failed(http: int) -> list[Truth]:
    return [Truth(None, None, "error", http=http, answered=None)]


TWO_STEPS = [Truth(62, 16, "tool_call"), Truth(96, 11, "stop")]
SILENT = [Truth(None, None, "stop")]  # the provider sends no usage in streams that do not ask for it

OPENAI = {
    **dict.fromkeys(("chat", "stream", "stream-usage", "chain", "tenant", "responses", "observed-session"), plain()),
    "stream-nousage": SILENT,
    "tool": TWO_STEPS,
    "agent": TWO_STEPS,
    "cached": [Truth(2048, 17, "stop", cache_read=1920)],
    "reasoning": [Truth(21, 420, "stop", reasoning=384, asked="o4-mini", answered="o4-mini")],
    "length": [Truth(14, 16, "length")],
    "responses-length": [Truth(14, 16, "length")],
    "responses-tool": TWO_STEPS,
    "stream-abort": [Truth(None, None, "error")],  # the reader left after three words
    "embeddings": [Truth(16, None, None, asked="text-embedding-3-small", answered="text-embedding-3-small")],
    "rag": plain(),  # its two embedding calls need an instrumented client, and none was on
    "error-429": failed(429),
}
CACHED = [Truth(2048, 17, "stop", cache_read=1664, cache_write=256)]
ANTHROPIC = {
    # "bare": the end of the stream tells the output tokens only, its start told the rest.
    **dict.fromkeys(("chat", "stream-usage", "stream-manager", "stream-bare", "tenant"), plain()),
    "tool": [Truth(380, 58, "tool_call"), Truth(450, 14, "stop")],
    **dict.fromkeys(("cached", "stream-cached", "stream-bare-cached"), CACHED),
    "length": [Truth(14, 16, "length")],
    "error-429": failed(429),
    "error-500": failed(529),
}
GOOGLE = {
    **dict.fromkeys(("chat", "stream-usage", "tenant"), plain()),
    "tool": [Truth(62, 8, "stop")],
    "prompt-block-filter": [Truth(14, None, "content_filter")],
    "cached": [Truth(2048, 17, "stop", cache_read=1920)],
    "length": plain("length"),
    "embeddings": [Truth(7, None, None, asked="gemini-embedding-001", answered="gemini-embedding-001")],
    "error-429": failed(429),
}
BILLED = [Truth(6, 17, "stop")]  # of 72 and 19 consumed
COHERE = {
    **dict.fromkeys(("chat", "stream", "tenant"), BILLED),
    "tool": [Truth(6, 17, "tool_call")],
    "length": [Truth(6, 17, "length")],
    "embeddings": [Truth(6, None, None, asked="embed-v4.0", answered="embed-v4.0")],
    "rerank": [Truth(None, None, None, asked="rerank-v3.5", answered="rerank-v3.5")],  # billed by search units
    "error-429": failed(429),
}
OLLAMA = {
    **dict.fromkeys(("chat", "stream", "tool", "tenant"), plain()),
    "length": plain("length"),
    "async-concurrent": plain() * 6,
}
MISTRAL = {**OPENAI, "tool": TWO_STEPS[:1]}
LITELLM = {**MISTRAL, "embeddings": [Truth(8, None, None, asked="text-embedding-3-small",
                                           answered="text-embedding-3-small")]}  # fmt: skip
LLAMAINDEX = {**OPENAI, "stream": SILENT, "tool": TWO_STEPS[:1]}

TRUTH: Mapping[str, tuple[str, str, str, Mapping[str, list[Truth]]]] = {
    "openai": ("openai", "gpt-4o", "gpt-4o-2024-08-06", OPENAI),
    "langchain": ("openai", "gpt-4o", "gpt-4o-2024-08-06", OPENAI),
    "langchain_openai": ("openai", "gpt-4o", "gpt-4o-2024-08-06", OPENAI),
    "llamaindex": ("openai", "gpt-4o", "gpt-4o-2024-08-06", LLAMAINDEX),
    "llamaindex_openai": ("openai", "gpt-4o", "gpt-4o-2024-08-06", LLAMAINDEX),
    "litellm": ("openai", "gpt-4o", "gpt-4o-2024-08-06", LITELLM),
    "litellm_openai": ("openai", "gpt-4o", "gpt-4o-2024-08-06", LITELLM),
    "anthropic": ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929", ANTHROPIC),
    "google": ("gcp.gemini", "gemini-2.5-flash", "gemini-2.5-flash", GOOGLE),
    "cohere": ("cohere", "command-a-03-2025", "command-a-03-2025", COHERE),
    "ollama": ("ollama", "llama3.2", "llama3.2", OLLAMA),
    "mistral": ("mistral_ai", "mistral-large-latest", "mistral-large-latest", MISTRAL),
}
BEHIND = {"langchain.anthropic": "anthropic", "langchain_anthropic": "anthropic", "langchain.ollama": "ollama",
          "langchain_ollama": "ollama"}  # fmt: skip
"""Which provider answers a framework, where it is not the usual one."""
ONE_TEXT = ("litellmcb-openai", "openlit-openai", "vercellegacy-openai")
"""Families whose case embeds one text and answers one tool call."""

ERROR_TYPES: tuple[tuple[str, str], ...] = (
    ("otelgenai-openai-*", "openai.RateLimitError"),
    ("otelgenai-anthropic-error-429", "anthropic.RateLimitError"),
    ("otelgenai-anthropic-error-500", "anthropic.OverloadedError"),
    ("otelgenai-google-*", "429"),
    ("otelgenai-langchain*", "langchain_openai.chat_models.base.OpenAIRateLimitError"),
    ("openinference-langchain-*", "langchain_openai.chat_models.base.OpenAIRateLimitError"),
    ("openinference-langchain_openai-*", "openai.RateLimitError"),
    ("*-cohere-*", "cohere.errors.too_many_requests_error.TooManyRequestsError"),
    ("openinference-anthropic-*", "rate_limit_error"),
    ("traceloop-anthropic-*", "rate_limit_error"),
    ("openinference-litellm-*", "litellm.exceptions.RateLimitError"),
    ("*-google-*", "google.genai.errors.ClientError"),
    ("openinference-mistral-*", "mistralai.client.errors.sdkerror.SDKError"),
    ("openinference-*", "openai.RateLimitError"),
    ("logfire-*", "openai.RateLimitError"),
    ("openlit-anthropic-*", "anthropic.RateLimitError"),
    ("pydanticai-*", "pydantic_ai.exceptions.ModelHTTPError"),
    ("vercel*", "AI_APICallError"),
    ("traceloop-langchain*", "OpenAIRateLimitError"),
    ("langfuse-*", "429"),  # Langfuse keeps no error class; the status in its message is all there is
    ("*", "RateLimitError"),
)
"""What the most trustworthy span of the failed call names as its error."""

Known = tuple[str, str, Any, str]
KNOWN: tuple[Known, ...] = (
    ("langfuse-*", "request_model", None, "known instrumentor error: Langfuse keeps the answering model only"),
    ("langfuse-*", "finish", None, "known instrumentor error: Langfuse drops the finish reason"),
    ("langfuse-*-error-*", "request_model", "gpt-4o", "Langfuse does keep the model of errors"),
    ("langfuse-*-error-*", "finish", "error", "a failed call ends in error"),
    ("litellmcb-openai-stream", "response_model", "gpt-4o", "known instrumentor error: repeats the request"),
    ("logfire-openai-stream", "response_model", "gpt-4o", "known instrumentor error: repeats the request"),
    ("openinference-cohere-stream", "input", 72, "known instrumentor error: consumed instead of billed tokens"),
    ("openinference-cohere-stream", "output", 19, "known instrumentor error: consumed instead of billed tokens"),
    ("openinference-google-embeddings", "input", None, "known instrumentor error: no usage of embeddings"),
    ("otelgenai-google-embeddings", "input", None, "known instrumentor error: no usage of embeddings"),
    ("otelgenai-google-embeddings", "response_model", None, "known instrumentor error: no response model"),
    *((f"openinference-litellm-{kind}", "response_model", "gpt-4o",
       "known instrumentor error: the request's model stands for the answer's")
      for kind in ("chat", "stream", "stream-nousage", "tenant")),
    ("openinference-llamaindex-*", "response_model", "gpt-4o", "known instrumentor error: the configured model only"),
    ("openinference-llamaindex-error-*", "response_model", None, "nobody answered"),
    ("otelv2*-cached", "cache_read", 0, "known instrumentor error: openai-v2 does not know cached tokens"),
    ("otelv2-openai-stream-usage", "finish", None, "known instrumentor error: openai-v2 loses it in streams"),
    ("traceloop-cohere-*", "response_model", None, "known instrumentor error: Traceloop cohere has no response model"),
    ("traceloop-cohere-embeddings", "input", None, "known instrumentor error: no usage of embeddings"),
    ("traceloop-ollama-*", "finish", None, "known instrumentor error: Traceloop drops ollama's finish reason"),
    ("traceloop-langchain-stream*", "response_model", "gpt-4o", "known instrumentor error: repeats the request"),
    ("traceloop-langchain_openai-stream*", "response_model", "gpt-4o", "known instrumentor error: repeats the request"),
    ("traceloop-litellm*-stream*", "response_model", "gpt-4o", "known instrumentor error: repeats the request"),
    ("traceloop-llamaindex-*", "calls", 0, "known instrumentor error: no span of the model call at all"),
    ("vercellegacy-openai-embeddings", "response_model", None, "known instrumentor error: no response model"),
    ("vercellegacy-openai-error-429", "http", None, "known instrumentor error: the status is nowhere in the span"),
    ("pydanticai-openai-reasoning", "request_model", "gpt-4o", "the case asks gpt-4o"),
    ("pydanticai-openai-reasoning", "response_model", "gpt-4o-2024-08-06", "the case asks gpt-4o"),
    ("litellmcb-openai-chat", "tenant", "team-acme", "the case sends a team id"),
    ("openinference-litellm-chat", "tenant", "acme", "the case sends metadata"),
    ("langfuse-observed-session", "tenant", "acme", "the case sends metadata"),
)  # fmt: skip
"""Case pattern, column, what is stored, and why; a later row of a column overrides an earlier one."""


def _cases() -> list[str]:
    names = {path.name.removesuffix(".binpb") for path in CORPUS.glob("*.binpb") if ".logs" not in path.name}
    return sorted({re.sub(r"\.\d+$", "", name) for name in names})


def _paths(case: str, suffix: str = "") -> list[Path]:
    return sorted(path for pattern in (f"{case}{suffix}.binpb", f"{case}{suffix}.[0-9].binpb")
                  for path in CORPUS.glob(pattern))  # fmt: skip


def _spans(case: str) -> list[Span]:
    return [span for path in _paths(case) for span in decode("traces", path.read_bytes(), "protobuf", "").spans]


def _logs(case: str) -> list[LogRecord]:
    return [log for path in _paths(case, ".logs") for log in decode("logs", path.read_bytes(), "protobuf", "").logs]


def _settled(spans: Iterable[Span]) -> list[Call]:
    spans = list(spans)
    facts = [found.facts for found in map(normalise, spans) if found.facts is not None]
    parents = {(span.owner, span.trace_id, span.span_id): span.parent_span_id for span in spans}
    return settle(facts, parents)


def _split(case: str) -> tuple[str, str, str]:
    family, provider, kind = case.split("-", 2)
    if family == "langfuse" and provider == "observed":
        return family, "openai", "observed-session"
    return family, provider, kind.removesuffix("-nocontent")


def _expected(case: str) -> list[dict[str, Any]]:
    family, group, kind = _split(case)
    provider, asked, answered, kinds = TRUTH[BEHIND.get(group, group)]
    truths = LITELLM[kind] if f"{family}-{group}" in ONE_TEXT and kind in {"tool", "embeddings"} else kinds[kind]
    known = {column: value for pattern, column, value, _ in KNOWN if fnmatch(case, pattern)}
    return [
        {
            "input": truth.input,
            "output": truth.output,
            "cache_read": truth.cache_read,
            "cache_write": truth.cache_write,
            "reasoning": truth.reasoning,
            "provider": provider,
            "request_model": truth.asked or asked,
            "response_model": None if truth.answered is None else truth.answered or answered,
            "finish": truth.finish,
            "error_type": _error_type(case) if truth.http else None,
            "http": truth.http,
            "tenant": "acme" if kind == "tenant" else None,
        }
        | known
        for truth in truths
    ][: known.pop("calls", None)]


def _error_type(case: str) -> str:
    return next(name for pattern, name in ERROR_TYPES if fnmatch(case, pattern))


def _stored(call: Call) -> dict[str, Any]:
    facts, usage = call.facts, call.facts.usage
    return {
        "input": usage.input,
        "output": usage.output or None,
        "cache_read": usage.cache_read or 0,
        "cache_write": usage.cache_write or 0,
        "reasoning": usage.reasoning or 0,
        "provider": facts.provider,
        "request_model": facts.request_model,
        "response_model": facts.response_model,
        "finish": facts.finish_reason,
        "error_type": facts.error_type,
        "http": facts.http_status if facts.status == "error" else None,
        "tenant": facts.tenant_id,
    }


@pytest.mark.parametrize("case", _cases())
def test_calls_equal_the_ground_truth(case: str) -> None:
    billed = sorted((call for call in _settled(_spans(case)) if call.billable), key=lambda call: call.own.start_ns)
    assert [_stored(call) for call in billed] == _expected(case)


@pytest.mark.parametrize("case", _cases())
def test_usage_source_and_every_reason_are_told(case: str) -> None:
    calls = _settled(_spans(case))
    for call in calls:
        counted = call.facts.usage.input is not None or call.facts.usage.output is not None
        assert (call.facts.usage_source == "provider") is counted
    told = explain(calls)
    assert {item.span_id for item in told} == {call.own.span_id for call in calls}
    assert all(item.text and "{" not in item.text for item in told)


def test_every_exception_names_a_case() -> None:
    cases = _cases()
    assert [row for row in KNOWN if not any(fnmatch(case, row[0]) for case in cases)] == []


def test_the_whole_corpus_at_once_has_the_same_calls_and_tokens() -> None:
    one_by_one = [call for case in _cases() for call in _settled(_spans(case)) if call.billable]
    at_once = [call for call in _settled(span for case in _cases() for span in _spans(case)) if call.billable]
    assert at_once == sorted(one_by_one, key=lambda call: (call.own.owner, call.own.trace_id, call.own.span_id))


def test_requests_in_any_order_through_a_store_come_to_the_same_calls() -> None:
    requests = sorted((path for case in _cases() for path in _paths(case)), key=lambda path: path.name[::-1])
    store = MemoryStore()
    for path in requests:
        spans = decode("traces", path.read_bytes(), "protobuf", "").spans
        facts = [found.facts for found in map(normalise, spans) if found.facts is not None]
        keys = related_keys(spans, facts)
        known = store.related(keys) if keys is not None else Related((), {})
        parents = {(span.owner, span.trace_id, span.span_id): span.parent_span_id for span in spans}
        store.append(Batch(spans=spans, calls=settle([*known.facts, *facts], {**known.parents, **parents})))
    at_once = _settled(span for case in _cases() for span in _spans(case))
    rows = store.calls(CallsQuery(limit=1000)).to_pylist()
    assert {(row["span_id"], row["billable"], row["billing_reason"], row["input_tokens"]) for row in rows} == {
        (call.own.span_id, call.billable, call.billing_reason, call.facts.usage.input) for call in at_once
    }


def test_spans_that_arrive_one_by_one_come_to_the_same_calls() -> None:
    spans = sorted((span for case in _cases() for span in _spans(case)), key=lambda span: (span.end_ns, span.span_id))
    store, neighbours = MemoryStore(), Neighbours()
    for span in spans:
        facts = [found for found in [normalise(span).facts] if found is not None]
        keys = neighbours.related_keys([span], facts)
        known = store.related(keys) if keys is not None else Related((), {})
        parents = {(span.owner, span.trace_id, span.span_id): span.parent_span_id}
        store.append(Batch(spans=[span], calls=settle([*known.facts, *facts], {**known.parents, **parents})))
    rows = store.calls(CallsQuery(limit=1000)).to_pylist()
    assert {(row["span_id"], row["billable"], row["billing_reason"], row["input_tokens"]) for row in rows} == {
        (call.own.span_id, call.billable, call.billing_reason, call.facts.usage.input) for call in _settled(spans)
    }


SECRETS = (
    "capital of France", "It is 18 C and rainy", "helpful assistant", "Berlin is in Germany", "sqrt 2 is irrational",
    "rate limit please", "Traceback (most recent call last)", "attached contract",
)  # fmt: skip
"""What was asked, answered and retrieved in the captured sessions."""


@pytest.mark.parametrize("case", _cases())
def test_nothing_that_was_said_stays_on_the_span(case: str) -> None:
    for span in _spans(case):
        found = normalise(span)
        left = repr((found.span.attributes, found.span.events, found.span.status_message))
        assert [secret for secret in SECRETS if secret in left] == []


def test_content_is_kept_apart_for_the_policy_to_decide() -> None:
    kinds: dict[str, set[str]] = {}
    for case in _cases():
        for span in _spans(case):
            kinds.setdefault(case, set()).update(content.kind for content in normalise(span).contents)
    assert {"input", "output", "system"} <= kinds["otelgenai-anthropic-chat"]
    assert {"input", "output", "retrieval"} <= kinds["openinference-langchain-rag"]
    assert {"input", "output", "tools"} <= kinds["otelgenai-openai-tool"]
    assert kinds["otelgenai-openai-chat-nocontent"] == set()


@pytest.mark.parametrize("case", [case for case in _cases() if _paths(case, ".logs")])
def test_log_events_carry_what_was_said_and_lose_it(case: str) -> None:
    spans = {(span.trace_id, span.span_id) for other in _cases() for span in _spans(other)}
    for log in _logs(case):
        found = normalise_log(log)
        left = repr((found.record.attributes, found.record.body))
        assert [secret for secret in SECRETS if secret in left] == []
        assert all((content.trace_id, content.span_id) in spans for content in found.contents)
