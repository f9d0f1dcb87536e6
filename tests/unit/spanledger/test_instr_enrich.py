"""What happens on the export thread: finish reasons, streams, cost, region, masking and the content policy."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

from spanledger._enrich import EnrichingExporter
from spanledger._facts import Facts
from spanledger._guard import reports
from spanledger._pii import mask
from spanledger.settings import ContentPolicy
from spanledger.testing import DEFAULT_NOW, SpanledgerTestKit

CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
LLM: dict[str, Any] = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.model_name": "gpt-4o",
    "llm.token_count.prompt": 1000,
    "llm.token_count.completion": 100,
}
COST = 0.0035
"""gpt-4o: (1000 * 2.50 + 100 * 10.00) / 1e6."""


def export(
    attributes: dict[str, Any], status: Status | None = None, scope: str = "test", **options: Any
) -> dict[str, Any]:
    """The attributes of a span after enrichment."""
    with SpanledgerTestKit(attach=False, **options) as kit:
        span = kit.tracer(scope).start_span("call", attributes=attributes, kind=SpanKind.CLIENT)
        if status is not None:
            span.set_status(status)
        span.end()
    return dict(kit.spans[0].attributes or {})


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("COMPLETE", "stop"),
        ("FinishReason.STOP", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("tool_use", "tool_call"),
        ("tool-calls", "tool_call"),
        ("function_call", "tool_call"),
        ("SAFETY", "content_filter"),
        ("refusal", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("something new", None),
    ],
)
def test_finish_reasons_in_five_words(raw: str, word: str | None) -> None:
    assert export(CHAT | {"gen_ai.response.finish_reasons": [raw]}).get("spanledger.finish_reason") == word
    assert export(LLM | {"llm.finish_reason": raw}).get("spanledger.finish_reason") == word


def test_the_worst_of_several_choices_counts() -> None:
    said = export(CHAT | {"gen_ai.response.finish_reasons": ["stop", "length", "stop"]})
    assert said["spanledger.finish_reason"] == "length"


def test_what_langchain_does_not_say_is_no_error_and_no_abort() -> None:
    scope = "opentelemetry.instrumentation.genai.langchain"
    silent = CHAT | {"gen_ai.response.finish_reasons": ["error"], "gen_ai.response.time_to_first_chunk": 0.1}
    said = export(silent, scope=scope)
    assert not {"gen_ai.response.finish_reasons", "spanledger.finish_reason", "spanledger.stream.aborted"} & set(said)
    assert said["gen_ai.usage.cost.amount"] == COST
    assert export(silent)["spanledger.finish_reason"] == "error"
    assert export(silent, Status(StatusCode.ERROR), scope=scope)["spanledger.finish_reason"] == "error"


def test_a_gemini_tool_call_that_ends_with_stop_is_a_tool_call() -> None:
    call = {"llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "weather"}
    assert export(LLM | call | {"llm.finish_reason": "STOP"})["spanledger.finish_reason"] == "tool_call"


def test_both_dialects_are_priced_and_others_are_not() -> None:
    assert export(CHAT)["gen_ai.usage.cost.amount"] == COST
    assert export(LLM)["gen_ai.usage.cost.amount"] == COST
    for operation in ("invoke_agent", "invoke_workflow", "execute_tool", "fetch_response"):
        assert not any("cost" in name for name in export(CHAT | {"gen_ai.operation.name": operation}))
    for kind in ("AGENT", "CHAIN", "TOOL", "RETRIEVER"):
        assert not any("cost" in name for name in export(LLM | {"openinference.span.kind": kind}))
    plain = {key: value for key, value in CHAT.items() if key != "gen_ai.operation.name"}
    assert export(plain) == plain


@pytest.mark.parametrize(
    "change",
    [
        {"gen_ai.request.model": "house-model-7"},
        {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0},
        {"gen_ai.usage.cache_read.input_tokens": 2000},
        {"openai.response.service_tier": "imaginary"},
    ],
)
def test_what_is_not_known_has_no_cost(change: dict[str, Any]) -> None:
    assert not any("cost" in name for name in export(CHAT | change))


def test_a_cost_that_is_there_already_stays() -> None:
    said = export(CHAT | {"gen_ai.usage.cost.amount": 9.5, "gen_ai.usage.cost.source": "provider"})
    assert said["gen_ai.usage.cost.amount"] == 9.5
    assert said["gen_ai.usage.cost.source"] == "provider"


def test_an_own_price_function_and_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "reraise", False)
    seen: list[tuple[Facts, int]] = []

    def price(facts: Facts, at: int) -> float:
        seen.append((facts, at))
        return 0.25

    assert export(CHAT, cost=price)["gen_ai.usage.cost.amount"] == 0.25
    assert seen[0][1] == DEFAULT_NOW
    assert seen[0][0].request_model == "gpt-4o"

    def broken(facts: Facts, at: int) -> float:
        raise ArithmeticError(facts, at)

    assert "gen_ai.usage.cost.amount" not in export(CHAT, cost=broken)


STREAM = CHAT | {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.1}
ABANDONED = Status(StatusCode.ERROR, "abandoned stream")


def test_a_stream_without_an_end_is_marked() -> None:
    for status, error in ((None, {}), (ABANDONED, {"error.type": "_OTHER"})):
        said = export(STREAM | error, status)
        assert said["spanledger.stream.aborted"] is True
        assert said["spanledger.finish_reason"] == "error"


def test_a_reader_who_leaves_after_the_end_is_no_error() -> None:
    ended = STREAM | {"gen_ai.response.finish_reasons": ["stop"], "error.type": "_OTHER"}
    said = export(ended, ABANDONED)
    assert "error.type" not in said
    assert "spanledger.stream.aborted" not in said
    assert said["spanledger.finish_reason"] == "stop"


def test_a_stream_that_never_began_is_an_error_but_not_aborted() -> None:
    refused = {key: value for key, value in STREAM.items() if "first_chunk" not in key}
    said = export(refused | {"error.type": "openai.RateLimitError"}, Status(StatusCode.ERROR, "429"))
    assert "spanledger.stream.aborted" not in said
    assert said["spanledger.finish_reason"] == "error"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1"),
        ("europe-west4-aiplatform.googleapis.com", "europe-west4"),
        ("eu.api.openai.com", "eu"),
        ("api.openai.com", None),
        ("127.0.0.1", None),
    ],
)
def test_the_region_is_read_off_the_endpoint(host: str, region: str | None) -> None:
    assert export(CHAT | {"server.address": host}).get("cloud.region") == region
    assert export(CHAT | {"server.address": host, "cloud.region": "mine"})["cloud.region"] == "mine"


def test_the_response_id_is_saved_before_the_output_is_dropped() -> None:
    output = json.dumps({"id": "chatcmpl-9", "choices": []})
    said = export(LLM | {"output.value": output, "output.mime_type": "application/json"})
    assert said["gen_ai.response.id"] == "chatcmpl-9"
    assert "output.value" not in said
    for other in ("Hello", "{not json", '{"id": 5}', "[]"):
        assert "gen_ai.response.id" not in export(LLM | {"output.value": other})


CONTENT = {
    "gen_ai.input.messages": "mail ann@example.com",
    "gen_ai.output.messages": "card 4111 1111 1111 1111",
    "gen_ai.system_instructions": "be kind",
    "gen_ai.tool.definitions": "[]",
    "gen_ai.tool.call.arguments": "{}",
    "gen_ai.retrieval.documents": "[]",
    "gen_ai.retrieval.query.text": "hi",
    "gen_ai.prompt.0.content": "hi",
    "gen_ai.completion.0.content": "hi",
    "gen_ai.prompt.variable.name": "Ann",
    "input.value": "hi",
    "output.value": "hi",
    "llm.input_messages.0.message.content": "hi",
    "llm.output_messages.0.message.content": "hi",
    "llm.tools.0.tool.json_schema": "{}",
    "retrieval.documents.0.document.content": "text",
    "embedding.embeddings.0.embedding.text": "text",
    "traceloop.entity.input": "hi",
}
KEPT = {
    "gen_ai.prompt.name": "greeting",
    "gen_ai.prompt.version": "v3",
    "gen_ai.tool.name": "weather",
    "llm.model_name": "gpt-4o",
    "input.mime_type": "text/plain",
    "app.note": "ann@example.com",
}


@pytest.mark.parametrize("policy", ["none", "masked", "full"])
def test_the_content_policy(policy: ContentPolicy) -> None:
    said = export(CONTENT | KEPT, content=policy)
    assert {key: said[key] for key in KEPT} == KEPT
    if policy == "none":
        assert not set(CONTENT) & set(said)
    elif policy == "masked":
        assert set(CONTENT) <= set(said)
        assert said["gen_ai.input.messages"] == "mail [email]"
        assert said["gen_ai.output.messages"] == "card [card]"
    else:
        assert {key: said[key] for key in CONTENT} == CONTENT


def test_invocation_parameters_keep_numbers_and_names_only() -> None:
    parameters = {"model": "gpt-4o", "temperature": 0.1, "stream": True, "messages": ["secret"], "tools": [{}]}
    said = export(LLM | {"llm.invocation_parameters": json.dumps(parameters)})
    kept = {"model": "gpt-4o", "temperature": 0.1, "stream": True}
    assert json.loads(said["llm.invocation_parameters"]) == kept
    assert export(LLM | {"llm.invocation_parameters": "not json"})["llm.invocation_parameters"] == "{}"


@pytest.mark.parametrize("policy", ["none", "masked", "full"])
def test_events_follow_the_policy(policy: ContentPolicy) -> None:
    with SpanledgerTestKit(attach=False, content=policy) as kit:
        span = kit.tracer().start_span("call", attributes=CHAT)
        span.add_event("gen_ai.user.message", {"content": "mail ann@example.com"})
        span.add_event("app.step", {"n": 1})
        span.record_exception(ValueError("key sk-abcdefghijklmnopqrstuvwx is bad"))
        span.end()
    events = {event.name: dict(event.attributes or {}) for event in kit.spans[0].events}
    assert events["app.step"] == {"n": 1}
    if policy == "full":
        assert "exception.stacktrace" in events["exception"]
        assert events["gen_ai.user.message"]["content"] == "mail ann@example.com"
        return
    assert "exception.stacktrace" not in events["exception"]
    assert events["exception"]["exception.message"] == "key [secret] is bad"
    assert events["exception"]["exception.type"] == "ValueError"
    assert ("gen_ai.user.message" in events) is (policy == "masked")
    if policy == "masked":
        assert events["gen_ai.user.message"]["content"] == "mail [email]"


class Failing(SpanExporter):
    """Counts what reaches it."""

    def __init__(self) -> None:
        self.batches: list[Sequence[ReadableSpan]] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append(spans)
        return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return timeout_millis > 0


def test_a_span_that_cannot_be_examined_is_dropped_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "reraise", False)
    behind = Failing()
    exporter = EnrichingExporter(behind)
    good = ReadableSpan("good", attributes={"a": 1})
    bad: Any = object()
    assert exporter.export([good, bad]) is SpanExportResult.FAILURE
    assert [[span.name for span in batch] for batch in behind.batches] == [["good"]]
    assert exporter.export([bad]) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    exporter.shutdown()


def test_enrichment_leaves_the_original_and_its_identity_alone() -> None:
    behind = Failing()
    with SpanledgerTestKit(attach=False) as kit:
        span: Any = kit.tracer().start_span("call", attributes=CHAT | {"input.value": "hi"}, kind=SpanKind.CLIENT)
        span.end()
        EnrichingExporter(behind).export([span])
    copy = behind.batches[0][0]
    assert "input.value" in span.attributes
    assert "gen_ai.usage.cost.amount" not in span.attributes
    for name in ("name", "context", "parent", "kind", "start_time", "end_time", "resource", "instrumentation_scope"):
        assert getattr(copy, name) == getattr(span, name)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ann.lee+x@mail.example.co.uk now", "write to [email] now"),
        ("card 4111-1111-1111-1111.", "card [card]."),
        ("amex 378282246310005", "amex [card]"),
        ("order 4111111111111112", "order 4111111111111112"),
        ("iban DE89 3704 0044 0532 0130 00 ok", "iban [iban] ok"),
        ("iban GB82WEST12345698765432", "iban [iban]"),
        ("code DE89370400440532013001", "code DE89370400440532013001"),
        ("ssn 123-45-6789", "ssn [ssn]"),
        ("no ssn 000-45-6789 or 123-00-6789", "no ssn 000-45-6789 or 123-00-6789"),
        ("from 192.168.10.7:8080", "from [ip]:8080"),
        ("version 1.2.3 and 999.1.1.1", "version 1.2.3 and 999.1.1.1"),
        ("v6 2001:db8::8a2e:370:7334 up", "v6 [ip] up"),
        ("at 12:30:45 sharp", "at 12:30:45 sharp"),
        ("call +49 30 1234567 or (555) 123-4567", "call [phone] or [phone]"),
        ("key sk-proj-abcdefghijklmnopqrst here", "key [secret] here"),
        ("sk-ant-" + "api03-a1B2" * 3, "[secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: Bearer [secret]"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----", "[secret]"),
        ("a task-list of disk-space", "a task-list of disk-space"),
        ("14 tokens, 3.5 seconds, 2026-01-01", "14 tokens, 3.5 seconds, 2026-01-01"),
    ],
)
def test_masking(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(st.text(max_size=200))
def test_masking_is_total_and_settles(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


def test_masking_of_long_hostile_text_is_linear() -> None:
    for part in ("1 ", "a.", "-", "@", "DE12 ", "(", "+1 ", ":", "sk-"):
        assert isinstance(mask(part * 20_000), str)
