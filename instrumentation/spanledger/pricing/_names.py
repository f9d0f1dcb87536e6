"""Who sold the model and under which name: spellings, prefixes and cloud ids of providers and models."""

import re
from typing import NamedTuple

_ALIASES = {
    "anthropic": "claude",
    "aws": "bedrock amazon amazonbedrock awsbedrock bedrockconverse bedrockruntime awsbedrockruntime anthropicbedrock",
    "azure": "azureai azureopenai azureaiopenai azaiopenai azureaiinference azaiinference azurefoundry",
    "cloudflare": "workersai cloudflareworkersai",
    "cohere": "coherev2",
    "fireworks": "fireworksai",
    "github-copilot": "copilot",
    "google": (
        "gemini gcp gcpgemini gcpgenai gcpvertexai googlegenai googleai googlegla googleaistudio googlegenerativeai"
        " vertex vertexai googlevertex googlevertexai anthropicvertex vertexaianthropic googlevertexanthropic"
    ),
    "mistral": "mistralai",
    "moonshotai": "moonshot",
    "novita": "novitaai",
    "perplexity": "perplexityai",
    "together": "togetherai",
    "voyageai": "voyage",
    "x-ai": "grok",
    "zhipuai": "zhipu",
}
"""Spellings by provider id, letters and digits only: OTel names (gcp.vertex_ai), SDKs (GoogleGenAI), LiteLLM (xai)."""

_PROVIDERS = {alias: provider for provider, aliases in _ALIASES.items() for alias in aliases.split()}

_FRAMEWORKS = frozenset(
    {
        "langchain",
        "langgraph",
        "llamaindex",
        "litellm",
        "litellmproxy",
        "haystack",
        "crewai",
        "dspy",
        "vercel",
        "gateway",
    }
    | {"aisdk", "pydanticai", "openaiagents", "smolagents", "instructor", "unknown", "custom"}
)
"""Names that say which library called, not who was paid."""

_API_SUFFIX = re.compile(r"\.(chat|responses|messages|completions?|embeddings?|generative-ai)$")
_BEDROCK = re.compile(
    r"^(?:(?:us|eu|apac|ap|jp|au|ca|in|sa|mx|us-gov|global)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshotai|moonshot|nvidia|openai|qwen"
    r"|stability|twelvelabs|writer|zai)\.(?=[a-z])"
)
_GOOGLE_PATH = re.compile(r"^(?:projects/|publishers/|models/)")
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_SNAPSHOT = re.compile(r"(?:[-@](?:\d+|v\d+|preview|exp|latest))*")
_FINE_TUNED = re.compile(r"^(ft:[^:]+):")


class Name(NamedTuple):
    """A model name read for the price table."""

    provider: str | None
    """The provider that the name itself gives away, or ``None``."""
    spellings: tuple[str, ...]
    """What to look up, most literal first."""


def squash(text: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return "".join(filter(str.isalnum, text.lower()))


def provider_id(name: str | None, known: dict[str, str]) -> str | None:
    """Return the id of a provider by any of its spellings, ``""`` for a stranger, ``None`` if it names no provider.

    ``known`` maps squashed ids to ids. Spellings are exact: `openai-compatible` is not OpenAI.
    """
    key = squash(_API_SUFFIX.sub("", (name or "").strip().lower()))
    if not key or key in _FRAMEWORKS:
        return None
    return known.get(key) or known.get(squash(_PROVIDERS.get(key, ""))) or ""


def read_name(model: str, known: dict[str, str]) -> Name:
    """Read a model name: ``openai/gpt-4o``, ``models/gemini-2.5-pro``, ``bedrock/us.anthropic.claude-...``, an ARN."""
    name = model.strip().lower()
    if is_bedrock(name):
        return Name("aws", (name, name.rpartition("/")[2]))
    if _GOOGLE_PATH.match(name):
        return Name("google", (name.rpartition("/")[2],))
    for separator in "/:":
        prefix, found, rest = name.partition(separator)
        if found and rest and (provider := provider_id(prefix, known)) is not None:
            if provider:
                return Name(provider, (name, *_without_route(provider, rest)))
            return Name(None, (name,))
        if found and rest and squash(prefix) in _FRAMEWORKS:
            return read_name(rest, known)
    return Name(None, (name,))


def is_bedrock(name: str) -> bool:
    """Tell whether a model id can only be one of Amazon Bedrock: vendor and dot, region before it, or an ARN."""
    return name.startswith("arn:aws") or _BEDROCK.match(name) is not None


def variants(spelling: str) -> tuple[str, ...]:
    """Return the spelling and its other way of writing a date or a fine-tuned base model."""
    dated = _COMPACT_DATE.sub(r"-\1-\2-\3", spelling)
    return (spelling,) if dated == spelling else (spelling, dated)


def fine_tuned_base(spelling: str) -> str | None:
    """Return ``ft:gpt-4o-mini`` of ``ft:gpt-4o-mini:org::id``."""
    found = _FINE_TUNED.match(spelling)
    return found and found[1]


def is_snapshot(response: str, request: str) -> bool:
    """Tell whether the response names the requested model with nothing but a date or a build number added."""
    asked, answered = (name.lower().rpartition("/")[2] for name in (request, response))
    return _SNAPSHOT.fullmatch(answered.removeprefix(asked.removesuffix("-latest"))) is not None


def _without_route(provider: str, rest: str) -> tuple[str, ...]:
    if provider == "aws":  # bedrock/us-east-1/anthropic.claude-v2, bedrock/converse/...
        return (rest, rest.rpartition("/")[2])
    if provider == "google":
        return (rest.rpartition("/")[2],)
    return (rest,)
