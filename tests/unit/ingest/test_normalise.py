"""The mapping table reads every dialect, repairs what is known to be wrong, and survives anything."""

from typing import Any

import pytest

from spanledger_analytics.records import CallFacts, Event, Resource, Scope, Span
from spanledger_ingest.normalise import normalise
from spanledger_ingest.normalise._table import FIELDS

T0 = 1_790_000_000_000_000_000
TRACE, SPAN = "0" * 31 + "1", "0" * 15 + "2"


def make(attributes: dict[str, Any], **more: Any) -> Span:
    fields: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "name": "x",
        "kind": "client",
        "start_ns": T0,
        "end_ns": T0 + 10**9,
    }
    return Span(**(fields | more), attributes=attributes)


def facts(attributes: dict[str, Any], **more: Any) -> CallFacts:
    found = normalise(make(attributes, **more)).facts
    assert found is not None
    return found


def chat(**more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"} | more


def test_ordinary_spans_say_nothing_and_stay_the_same_object() -> None:
    span = make({"http.request.method": "GET", "server.address": "api.openai.com"}, status="error", status_message="no")
    found = normalise(span)
    assert found.facts is None
    assert found.span is span
    assert not found.contents


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "execute_tool", "gen_ai.usage.input_tokens": 5},
        {"gen_ai.operation.name": "fetch_response", "gen_ai.usage.input_tokens": 5, "gen_ai.response.id": "r"},
        {"gen_ai.operation.name": "retrieval", "gen_ai.provider.name": "InMemoryVectorStore"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.aggregated_usage.input_tokens": 158},
        {"openinference.span.kind": "CHAIN"},
        {"openinference.span.kind": "TOOL", "llm.token_count.prompt": 3},
        {"langfuse.observation.type": "span"},
        {"ai.operationId": "ai.toolCall"},
        {"gen_ai.operation.name": "summon_demon"},
        {"gen_ai.operation.name": ["chat"]},
    ],
)
def test_what_is_no_model_call_has_no_facts(attributes: dict[str, Any]) -> None:
    assert normalise(make(attributes)).facts is None


@pytest.mark.parametrize(
    ("attributes", "kind", "rollup"),
    [
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 158}, "client", True),
        ({"ai.operationId": "ai.generateText", "ai.usage.inputTokens": 158}, "internal", True),
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.usage.inputTokens": 62}, "internal", False),
        ({"openinference.span.kind": "AGENT", "llm.token_count.prompt": 158}, "internal", True),
        ({"openinference.span.kind": "llm"}, "internal", False),
        (
            {"langfuse.observation.type": "agent", "langfuse.observation.usage_details": '{"input": 3}'},
            "internal",
            True,
        ),
        ({"llm.request.type": "completion"}, "client", False),
        # An operation nobody knows: a client asked somebody, anything inside the process sums up.
        ({"gen_ai.operation.name": "ponder", "gen_ai.usage.input_tokens": 3}, "client", False),
        ({"gen_ai.operation.name": "ponder", "gen_ai.usage.input_tokens": 3}, "internal", True),
        ({"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 3}, "client", False),
    ],
)
def test_calls_are_told_from_rollups(attributes: dict[str, Any], kind: str, rollup: bool) -> None:  # noqa: FBT001 - a parametrised expectation
    assert facts(attributes, kind=kind).rollup is rollup


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("OpenAI", "openai"), ("openai.chat", "openai"), ("azure_openai", "azure.ai.openai"), ("az.ai.openai",
        "azure.ai.openai"), ("gemini", "gcp.gemini"), ("gcp.gen_ai", "gcp.gemini"), ("GoogleGenAI", "gcp.gemini"),
        ("google.generative-ai", "gcp.gemini"), ("google.vertex.chat", "gcp.vertex_ai"), ("vertex_ai", "gcp.vertex_ai"),
        ("amazon-bedrock", "aws.bedrock"), ("Cohere", "cohere"), ("mistralai", "mistral_ai"), ("xai.chat", "x_ai"),
        ("grok", "x_ai"), ("groq", "groq"), ("Ollama", "ollama"), ("AcmeLLM", "acmellm"),
    ],
)  # fmt: skip
def test_providers_have_one_name(spelling: str, name: str) -> None:
    assert facts(chat(**{"gen_ai.provider.name": spelling, "gen_ai.request.model": "m"})).provider == name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "openai"), ("o4-mini", "openai"), ("ft:gpt-4o-mini:acme::1", "openai"), ("claude-x", "anthropic"),
        ("gemini-2.5-flash", "gcp.gemini"), ("us.anthropic.claude-sonnet-4-v1:0", "aws.bedrock"),
        ("amazon.nova-pro-v1:0", "aws.bedrock"), ("command-a-03-2025", "cohere"), ("codestral-latest", "mistral_ai"),
        ("deepseek-chat", "deepseek"), ("grok-4", "x_ai"), ("sonar-pro", "perplexity"), ("llama3.2", None),
    ],
)  # fmt: skip
def test_the_provider_follows_from_the_model_if_nobody_says(model: str, name: str | None) -> None:
    for said in ({}, {"gen_ai.system": ""}, {"gen_ai.provider.name": "langchain"}):
        assert facts({"gen_ai.operation.name": "chat", "gen_ai.request.model": model} | said).provider == name


def test_the_provider_follows_from_the_scope_as_a_last_resort() -> None:
    llama = {"openinference.span.kind": "LLM", "llm.model_name": "llama-3.3-70b-versatile"}
    assert facts(llama, scope=Scope("openinference.instrumentation.groq")).provider == "groq"
    assert facts(llama, scope=Scope("openinference.instrumentation.langchain")).provider is None


def test_litellm_names_the_function_that_was_called() -> None:
    for name, operation in (("acompletion", "chat"), ("aembedding", "embeddings"), ("anthropic_messages", "chat")):
        found = facts({"gen_ai.operation.name": name}, kind="internal", scope=Scope("litellm"))
        assert (found.operation, found.rollup) == (operation, False)


def test_the_host_outranks_the_sdk_that_was_used() -> None:
    assert facts(chat(**{"server.address": "api.deepseek.com"})).provider == "deepseek"
    assert facts(chat(**{"server.address": "my.openai.azure.com"})).provider == "azure.ai.openai"
    assert facts(chat(**{"server.address": "127.0.0.1"})).provider == "openai"


def test_routing_prefixes_of_the_same_provider_go_and_others_stay() -> None:
    assert facts(chat(**{"gen_ai.request.model": "openai/gpt-4o"})).request_model == "gpt-4o"
    routed = facts({"gen_ai.operation.name": "chat", "gen_ai.request.model": "anthropic/claude-x"})
    assert (routed.provider, routed.request_model) == ("anthropic", "claude-x")
    groq = facts(chat(**{"gen_ai.provider.name": "groq", "gen_ai.request.model": "openai/gpt-oss-120b"}))
    assert groq.request_model == "openai/gpt-oss-120b"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (["stop"], "stop"),
        ('["stop"]', "stop"),
        ("end_turn", "stop"),
        ("COMPLETE", "stop"),
        ("completed", "stop"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("tool-calls", "tool_call"),
        ("tool_use", "tool_call"),
        ("TOOL_CALL", "tool_call"),
        ("SAFETY", "content_filter"),
        ("refusal", "content_filter"),
        ("FinishReason.STOP", "stop"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        (["stop", "length"], "length"),
        (["tool_calls", "content_filter"], "content_filter"),
        ("whatever", None),
        ([], None),
        ("", None),
    ],
)
def test_finish_reasons_have_five_words_and_keep_the_raw_one(raw: Any, reason: str | None) -> None:
    found = facts(chat(**{"gen_ai.response.finish_reasons": raw}))
    assert found.finish_reason == reason
    if reason is not None:
        assert found.finish_reasons_raw


def test_a_failed_call_ends_in_error_and_names_its_status() -> None:
    message = "Error code: 429 - {'error': {'message': 'secret prompt'}}"
    event = Event("exception", T0 + 1, {"exception.type": "x.RateLimitError", "exception.message": message})
    found = normalise(make(chat(), status="error", status_message=message, events=(event,)))
    assert found.facts is not None
    assert (found.facts.status, found.facts.finish_reason) == ("error", "error")
    assert (found.facts.error_type, found.facts.http_status) == ("x.RateLimitError", 429)
    assert "secret" not in repr(found.span)
    assert found.span.events[0].attributes == {"exception.type": "x.RateLimitError"}


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        ("429", "", 429),
        ("RateLimitError", "", 429),
        ("overloaded_error", "", 529),
        ("x.AuthenticationError", "", 401),
        ("SDKError", "API error occurred: Status 503. Body: {}", 503),
        ("E", "status_code: 500, model_name: x", 500),
        ("ClientError", "400 INVALID_ARGUMENT. {...}", 400),
        ("ValueError", "expected 404 apples", None),
    ],
)
def test_http_status_is_found_where_it_hides(error: str, message: str, status: int | None) -> None:
    assert facts(chat(**{"error.type": error}), status="error", status_message=message).http_status == status


def test_an_error_without_a_name_is_still_an_error() -> None:
    assert facts(chat(), status="error").error_type == "_OTHER"
    assert facts(chat(), status="error", status_message="Error code: 500").error_type == "500"
    assert facts(chat(**{"error.type": ""})).status == "ok"


def test_nobody_answered_a_failed_call() -> None:
    repeated = chat(**{"gen_ai.response.model": "gpt-4o"})
    assert facts(repeated, status="error").response_model is None
    broken_stream = repeated | {"gen_ai.response.id": "chatcmpl-1"}
    assert facts(broken_stream, status="error").response_model == "gpt-4o"


def test_stream_and_time_to_first_token() -> None:
    timed = facts(chat(**{"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.25}))
    assert (timed.stream, timed.ttft_ns) == (True, 250_000_000)
    event = Event("First Token Stream Event", T0 + 42_000_000)
    by_event = facts({"openinference.span.kind": "LLM"}, events=(event,))
    assert (by_event.stream, by_event.ttft_ns) == (True, 42_000_000)
    vercel = facts({"ai.operationId": "ai.streamText.doStream", "ai.response.msToFirstChunk": 91.5})
    assert (vercel.stream, vercel.ttft_ns) == (True, 91_500_000)
    assert facts(chat(**{"llm.is_streaming": "False", "gen_ai.server.time_to_first_token": 0.1})).ttft_ns is None
    langfuse = {"langfuse.observation.type": "generation",
                "langfuse.observation.completion_start_time": '"2026-09-21T14:13:20.5Z"'}  # fmt: skip
    assert facts(langfuse).ttft_ns == 500_000_000
    assert facts(chat(**{"gen_ai.response.time_to_first_chunk": -1.0})).ttft_ns is None


def test_the_credential_outranks_span_resource_and_aliases() -> None:
    resource = Resource({"tenant.id": "from-resource", "service.name": "bot", "deployment.environment": "prod"})
    aliases = {"metadata": '{"tenant": "from-metadata"}', "traceloop.association.properties.tenant": "from-traceloop"}
    everything = chat(**{"tenant.id": "from-span"}, **aliases)
    assert facts(everything, owner="from-key", resource=resource).tenant_id == "from-key"
    assert facts(everything, resource=resource).tenant_id == "from-span"
    assert facts(chat(**aliases), resource=resource).tenant_id == "from-resource"
    assert facts(chat(**aliases)).tenant_id == "from-traceloop"
    assert facts(chat(metadata='{"tenant": "from-metadata"}')).tenant_id == "from-metadata"
    assert facts(chat(**{"langfuse.trace.metadata.tenant": '"acme"'})).tenant_id == "acme"
    assert facts(chat(**{"tenant.id": ""})).tenant_id is None
    who = facts(chat(), resource=resource)
    assert (who.service_name, who.environment) == ("bot", "prod")


def test_spans_show_the_tenant_that_their_dialect_names() -> None:
    chain = {"openinference.span.kind": "CHAIN", "metadata": '{"tenant": "acme"}'}
    assert normalise(make(chain)).span.tenant_id == "acme"
    assert normalise(make(chat(**{"metadata.user_api_key_team_id": "team-acme"}))).span.tenant_id == "team-acme"
    assert normalise(make({}, resource=Resource({"service.tenant": "acme"}))).span.tenant_id == "acme"
    assert normalise(make(chain, owner="globex")).span.tenant_id is None
    assert normalise(make(chain | {"tenant.id": "other"})).span.tenant_id is None  # it says so itself
    plain = make({"http.request.method": "GET"})
    assert normalise(plain).span is plain


def test_who_what_for_and_where() -> None:
    found = facts(chat(**{
        "user.id": "u", "session.id": "s", "gen_ai.conversation.id": "c", "spanledger.use_case": "support",
        "gen_ai.prompt.name": "greeting", "gen_ai.prompt.version": 3, "cloud.region": "eu-west-1",
    }))  # fmt: skip
    assert (found.user_id, found.session_id, found.use_case) == ("u", "s", "support")
    assert (found.prompt_name, found.prompt_version, found.region) == ("greeting", "3", "eu-west-1")


def tokens(**counts: Any) -> dict[str, Any]:
    return {f"gen_ai.usage.{name.replace('__', '.')}": value for name, value in counts.items()}


@pytest.mark.parametrize(
    ("scope", "dialect"),
    [
        (Scope("opentelemetry.instrumentation.genai.openai"), "genai"),
        (Scope("opentelemetry.instrumentation.google_genai"), "genai"),
        (Scope("opentelemetry.instrumentation.openai_v2"), "openai_v2"),
        (Scope("com.anthropic.sdk.python"), "native_sdk"),
        (Scope("openinference.instrumentation.openai"), "openinference"),
        (Scope("opentelemetry.instrumentation.openai.v1"), "traceloop"),
        (
            Scope("opentelemetry.instrumentation.vertexai", schema_url="https://opentelemetry.io/schemas/1.30.0"),
            "genai",
        ),
        (Scope("openlit.instrumentation.openai"), "openlit"),
        (Scope("litellm"), "litellm"),
        (Scope("ai"), "vercel_legacy"),
        (Scope("gen_ai"), "vercel"),
        (Scope("pydantic-ai"), "pydantic_ai"),
        (Scope("logfire.openai"), "logfire"),
        (Scope("langfuse-sdk"), "langfuse"),
        (Scope("ai.mine"), "genai"),
    ],
)
def test_the_scope_tells_the_dialect(scope: Scope, dialect: str) -> None:
    assert facts(chat(**tokens(input_tokens=1)), scope=scope).dialect == dialect


def test_the_opening_half_of_a_logfire_stream_is_no_call() -> None:
    assert normalise(make(chat(), scope=Scope("logfire.openai"))).facts is None
    assert facts(chat(), scope=Scope("logfire.openai"), status="error").status == "error"


OPENLIT = Scope("openlit.instrumentation.anthropic")


def test_a_failed_call_without_attributes_is_known_by_its_name() -> None:
    quoted = Event(
        "exception", T0, {"exception.type": "anthropic.RateLimitError", "exception.message": "Error code: 429"}
    )
    failed: dict[str, Any] = {
        "name": "chat claude-sonnet-4-5",
        "status": "error",
        "events": (quoted,),
        "scope": OPENLIT,
    }
    found = facts({}, **failed)
    assert (found.operation, found.request_model, found.provider) == ("chat", "claude-sonnet-4-5", "anthropic")
    assert (found.error_type, found.http_status) == ("anthropic.RateLimitError", 429)
    for change in ({"status": "ok"}, {"kind": "internal"}, {"scope": Scope("my.app")}, {"name": "POST"}):
        assert normalise(make({}, **failed | change)).facts is None


LLAMA_INDEX = Scope("openinference.instrumentation.llama_index")


def test_a_step_of_llama_index_that_got_no_answer_is_no_call() -> None:
    asked = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.tools.0.tool.json_schema": "{}"}
    assert normalise(make(asked, scope=LLAMA_INDEX)).facts is None
    assert facts(asked, scope=LLAMA_INDEX, status="error").status == "error"
    assert facts(asked | {"llm.finish_reason": "stop"}, scope=LLAMA_INDEX).finish_reason == "stop"
    assert facts(asked | {"llm.output_messages.0.message.role": "assistant"}, scope=LLAMA_INDEX).status == "ok"
    assert facts(asked, scope=Scope("openinference.instrumentation.openai")).finish_reason is None


LANGCHAIN_OUT = '{"generations": [[{"message": {"kwargs": {"tool_calls": %s, "response_metadata": %s}}}]]}'


@pytest.mark.parametrize(
    ("output", "raw", "reason"),
    [
        ('{"status": "completed", "output": [{"type": "message"}]}', "completed", "stop"),
        ('{"status": "completed", "output": [{"type": "function_call"}]}', "tool_calls", "tool_call"),
        (
            '{"incomplete_details": {"reason": "max_output_tokens"}, "output": [{"type": "function_call"}]}',
            "max_output_tokens",
            "length",
        ),
        ('{"status": "failed", "output": "?"}', "failed", "error"),
        (LANGCHAIN_OUT % ("[]", '{"status": "completed"}'), "completed", "stop"),
        (LANGCHAIN_OUT % ('[{"type": "tool_call"}]', '{"status": "completed"}'), "tool_calls", "tool_call"),
        (
            LANGCHAIN_OUT % ("[]", '{"incomplete_details": {"reason": "content_filter"}}'),
            "content_filter",
            "content_filter",
        ),
        (LANGCHAIN_OUT % ("[]", '{"done_reason": "length"}'), "length", "length"),
        ('{"prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"}}', "PROHIBITED_CONTENT", "content_filter"),
    ],
)
def test_the_end_of_a_call_is_read_off_the_response(output: str, raw: str, reason: str) -> None:
    found = facts({"openinference.span.kind": "LLM", "output.value": output})
    assert (found.finish_reasons_raw, found.finish_reason) == ((raw,), reason)


def test_our_own_instrumentation_knows_the_end_of_streams() -> None:
    assert facts(chat(**{"spanledger.finish_reason": "length"})).finish_reason == "length"
    stopped = {"gen_ai.response.finish_reasons": ["stop"], "spanledger.stream.aborted": True}
    assert facts(chat(**stopped)).finish_reason == "error"
    assert facts(chat(**stopped | {"spanledger.stream.aborted": False})).finish_reason == "stop"
    assert facts(chat(**{"spanledger.finish_reason": "nonsense"})).finish_reason is None
    gemini = {"gen_ai.response.finish_reasons": ["STOP"], "spanledger.finish_reason": "tool_call"}
    assert facts(chat(**gemini)).finish_reason == "tool_call"


def test_a_reader_who_leaves_aborts_the_stream_and_fails_nobody() -> None:
    left = Event("exception", T0, {"exception.type": "GeneratorExit", "exception.message": "GeneratorExit()"})
    found = facts(chat(), status="error", events=(left,))
    assert (found.status, found.error_type, found.finish_reason) == ("ok", None, "error")
    broken = facts(chat(**{"spanledger.stream.aborted": True, "error.type": "httpx.ReadError"}), status="error")
    assert (broken.status, broken.error_type, broken.finish_reason) == ("error", "httpx.ReadError", "error")


def test_an_unknown_model_is_no_model() -> None:
    unknown = {"gen_ai.request.model": "unknown", "gen_ai.response.model": "unknown"}
    found = facts(chat(**unknown | {"traceloop.association.properties.ls_model_name": "llama3.2"}))
    assert (found.request_model, found.response_model) == ("llama3.2", None)


def test_a_reranker_names_one_model() -> None:
    found = facts({"openinference.span.kind": "RERANKER", "reranker.model_name": "rerank-v3.5"})
    assert (found.operation, found.request_model, found.response_model) == ("rerank", "rerank-v3.5", "rerank-v3.5")


def test_ids_made_up_by_frameworks_are_no_ids() -> None:
    assert facts(chat(**{"gen_ai.response.id": "lc_run--1"})).response_id is None
    assert facts(chat(**{"gen_ai.response.id": "u-1", "litellm.call_id": "u-1"})).response_id is None
    assert facts(chat(**{"gen_ai.response.id": "u-1", "litellm.call_id": "u-2"})).response_id == "u-1"


def test_columns_of_the_table_are_unique() -> None:
    columns = [field.column for field in FIELDS]
    assert len(set(columns)) == len(columns)
