"""Dialects: who wrote a span, and which of its operations are model calls. Adding a dialect is adding rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from spanledger_analytics.records import Attributes, Scope, Span

Role = Literal["call", "rollup", "custom", "none"]
"""``call`` is billed; ``rollup`` repeats its children if it carries usage; ``custom`` is one we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One family of instrumentation.

    ``exclusive_input`` names the providers for which this family reports input tokens without the cached ones although
    the conventions want totals. ``estimated_unless`` is an attribute without which its token counts are its own guess.
    ``answered_by`` lists beginnings of names of which a successful call has at least one; a span without is no call but
    a step of one: its preparation, or the opening half of a stream whose other half follows as a span of its own.
    ``detaches`` lists beginnings of response ids: a client's span whose id starts like one may begin a trace of its own
    although a framework's span of the same family is open around it. The empty one stands for spans without id, too.
    """

    name: str
    rank: int
    scopes: tuple[str, ...] = ()
    marker: str | None = None
    exclusive_input: frozenset[str] = frozenset()
    estimated_unless: tuple[str, str] | None = None
    answered_by: tuple[str, ...] = ()
    detaches: tuple[str, ...] | None = None


DIALECTS: tuple[Dialect, ...] = (
    Dialect(name="genai", rank=0, scopes=("opentelemetry.instrumentation.genai.", "opentelemetry.util.genai")),
    Dialect(name="genai", rank=0, scopes=("opentelemetry.instrumentation.google_genai",
                                          "opentelemetry.instrumentation.botocore.bedrock-runtime")),
    Dialect(name="openai_v2", rank=0, scopes=("opentelemetry.instrumentation.openai_v2",)),
    Dialect(name="native_sdk", rank=1, scopes=("com.anthropic.sdk.", "mistralai_sdk", "com.openai.sdk.")),
    Dialect(name="openinference", rank=2, scopes=("openinference.instrumentation.llama_index",), detaches=("",),
            answered_by=("llm.token_count.", "llm.finish_reason", "llm.output_messages.", "embedding.embeddings.",
                         "reranker.output_documents.")),
    Dialect(name="openinference", rank=2, scopes=("openinference.", "@arizeai/openinference"), detaches=("",)),
    Dialect(name="openlit", rank=4, scopes=("openlit.", "openlit"),
            exclusive_input=frozenset(("anthropic", "aws.bedrock")),
            estimated_unless=("openlit.instrumentation.openai", "gen_ai.usage.cache_read.input_tokens")),
    Dialect(name="pydantic_ai", rank=4, scopes=("pydantic-ai",)),
    Dialect(name="logfire", rank=4, scopes=("logfire",),
            answered_by=("gen_ai.usage.", "gen_ai.response.id", "gen_ai.output.messages",
                         "gen_ai.response.finish_reasons", "response_data", "duration")),
    Dialect(name="litellm", rank=5, scopes=("litellm",)),
    Dialect(name="langfuse", rank=5, scopes=("langfuse",)),
    Dialect(name="vercel", rank=4, scopes=("gen_ai",)),
    Dialect(name="vercel_legacy", rank=4, scopes=("ai",)),
    Dialect(name="traceloop", rank=3, scopes=("opentelemetry.instrumentation.", "@traceloop/", "traceloop."),
            detaches=("resp_",)),
    # Spans that people make by hand or with an unknown library: known by the attributes they carry.
    Dialect(name="openinference", rank=2, marker="openinference.span.kind"),
    Dialect(name="vercel_legacy", rank=4, marker="ai.operationId"),
    Dialect(name="langfuse", rank=5, marker="langfuse.observation.type"),
    Dialect(name="traceloop", rank=3, marker="llm.request.type"),
    Dialect(name="genai", rank=0, marker="gen_ai.provider.name"),
)  # fmt: skip
OTHER = Dialect(name="other", rank=6)
_DETACHING = {dialect.name: dialect.detaches for dialect in DIALECTS if dialect.detaches is not None}
_RANKS = {dialect.name: dialect.rank for dialect in DIALECTS}
_FRAMEWORKS = (
    "langchain", "langgraph", "llama_index", "llamaindex", "llama-index", "litellm", "crewai", "dspy", "haystack",
    "agno", "autogen", "smolagents", "openai_agents", "openai-agents", "instructor", "portkey", "guardrails", "mcp",
    "google_adk", "beeai", "strands", "pydantic-ai", "pydantic_ai",
)  # fmt: skip
"""Libraries that call the provider's SDK for the application; they stand in the name of the scope."""
_EXACT = frozenset(("ai", "gen_ai"))
"""Scope names too short to be prefixes."""


def rank_of(dialect: str) -> int:
    """Return how far a dialect is believed when several tell of one call: 0 is the most trustworthy."""
    return _RANKS.get(dialect, OTHER.rank)


def detaches(dialect: str, response_id: str | None) -> bool:
    """Return whether a client's span of this dialect may have lost the framework's span around it."""
    beginnings = _DETACHING.get(dialect)
    if beginnings is None:
        return False
    return "" in beginnings if response_id is None else response_id.startswith(beginnings)


@lru_cache(maxsize=4096)
def is_framework(scope_name: str) -> bool:
    """Return whether a scope instruments a framework, whose calls go through a client that may be instrumented too."""
    lowered = scope_name.lower()
    return any(word in lowered for word in _FRAMEWORKS)


@lru_cache(maxsize=4096)
def dialect_of_scope(name: str, *, has_schema: bool) -> Dialect | None:
    """Return the dialect that a scope name tells.

    The official instrumentations of OpenTelemetry and those of Traceloop share one name space; only the official ones
    stamp a schema URL.
    """
    lowered = name.lower()
    for dialect in DIALECTS:
        for scope in dialect.scopes:
            if lowered == scope or (scope not in _EXACT and lowered.startswith(scope)):
                return DIALECTS[0] if dialect.name == "traceloop" and has_schema else dialect
    return None


def dialect_of(scope: Scope, attributes: Attributes) -> Dialect:
    """Return who wrote a span: by its scope, else by the attributes that only one family has."""
    found = dialect_of_scope(scope.name, has_schema=bool(scope.schema_url)) if scope.name else None
    if found is not None:
        return found
    return next((d for d in DIALECTS if d.marker is not None and d.marker in attributes), OTHER)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a span does, in our words, and what that means for billing."""

    name: str | None
    role: Role


CHAT = Operation("chat", "call")
_CUSTOM = Operation(None, "custom")
_NONE = Operation(None, "none")
_EMBEDDINGS = Operation("embeddings", "call")
_RERANK = Operation("rerank", "call")
_CONTENT = Operation("generate_content", "call")
_COMPLETION = Operation("text_completion", "call")
_IMAGE = Operation("image_generation", "call")
_AUDIO = Operation("audio", "call")


def _calls(**named: Operation) -> dict[str, Operation]:
    return named


_CALLS: dict[str, Operation] = _calls(
    chat=CHAT, chat_completion=CHAT, completion=CHAT, completions=CHAT, responses=CHAT, messages=CHAT, converse=CHAT,
    anthropic_messages=CHAT, pass_through_endpoint=CHAT, text_completion=_COMPLETION, generate_content=_CONTENT,
    generate_content_stream=_CONTENT, embeddings=_EMBEDDINGS, embedding=_EMBEDDINGS, embed=_EMBEDDINGS, rerank=_RERANK,
    image=_IMAGE, image_generation=_IMAGE, image_edit=_IMAGE, audio=_AUDIO, speech=_AUDIO, transcription=_AUDIO,
    text_to_speech=_AUDIO, speech_to_text=_AUDIO, realtime=_AUDIO,
)  # fmt: skip
_GENAI: dict[str, Operation] = {
    **_CALLS,
    # LiteLLM names the function that was called, and the asynchronous ones start with an a.
    **{f"a{name}": operation for name, operation in _CALLS.items()},
    **{name: Operation(name, "rollup") for name in (
        "invoke_agent", "invoke_workflow", "create_agent", "plan", "agent_step", "execute_event_loop_cycle",
        "model_request", "agent", "workflow", "framework",
    )},
    **{name: Operation(name, "none") for name in (
        "fetch_response", "execute_tool", "execute_task", "retrieval", "vectordb", "search_memory", "create_memory",
        "update_memory", "upsert_memory", "delete_memory", "create_memory_store", "delete_memory_store", "file",
        "fine_tuning", "moderation",
    )},
}  # fmt: skip
SELECTORS: tuple[tuple[str, Mapping[str, Operation], Operation], ...] = (
    ("gen_ai.operation.name", _GENAI, _CUSTOM),
    ("openinference.span.kind",
     _calls(llm=CHAT, embedding=_EMBEDDINGS, reranker=_RERANK, tool=_NONE, retriever=_NONE, prompt=_NONE,
            guardrail=_NONE, evaluator=_NONE),
     Operation(None, "rollup")),
    ("ai.operationId",
     _calls(dogenerate=CHAT, dostream=CHAT, doembed=_EMBEDDINGS, dorerank=_RERANK, toolcall=_NONE),
     Operation(None, "rollup")),
    ("langfuse.observation.type",
     _calls(generation=CHAT, embedding=_EMBEDDINGS, tool=_NONE, event=_NONE, retriever=_NONE),
     Operation(None, "rollup")),
    ("llm.request.type",
     _calls(chat=CHAT, completion=_COMPLETION, embedding=_EMBEDDINGS, rerank=_RERANK, unknown=CHAT),
     _CUSTOM),
    ("traceloop.span.kind", {}, Operation(None, "rollup")),
)  # fmt: skip
"""Attribute that names the operation, what its values mean (lower case, after the last dot), and any other value."""
SELECTOR_NAMES = tuple(name for name, _, _ in SELECTORS)
NAMED_OPERATIONS = frozenset(("chat", "text_completion", "generate_content", "embeddings"))
"""Operations whose spans are named, by the conventions, after the operation and the model."""
_HINTS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
"""Without an operation, token counts still tell a model call."""


def operation_of(attributes: Attributes) -> Operation | None:
    """Return what the span does, ``None`` if it has nothing to do with models."""
    for name, known, otherwise in SELECTORS:
        value = attributes.get(name)
        if value:
            return known.get(_last_word(value), otherwise)
    return _CUSTOM if any(hint in attributes for hint in _HINTS) else None


def operation_by_name(span: Span) -> Operation | None:
    """Return the operation that the name of a span of a model's client tells: ``chat gpt-4o``.

    Some instrumentations write no attribute on the span of a call that failed.
    """
    word = span.name.partition(" ")[0]
    if word not in NAMED_OPERATIONS or span.kind != "client":
        return None
    known = dialect_of_scope(span.scope.name, has_schema=bool(span.scope.schema_url))
    return None if known is None else _GENAI[word]


def _last_word(value: Any) -> str:
    return value.rsplit(".", 1)[-1].strip().lower() if type(value) is str else ""
