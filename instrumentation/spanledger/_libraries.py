"""Which library is instrumented by what: a table, read top to bottom, first fit wins.

Adding a library is adding a row. The official instrumentors come first; OpenInference stands in where there is none or
where the official one's declared version range refuses the installed library.
"""

from dataclasses import dataclass

import wrapt

PROXY: type = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)
"""The base of all wrappers of wrapt; it got a name of its own in wrapt 2."""


@dataclass(frozen=True, slots=True)
class Instrumentor:
    """One way to instrument a library: the distribution that brings it and the class to call ``instrument()`` on."""

    distribution: str
    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Library:
    """An LLM library.

    Attributes:
        name: Our name for it, also the name of the extra that installs its instrumentor.
        distribution: What ``pip`` calls it.
        module: The module whose first import triggers attaching.
        instrumentors: In order of preference.
        entry: Where a foreign wrapper would sit, as ``module:Class.method``; empty if calls are seen by callbacks.
        foreign: Instrumentors of other families, as ``module:Class``; looked at only if already imported.
        waits_for: A module that imports the library and that its instrumentor wraps too, as ``module:name``: while it
            is itself being imported, attaching waits until it has that name.
    """

    name: str
    distribution: str
    module: str
    instrumentors: tuple[Instrumentor, ...]
    entry: str = ""
    foreign: tuple[str, ...] = ()
    waits_for: str = ""


def _official(name: str, cls: str) -> Instrumentor:
    package = name.replace("-", "_")
    return Instrumentor(
        f"opentelemetry-instrumentation-genai-{name}", f"opentelemetry.instrumentation.genai.{package}", cls
    )


def _openinference(name: str, cls: str) -> Instrumentor:
    package = name.replace("-", "_")
    return Instrumentor(f"openinference-instrumentation-{name}", f"openinference.instrumentation.{package}", cls)


def _traceloop(package: str, cls: str) -> str:
    return f"opentelemetry.instrumentation.{package}:{cls}"


LIBRARIES: tuple[Library, ...] = (
    Library(
        "openai",
        "openai",
        "openai",
        (_official("openai", "OpenAIInstrumentor"), _openinference("openai", "OpenAIInstrumentor")),
        entry="openai.resources.chat.completions:Completions.create",
        foreign=(
            _traceloop("openai", "OpenAIInstrumentor"),
            "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor",
        ),
    ),
    Library(
        "anthropic",
        "anthropic",
        "anthropic",
        (_official("anthropic", "AnthropicInstrumentor"), _openinference("anthropic", "AnthropicInstrumentor")),
        entry="anthropic.resources.messages:Messages.create",
        foreign=(_traceloop("anthropic", "AnthropicInstrumentor"),),
    ),
    Library(
        "google-genai",
        "google-genai",
        "google.genai",
        (
            Instrumentor(
                "opentelemetry-instrumentation-google-genai",
                "opentelemetry.instrumentation.google_genai",
                "GoogleGenAiSdkInstrumentor",
            ),
            _openinference("google-genai", "GoogleGenAIInstrumentor"),
        ),
        entry="google.genai.models:Models.generate_content",
        foreign=(_traceloop("google_generativeai", "GoogleGenerativeAiInstrumentor"),),
    ),
    Library(
        "bedrock",
        "boto3",
        "boto3",
        (_official("bedrock", "BedrockInstrumentor"), _openinference("bedrock", "BedrockInstrumentor")),
        foreign=(_traceloop("bedrock", "BedrockInstrumentor"),),
    ),
    Library(
        "langchain",
        "langchain-core",
        "langchain_core",
        (_official("langchain", "LangChainInstrumentor"), _openinference("langchain", "LangChainInstrumentor")),
        entry="langchain_core.callbacks:BaseCallbackManager.__init__",
        foreign=(_traceloop("langchain", "LangchainInstrumentor"),),
        waits_for="langgraph.pregel:Pregel",
    ),
    Library(
        # The official one leaves a query engine's calls without usage, so OpenInference comes first here.
        "llama-index",
        "llama-index-core",
        "llama_index.core",
        (_openinference("llama-index", "LlamaIndexInstrumentor"), _official("llama-index", "LlamaIndexInstrumentor")),
        foreign=(_traceloop("llamaindex", "LlamaIndexInstrumentor"),),
    ),
    Library(
        "litellm",
        "litellm",
        "litellm",
        (_openinference("litellm", "LiteLLMInstrumentor"),),
        foreign=(_traceloop("litellm", "LiteLLMInstrumentor"),),
    ),
    Library(
        "mistralai",
        "mistralai",
        "mistralai.client",
        (_openinference("mistralai", "MistralAIInstrumentor"),),
        entry="mistralai.client.chat:Chat.complete",
        foreign=(_traceloop("mistralai", "MistralAiInstrumentor"),),
    ),
    Library(
        "cohere",
        "cohere",
        "cohere",
        (_openinference("cohere", "CohereInstrumentor"),),
        entry="cohere.v2.client:V2Client.chat",
        foreign=(_traceloop("cohere", "CohereInstrumentor"),),
    ),
    Library(
        "groq",
        "groq",
        "groq",
        (_openinference("groq", "GroqInstrumentor"),),
        entry="groq.resources.chat.completions:Completions.create",
        foreign=(_traceloop("groq", "GroqInstrumentor"),),
    ),
    Library(
        "ollama",
        "ollama",
        "ollama",
        (_openinference("ollama", "OllamaInstrumentor"),),
        entry="ollama._client:Client.chat",
        foreign=(_traceloop("ollama", "OllamaInstrumentor"),),
    ),
    Library(
        "openai-agents",
        "openai-agents",
        "agents",
        (
            _official("openai-agents", "OpenAIAgentsInstrumentor"),
            _openinference("openai-agents", "OpenAIAgentsInstrumentor"),
        ),
        foreign=(_traceloop("openai_agents", "OpenAIAgentsInstrumentor"),),
    ),
)
