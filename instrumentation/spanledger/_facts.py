"""What one span says of a model call, whichever of the attached dialects it speaks."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spanledger import semconv

_Get = Callable[[str], Any]

FinishReason = Literal["stop", "length", "tool_call", "content_filter", "error"]

_REASONS: dict[str, FinishReason] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "complete", "completed", "finished", "eos"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "incomplete"), "length"),
    **dict.fromkeys(("model_context_window_exceeded",), "length"),
    **dict.fromkeys(("tool_call", "tool_calls", "tool_use", "function_call"), "tool_call"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "refusal", "recitation"), "content_filter"),
    **dict.fromkeys(("blocklist", "prohibited_content", "spii", "guardrail_intervened"), "content_filter"),
    **dict.fromkeys(("image_safety", "image_prohibited_content", "error_toxic"), "content_filter"),
    **dict.fromkeys(("error", "failed", "cancelled", "malformed_function_call", "network_error"), "error"),
    **dict.fromkeys(("malformed_model_output", "malformed_tool_use", "error_limit"), "error"),
}
_WORST_FIRST: tuple[FinishReason, ...] = ("error", "content_filter", "length", "tool_call", "stop")

_GENAI_TOKENS = (
    ("input", semconv.INPUT_TOKENS),
    ("output", semconv.OUTPUT_TOKENS),
    ("cache_read", semconv.CACHE_READ_TOKENS),
    ("cache_write", semconv.CACHE_WRITE_TOKENS_OLD),
    ("cache_write", semconv.CACHE_WRITE_TOKENS),
    ("cache_write_1h", semconv.CACHE_WRITE_1H_TOKENS),
    ("reasoning", semconv.REASONING_TOKENS),
    ("audio_input", semconv.AUDIO_INPUT_TOKENS),
    ("audio_output", semconv.AUDIO_OUTPUT_TOKENS),
)
_OPENINFERENCE_TOKENS = (
    ("input", semconv.OI_INPUT_TOKENS),
    ("output", semconv.OI_OUTPUT_TOKENS),
    ("cache_read", semconv.OI_CACHE_READ_TOKENS),
    ("cache_write", semconv.OI_CACHE_WRITE_TOKENS),
    ("reasoning", semconv.OI_REASONING_TOKENS),
    ("audio_input", semconv.OI_AUDIO_INPUT_TOKENS),
    ("audio_output", semconv.OI_AUDIO_OUTPUT_TOKENS),
)
_OPERATIONS = {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A model call as its span tells it; ``None`` is "not said"."""

    operation: str
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    finish_reasons: tuple[str, ...] = ()
    streamed: bool = False
    service_tier: str | None = None

    @property
    def has_usage(self) -> bool:
        """Whether the provider said what to bill."""
        return bool(self.tokens.get("input") or self.tokens.get("output"))


def facts_of(attributes: Mapping[str, Any]) -> Facts | None:
    """Read the facts, or ``None`` if the span is no call that a provider bills (roll-ups, tools, HTTP)."""
    operation = attributes.get(semconv.OPERATION_NAME)
    if operation in semconv.INFERENCE_OPERATIONS:
        return _genai_facts(attributes.get, str(operation))
    kind = attributes.get(semconv.OI_KIND)
    if operation is None and kind in semconv.OI_INFERENCE_KINDS:
        return _openinference_facts(attributes.get, str(kind))
    return None


def _genai_facts(get: _Get, operation: str) -> Facts:
    return Facts(
        operation=operation,
        provider=get(semconv.PROVIDER_NAME) or get(semconv.SYSTEM),
        request_model=get(semconv.REQUEST_MODEL),
        response_model=get(semconv.RESPONSE_MODEL),
        tokens=_tokens(get, _GENAI_TOKENS),
        finish_reasons=_finish_reasons(get(semconv.FINISH_REASONS)),
        streamed=get(semconv.REQUEST_STREAM) is True,
        service_tier=get(semconv.OPENAI_SERVICE_TIER) or get(semconv.ANTHROPIC_SERVICE_TIER),
    )


def _openinference_facts(get: _Get, kind: str) -> Facts:
    return Facts(
        operation=_OPERATIONS[kind],
        provider=get(semconv.OI_PROVIDER) or get(semconv.OI_SYSTEM),
        request_model=get(semconv.OI_REQUEST_MODEL),
        response_model=get(semconv.OI_MODEL),
        tokens=_tokens(get, _OPENINFERENCE_TOKENS),
        finish_reasons=_finish_reasons(get(semconv.OI_FINISH_REASON)),
        streamed=get(semconv.REQUEST_STREAM) is True,
        service_tier=get(semconv.OPENAI_SERVICE_TIER) or get(semconv.ANTHROPIC_SERVICE_TIER),
    )


def normalised(reasons: tuple[str, ...]) -> FinishReason | None:
    """The worst of the finish reasons in the five words of ours; ``None`` if none is known."""
    words = {_REASONS.get(reason.strip().lower().replace("-", "_").rpartition(".")[2]) for reason in reasons}
    return next((word for word in _WORST_FIRST if word in words), None)


def response_id_of(output: Any) -> str | None:
    """The provider's response id within OpenInference's ``output.value``, the only place where it stands there."""
    if not isinstance(output, str) or not output.startswith("{") or '"id"' not in output:
        return None
    try:
        found = json.loads(output)
    except ValueError:
        return None
    identity = found.get("id") or (found.get("response_metadata") or {}).get("id") if isinstance(found, dict) else None
    return identity if isinstance(identity, str) and identity else None


def _tokens(get: _Get, spellings: tuple[tuple[str, str], ...]) -> dict[str, int]:
    found = {}
    for name, spelling in spellings:
        count = get(spelling)
        if count is not None and isinstance(count, (int, float)) and count >= 0:
            found[name] = int(count)
    return found


def _finish_reasons(reasons: Any) -> tuple[str, ...]:
    return (reasons,) if isinstance(reasons, str) else tuple(map(str, reasons or ()))
