"""THE mapping table: for every column of a call, where each dialect puts it, best source first.

A source is a span attribute (a bare string), or says where else to look (:mod:`._sources`). A source written
``(source, converter)`` overrides the converter of its field. Adding a dialect, or a name that a library invents next
month, is adding to this table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spanledger_ingest.normalise import _aliases as alias
from spanledger_ingest.normalise import _convert as to
from spanledger_ingest.normalise._dialects import NAMED_OPERATIONS
from spanledger_ingest.normalise._sources import (
    Attr,
    EventAttr,
    FirstEvent,
    Holds,
    Json,
    OnError,
    Resource,
    Since,
    Source,
    SpanName,
    Unless,
    python_repr,
)

Convert = Callable[[Any], Any]
Entry = str | Source | tuple[str | Source, Convert]

# Documents inside attributes, by who writes them.
_OI_OUT = "output.value"  # OpenInference: the provider's response
_OI_ASKED = "llm.invocation_parameters"  # OpenInference: the request's parameters
_OI_META = "metadata"  # OpenInference, LangChain: the application's metadata
_LF_USE = "langfuse.observation.usage_details"
_RAW_USE = "gen_ai.usage.raw"  # logfire: the provider's usage object
_LL_USE = "metadata.usage_object"  # LiteLLM: the same as a Python repr
_LC = "generations.0.0.message.kwargs.response_metadata"  # LangChain's LLMResult
_TL = "traceloop.association.properties"


def _streamed(_: Any) -> bool:
    """Whatever was found, only a stream has it."""
    return True


@dataclass(frozen=True, slots=True)
class Field:
    """A row of the table: a column, its sources in order of trust, and what a value must look like."""

    column: str
    sources: tuple[Entry, ...]
    convert: Convert


FIELDS: tuple[Field, ...] = (
    # Who and what for. A credential's tenant outranks all of these and is applied by the caller.
    Field("tenant_id", (
        "tenant.id", Resource("tenant.id"), "tenant_id", "tenant", "organization.id", f"{_TL}.tenant_id",
        f"{_TL}.tenant.id", f"{_TL}.tenant", f"{_TL}.customer_id", f"{_TL}.org_id", f"{_TL}.organization_id",
        Json(_OI_META, "tenant_id", "tenant", "tenant.id", "customer_id", "org_id"),
        "langfuse.trace.metadata.tenant_id", "langfuse.trace.metadata.tenant", "metadata.tenant_id", "metadata.tenant",
        "metadata.user_api_key_team_id", "metadata.user_api_key_org_id", "service.tenant",
        Json(_OI_ASKED, "metadata.tenant_id", "metadata.tenant"),
        Resource("tenant_id"), Resource("service.tenant"),
    ), to.unquoted),
    Field("user_id", (
        "user.id", "enduser.id", "gen_ai.user", "gen_ai.request.user", "llm.user", f"{_TL}.user_id",
        "langfuse.user.id", "langfuse.trace.metadata.user_id", Json(_OI_META, "user_id"),
        "metadata.user_api_key_end_user_id", "metadata.user_api_key_user_id", Json(_OI_ASKED, "user"),
    ), to.unquoted),
    Field("session_id", (
        "session.id", "gen_ai.conversation.id", f"{_TL}.session_id", f"{_TL}.thread_id", "langfuse.session.id",
        Json(_OI_META, "session_id", "thread_id"), "metadata.session_id", Json(_OI_ASKED, "metadata.session_id"),
    ), to.unquoted),
    Field("use_case", (
        "spanledger.use_case", f"{_TL}.use_case", Json(_OI_META, "use_case"), "langfuse.trace.metadata.use_case",
        "ai.telemetry.functionId", Resource("spanledger.use_case"),
    ), to.unquoted),
    Field("service_name", (Resource("service.name"), "service.name"), to.text),
    Field("environment", (
        Resource("deployment.environment.name"), Resource("deployment.environment"), "deployment.environment.name",
        "deployment.environment", "langfuse.environment",
    ), to.text),
    Field("region", (
        "cloud.region", "aws.region", "gcp.vertex.location", "spanledger.region", Resource("cloud.region"),
    ), to.text),
    Field("prompt_name", (
        "gen_ai.prompt.name", "langfuse.observation.prompt.name", "traceloop.prompt.key", "llm.prompt_template.name",
    ), to.text),
    Field("prompt_version", (
        "gen_ai.prompt.version", "langfuse.observation.prompt.version", "traceloop.prompt.version",
        "llm.prompt_template.version",
    ), to.text),

    # Which model of whom.
    Field("provider", (
        "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider",
        ("litellm.provider.model", alias.routed_provider), Json(_OI_META, "ls_provider"), f"{_TL}.ls_provider",
        ("gen_ai.request.model", alias.routed_provider), (Json(_OI_ASKED, "model"), alias.routed_provider),
        (Json("embedding.invocation_parameters", "model"), alias.routed_provider),
    ), alias.provider),
    Field("request_model", (
        "gen_ai.request.model", "llm.request.model_name", Json(_OI_ASKED, "model", "model_name", "model_id"),
        Json("embedding.invocation_parameters", "model"), Json("input.value", "model"), "ai.model.id",
        OnError("langfuse.observation.model.name"), Json(_OI_META, "ls_model_name"), "llm.model_name",
        "embedding.model_name", "reranker.model_name", f"{_TL}.ls_model_name",
        SpanName(NAMED_OPERATIONS),
    ), to.model),
    Field("response_model", (
        "gen_ai.response.model", "llm.response.model_name",
        Json(_OI_OUT, "model", "data.model", "model_version", "generations.0.0.generation_info.model_name",
             f"{_LC}.model_name", "llm_output.model_name"),
        "ai.response.model", "langfuse.observation.model.name", "llm.model_name", "embedding.model_name",
        "reranker.model_name",
    ), to.model),
    Field("response_id", (
        Unless("gen_ai.response.id", other="litellm.call_id"), "ai.response.id",
        Json(_OI_OUT, "id", "data.id", "response_id", f"{_LC}.id", "llm_output.id"),
    ), to.text),
    Field("service_tier", (
        "openai.response.service_tier", "gen_ai.openai.response.service_tier", "anthropic.response.service_tier",
        "spanledger.service_tier",
        Json(_OI_OUT, "service_tier", "usage.service_tier", "data.service_tier", f"{_LC}.service_tier",
             "llm_output.service_tier"),
        Json(_RAW_USE, "service_tier"), Json("langfuse.observation.model.parameters", "service_tier"),
        "openai.request.service_tier", "gen_ai.openai.request.service_tier",
    ), to.text),
    Field("batch", ("spanledger.batch", "gen_ai.request.batch"), to.is_true),

    # How much. Totals first; classes of them below.
    Field("input", (
        # Cohere consumes other counts than it bills: the conventions want the billed ones.
        Json(_OI_OUT, "usage.billed_units.input_tokens", "meta.billed_units.input_tokens"),
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "llm.token_count.prompt",
        "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens",
        Json(_LF_USE, "prompt_tokens", "input_tokens", "input"), Json(_RAW_USE, "prompt_tokens"),
        python_repr(_LL_USE, "prompt_tokens"), Json(_OI_OUT, "usage.prompt_tokens", "data.usage.prompt_tokens"),
    ), to.count),
    Field("output", (
        Json(_OI_OUT, "usage.billed_units.output_tokens", "meta.billed_units.output_tokens"),
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
        "llm.token_count.completion", "ai.usage.outputTokens", "ai.usage.completionTokens",
        Json(_LF_USE, "completion_tokens", "output_tokens", "output"),
        Json(_RAW_USE, "completion_tokens", "output_tokens"), python_repr(_LL_USE, "completion_tokens"),
        Json(_OI_OUT, "usage.completion_tokens", "data.usage.completion_tokens"),
    ), to.count),
    Field("total", (
        "gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens",
        Json(_LF_USE, "total_tokens", "total"),
    ), to.count),
    Field("cache_read", (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.usage.cache_read_input_tokens", "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens", "gen_ai.usage.details.cached_tokens",
        "llm.token_count.prompt_details.cache_read", "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        Json(_LF_USE, "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens", "input_cache_read",
             "cache_read_input_tokens", "input_cached_tokens"),
        Json(_RAW_USE, "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens",
             "cache_read_input_tokens", "cached_content_token_count"),
        python_repr(_LL_USE, "prompt_tokens_details.cached_tokens", "cache_read_input_tokens"),
        Json(_OI_OUT, "usage_metadata.cached_content_token_count", "data.usage.prompt_tokens_details.cached_tokens"),
    ), to.count),
    Field("cache_write", (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "llm.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens", "gen_ai.usage.details.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write", "ai.usage.inputTokenDetails.cacheWriteTokens",
        Json(_LF_USE, "cache_creation_input_tokens", "input_cache_creation", "input_cache_write"),
        Json(_RAW_USE, "cache_creation_input_tokens"),
        python_repr(_LL_USE, "prompt_tokens_details.cache_write_tokens", "prompt_tokens_details.cache_creation_tokens",
                    "cache_creation_input_tokens"),
    ), to.count),
    Field("cache_write_1h", (
        "spanledger.usage.cache_write_1h.input_tokens",
        Json(_RAW_USE, "cache_creation.ephemeral_1h_input_tokens"),
        Json(_LF_USE, "cache_creation.ephemeral_1h_input_tokens"),
        Json(_OI_OUT, "usage.cache_creation.ephemeral_1h_input_tokens"),
    ), to.count),
    Field("reasoning", (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens", "gen_ai.usage.details.thoughts_tokens",
        "llm.token_count.completion_details.reasoning", "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
        Json(_LF_USE, "completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens",
             "output_reasoning", "output_reasoning_tokens"),
        Json(_RAW_USE, "completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens",
             "thoughts_token_count"),
        python_repr(_LL_USE, "completion_tokens_details.reasoning_tokens"),
        Json(_OI_OUT, "usage_metadata.thoughts_token_count"),
    ), to.count),
    Field("audio_input", (
        "gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio",
        "gen_ai.usage.details.input_audio_tokens",
        Json(_LF_USE, "prompt_tokens_details.audio_tokens", "input_audio_tokens"),
        Json(_RAW_USE, "prompt_tokens_details.audio_tokens"),
        python_repr(_LL_USE, "prompt_tokens_details.audio_tokens"),
    ), to.count),
    Field("audio_output", (
        "gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio",
        "gen_ai.usage.details.output_audio_tokens",
        Json(_LF_USE, "completion_tokens_details.audio_tokens", "output_audio_tokens"),
        Json(_RAW_USE, "completion_tokens_details.audio_tokens"),
        python_repr(_LL_USE, "completion_tokens_details.audio_tokens"),
    ), to.count),
    Field("reported_cost_usd", (
        "gen_ai.usage.cost.amount", "operation.cost", "gen_ai.cost.total_cost", "gen_ai.usage.cost", "llm.cost.total",
        Json("langfuse.observation.cost_details", "total"),
    ), to.money),
    Field("cost_currency", ("gen_ai.usage.cost.currency",), to.text),

    # How it went.
    Field("finish_reasons_raw", (
        "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.finish_reason",
        "llm.response.finish_reason", "ai.response.finishReason", "anthropic.message.stop_reason",
        "llm.response.stop_reason", "langfuse.observation.metadata.finish_reason", "gen_ai.completion.0.finish_reason",
        Json("gen_ai.output.messages", "0.finish_reason"),
        EventAttr("gen_ai.choice", "finish_reason"),
        Json(_OI_OUT, "choices.0.finish_reason", "data.choices.0.finish_reason", "candidates.0.finish_reason",
             "stop_reason", "finish_reason", "done_reason", "generations.0.0.generation_info.finish_reason",
             f"{_LC}.finish_reason", f"{_LC}.stop_reason", f"{_LC}.done_reason", "incomplete_details.reason",
             f"{_LC}.incomplete_details.reason", "prompt_feedback.block_reason"),
        # The Responses API says "completed" of tool calls, too.
        Holds(_OI_OUT, "output", "type", "function_call", "tool_calls"),
        Holds(_OI_OUT, "generations.0.0.message.kwargs.tool_calls", "type", "tool_call", "tool_calls"),
        Json(_OI_OUT, "status", f"{_LC}.status"),
    ), to.words),
    # What our own instrumentation made of it: it saw streams that the instrumentations do not finish.
    Field("finish_reason", ("spanledger.finish_reason",), to.text),
    Field("aborted", ("spanledger.stream.aborted",), to.is_true),
    Field("stream", (
        "gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming", "llm.request.stream",
        *((name, _streamed) for name in (
            "gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk",
        )),
        ("ai.operationId", lambda name: True if str(name).endswith(".doStream") else None),
        ("logfire.span_type", lambda kind: True if kind == "log" else None),
        (FirstEvent(frozenset(("First Token Stream Event", "gen_ai.content.completion.chunk"))), _streamed),
        Json(_OI_ASKED, "stream"),
        ("ai.operationId", lambda name: False if str(name).endswith(".doGenerate") else None),
    ), to.flag),
    Field("ttft_ns", (
        "gen_ai.response.time_to_first_chunk", "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.operation.time_to_first_chunk", ("ai.response.msToFirstChunk", to.millis),
        Since("langfuse.observation.completion_start_time", to.instant),
        FirstEvent(frozenset(("First Token Stream Event", "gen_ai.content.completion.chunk"))),
    ), to.seconds),
    # OpenLIT writes this one on calls that were not streamed as well, so it counts for streams only.
    Field("ttft_of_stream_ns", ("gen_ai.server.time_to_first_token",), to.seconds),
    Field("error_type", (
        "error.type", EventAttr("exception", "exception.type"), "exception.type", "error.code",
    ), to.text),
    Field("http_status", (
        "http.response.status_code", "http.status_code", "error.code", "error.type",
        (EventAttr("exception", "exception.message"), alias.status_in),
        ("langfuse.observation.status_message", alias.status_in), ("error.message", alias.status_in),
        (Json(_OI_OUT, f"{_LC}.status_code"), to.http_status),
    ), to.http_status),
    Field("failed_level", (
        ("langfuse.observation.level", lambda level: True if level == "ERROR" else None),
    ), to.is_true),
    Field("host", ("server.address",), to.text),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """One source of one column, ready to be read."""

    source: Source
    convert: Convert


def compile_field(field: Field) -> tuple[Rule, ...]:
    """Return the rules of a row: names become attribute sources, converters of their own are kept."""
    rules = []
    for entry in field.sources:
        source, convert = entry if isinstance(entry, tuple) else (entry, field.convert)
        rules.append(Rule(Attr(source) if isinstance(source, str) else source, convert))
    return tuple(rules)


COMPILED: tuple[tuple[str, tuple[Rule, ...]], ...] = tuple((field.column, compile_field(field)) for field in FIELDS)
SOURCE_NAMES: frozenset[str] = frozenset(
    rule.source.needs for _, rules in COMPILED for rule in rules if rule.source.needs is not None
)
"""Every span attribute the table reads."""
