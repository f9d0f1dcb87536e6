"""Spellings: every word the dialects use for a provider, an operation's end or an error, and the word we use.

Providers carry the well-known values of the OpenTelemetry GenAI conventions. The keys are compared in lower case with
everything but letters and digits removed, so ``mistral_ai``, ``MistralAI`` and ``mistral.ai`` are one spelling.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from spanledger_analytics.records import FinishReason
from spanledger_ingest.normalise._convert import text

_PROVIDERS: dict[str, tuple[str, ...]] = {
    "openai": ("openai", "openaichat", "openairesponses", "openaicompletion", "openaiembedding",
               "textcompletionopenai"),
    "azure.ai.openai": ("azureaiopenai", "azure", "azureopenai", "azopenai", "azaiopenai", "openaiazure",
                        "azurechatopenai"),
    "azure.ai.inference": ("azureaiinference", "azureai", "azureaifoundry", "azinference", "azaiinference"),
    "anthropic": ("anthropic", "anthropicmessages", "claude", "anthropictext"),
    "aws.bedrock": ("awsbedrock", "bedrock", "amazonbedrock", "bedrockconverse", "aws", "amazon"),
    "gcp.gemini": ("gcpgemini", "gemini", "gcpgenai", "google", "googlegenai", "googlegenerativeai", "googleaistudio",
                   "googlegla", "geminichat", "gcp"),
    "gcp.vertex_ai": ("gcpvertexai", "vertexai", "vertex", "googlevertex", "googlevertexai", "vertexaibeta"),
    "cohere": ("cohere", "coherechat"),
    "mistral_ai": ("mistralai", "mistral"),
    "groq": ("groq",),
    "deepseek": ("deepseek",),
    "x_ai": ("xai", "grok"),
    "perplexity": ("perplexity", "perplexityai", "pplx"),
    "ollama": ("ollama", "ollamachat"),
    "ibm.watsonx.ai": ("ibmwatsonxai", "watsonx", "watsonxai"),
    "openrouter": ("openrouter",),
    "together_ai": ("togetherai", "together"),
    "fireworks_ai": ("fireworksai", "fireworks"),
    "huggingface": ("huggingface", "huggingfacehub", "huggingfaceinference", "hf"),
    "replicate": ("replicate",),
    "cerebras": ("cerebras",),
    "moonshot_ai": ("moonshotai", "moonshot"),
    "alibaba": ("alibaba", "dashscope", "qwen", "alibabacloud"),
    "voyage_ai": ("voyageai", "voyage"),
    "databricks": ("databricks",),
    "vllm": ("vllm", "hostedvllm"),
}  # fmt: skip
_BY_SPELLING = {spelling: name for name, spellings in _PROVIDERS.items() for spelling in spellings}
_NOT_PROVIDERS = frozenset(
    ("langchain", "langgraph", "llamaindex", "llamaindexcore", "litellm", "litellmproxy", "crewai", "dspy", "haystack",
     "autogen", "openaiagents", "pydanticai", "vercel", "ai", "unknown", "custom", "other", "none", "null", "inmemory")
)  # fmt: skip
"""Frameworks that put their own name where the provider belongs."""

_BY_MODEL: tuple[tuple[str, str], ...] = (
    (r"((us|eu|apac|jp|au|ca|us-gov|global)\.)?(anthropic|amazon|meta|cohere|mistral|ai21|stability|deepseek|openai)\.[a-z]",
     "aws.bedrock"),
    (r"arn:aws[a-z-]*:(bedrock|sagemaker)", "aws.bedrock"),
    (r"(ft:)?(gpt-|chatgpt|o[1-9](-|$)|text-embedding-|(text-)?davinci|babbage|dall-e|whisper|tts-|codex|computer-use)",
     "openai"),
    (r"claude", "anthropic"),
    (r"(models/)?(gemini|text-embedding-00|embedding-00|imagen|veo-|learnlm)", "gcp.gemini"),
    (r"(command|embed-v|embed-english|embed-multi|rerank-|c4ai-)", "cohere"),
    (r"(mistral|ministral|codestral|magistral|pixtral|devstral|voxtral|open-mi[sx]tral)", "mistral_ai"),
    (r"deepseek", "deepseek"),
    (r"grok", "x_ai"),
    (r"sonar", "perplexity"),
    (r"voyage-", "voyage_ai"),
)  # fmt: skip
_MODEL_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in _BY_MODEL)

_BY_HOST: tuple[tuple[str, str], ...] = (
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "x_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.mistral.ai", "mistral_ai"),
    ("openrouter.ai", "openrouter"),
    ("api.together.xyz", "together_ai"),
    ("api.together.ai", "together_ai"),
    ("api.fireworks.ai", "fireworks_ai"),
    ("api.cerebras.ai", "cerebras"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("dashscope.aliyuncs.com", "alibaba"),
)
"""Who answers at a host, whatever SDK asked: the OpenAI SDK speaks to all of these."""

_FINISH: dict[FinishReason, tuple[str, ...]] = {
    "stop": ("stop", "end_turn", "endturn", "stop_sequence", "complete", "completed", "eos", "eos_token", "end",
             "pause_turn", "finished", "done", "success", "unload"),
    "length": ("length", "max_tokens", "max_output_tokens", "model_length", "max_token", "token_limit", "maxtokens",
               "model_context_window_exceeded", "max_length", "incomplete"),
    "tool_call": ("tool_call", "tool_calls", "tool_use", "function_call", "tooluse", "function_calls"),
    "content_filter": ("content_filter", "content_filtered", "contentfilter", "refusal", "safety", "recitation",
                       "blocklist", "prohibited_content", "spii", "guardrail_intervened", "error_toxic", "blocked",
                       "language", "image_safety", "image_prohibited_content", "image_recitation", "sensitive",
                       "model_armor"),
    "error": ("error", "failed", "cancelled", "canceled", "user_cancel", "error_limit", "malformed_function_call",
              "unexpected_tool_call", "too_many_tool_calls", "network_error", "abort", "aborted", "timeout",
              "malformed_model_output", "malformed_tool_use", "missing_thought_signature", "malformed_response",
              "image_other", "no_image"),
}  # fmt: skip
_BY_FINISH: dict[str, FinishReason] = {word: reason for reason, words in _FINISH.items() for word in words}
_SEVERITY: tuple[FinishReason, ...] = ("error", "content_filter", "length", "tool_call", "stop")

_STATUS_IN_TEXT = re.compile(
    r"(?:error code|status(?:[_ ]?code)?|http(?: status)?|HTTP/[\d.]+)['\"]?[:= ]+(\d{3})\b|^(\d{3}) [A-Z_]{4,}",
    re.IGNORECASE,
)
_STATUS_BY_ERROR: tuple[tuple[str, int], ...] = (
    ("ratelimit", 429),
    ("toomanyrequests", 429),
    ("throttling", 429),
    ("overloaded", 529),
    ("authenticationerror", 401),
    ("unauthorized", 401),
    ("permissiondenied", 403),
    ("permissionerror", 403),
    ("notfounderror", 404),
    ("badrequest", 400),
    ("invalidrequesterror", 400),
    ("unprocessableentity", 422),
)
"""Error classes that stand for exactly one HTTP status in the SDKs that raise them."""
_NOT_ALNUM = re.compile(r"[^a-z0-9]+")


def _spelling(value: str) -> str:
    return _NOT_ALNUM.sub("", value.lower())


@lru_cache(maxsize=4096)
def provider_of(value: str) -> str | None:
    """Return the canonical provider; an unknown one in lower case, a framework's name as ``None``."""
    spelling = _spelling(value)
    if spelling in _NOT_PROVIDERS:
        return None
    # The Vercel SDK appends the API: `openai.chat`, `google.vertex.chat`.
    parts = value.split(".")[:4]
    heads = (_spelling(".".join(parts[:length])) for length in range(len(parts), 0, -1))
    return next((_BY_SPELLING[head] for head in (spelling, *heads) if head in _BY_SPELLING), value.lower())


def provider(value: Any) -> str | None:
    """Convert a provider attribute."""
    clean = text(value)
    return None if clean is None else provider_of(clean)


def routed_provider(value: Any) -> str | None:
    """Read the provider off a routed model name: ``openai/gpt-4o`` goes to openai."""
    clean = text(value)
    if clean is None or "/" not in clean:
        return None
    return _BY_SPELLING.get(_spelling(clean.split("/", 1)[0]))


@lru_cache(maxsize=4096)
def provider_of_model(model: str) -> str | None:
    """Return the provider that a well-known model name belongs to."""
    for pattern, name in _MODEL_PATTERNS:
        if pattern.match(model):
            return name
    return None


@lru_cache(maxsize=4096)
def provider_of_host(host: str) -> str | None:
    """Return the provider that answers at a well-known host."""
    lowered = host.lower()
    return next((name for suffix, name in _BY_HOST if lowered == suffix or lowered.endswith(suffix)), None)


@lru_cache(maxsize=4096)
def provider_of_scope(scope_name: str) -> str | None:
    """Return the provider that an instrumentation scope is named after: ``openinference.instrumentation.groq``."""
    words = re.split(r"[./@]", scope_name.lower())
    return next((_BY_SPELLING[word] for word in map(_spelling, reversed(words)) if word in _BY_SPELLING), None)


@lru_cache(maxsize=4096)
def plain_model(model: str, provider: str | None) -> str:
    """Return the model without the routing prefix of its own provider: ``openai/gpt-4o`` of openai is ``gpt-4o``.

    A prefix that names somebody else is kept: ``openai/gpt-oss-120b`` is how groq calls its model.
    """
    if model.startswith("models/"):
        model = model.removeprefix("models/")
    prefix, slash, rest = model.partition("/")
    return rest if slash and rest and provider and _BY_SPELLING.get(_spelling(prefix)) == provider else model


@lru_cache(maxsize=4096)
def finish_reason_of(word: str) -> FinishReason | None:
    """Return the canonical finish reason of one raw word, ``None`` if it is not known."""
    spelled = word.rsplit(".", 1)[-1].strip().lower().replace("-", "_").replace(" ", "_")
    return _BY_FINISH.get(spelled)


def finish_reason(raw: Sequence[str]) -> FinishReason | None:
    """Return how a call ended, given how each of its choices did: the gravest counts."""
    if len(raw) == 1:
        return finish_reason_of(raw[0])
    found = {finish_reason_of(word) for word in raw}
    return next((reason for reason in _SEVERITY if reason in found), None)


def status_in(message: Any) -> int | None:
    """Return the HTTP status that an error message quotes."""
    if type(message) is not str:
        return None
    match = _STATUS_IN_TEXT.search(message[:2000])
    if match is None:
        return None
    number = int(match.group(1) or match.group(2))
    return number if 400 <= number <= 599 else None


@lru_cache(maxsize=4096)
def status_of_error(error_type: str) -> int | None:
    """Return the HTTP status that an error class stands for, if it is exactly one."""
    spelling = _spelling(error_type)
    return next((status for word, status in _STATUS_BY_ERROR if word in spelling), None)
