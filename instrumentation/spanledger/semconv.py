"""The names that Spanledger writes and reads on spans. Nothing else in this package spells an attribute name twice.

Sources: OpenTelemetry semantic conventions 1.44 (stable and ``user``/``session``/``cloud``), semantic-conventions-genai
(GenAI, Development), its pull request 443 (cost), OpenInference 0.1.42 (the second dialect that we attach).
"""

from typing import Final

# Who and what for: on every span of a context.
TENANT_ID: Final = "tenant.id"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"
USE_CASE: Final = "spanledger.use_case"
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"
CLOUD_REGION: Final = "cloud.region"
CONVERSATION_ID: Final = "gen_ai.conversation.id"

# The model call.
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
SYSTEM: Final = "gen_ai.system"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
SERVER_ADDRESS: Final = "server.address"
ERROR_TYPE: Final = "error.type"

# Tokens: input and output are totals that include every class below them.
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
CACHE_WRITE_TOKENS_OLD: Final = "gen_ai.usage.cache_creation.input_tokens"
CACHE_WRITE_1H_TOKENS: Final = "spanledger.usage.cache_write_1h.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
OPENAI_SERVICE_TIER: Final = "openai.response.service_tier"
ANTHROPIC_SERVICE_TIER: Final = "anthropic.response.service_tier"

# What Spanledger adds before it exports.
FINISH_REASON: Final = "spanledger.finish_reason"
STREAM_ABORTED: Final = "spanledger.stream.aborted"
COST_AMOUNT: Final = "gen_ai.usage.cost.amount"
COST_CURRENCY: Final = "gen_ai.usage.cost.currency"
COST_SOURCE: Final = "gen_ai.usage.cost.source"

# What admission decided before the call.
BUDGET_DECISION: Final = "spanledger.budget.decision"
BUDGET_NAME: Final = "spanledger.budget.name"
BUDGET_MAX_TOKENS: Final = "spanledger.budget.max_tokens"

# Evaluations (log event, parented to the evaluated span).
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# OpenInference, the dialect of the instrumentors that we fall back to.
OI_SCOPE: Final = "openinference.instrumentation."
OI_CLIENTS: Final = frozenset(
    {"openai", "anthropic", "google_genai", "bedrock", "litellm", "mistralai", "cohere", "groq", "ollama"}
)
OI_KIND: Final = "openinference.span.kind"
OI_MODEL: Final = "llm.model_name"
OI_REQUEST_MODEL: Final = "llm.request.model_name"
OI_PROVIDER: Final = "llm.provider"
OI_SYSTEM: Final = "llm.system"
OI_FINISH_REASON: Final = "llm.finish_reason"
OI_INPUT_TOKENS: Final = "llm.token_count.prompt"
OI_OUTPUT_TOKENS: Final = "llm.token_count.completion"
OI_CACHE_READ_TOKENS: Final = "llm.token_count.prompt_details.cache_read"
OI_CACHE_WRITE_TOKENS: Final = "llm.token_count.prompt_details.cache_write"
OI_REASONING_TOKENS: Final = "llm.token_count.completion_details.reasoning"
OI_AUDIO_INPUT_TOKENS: Final = "llm.token_count.prompt_details.audio"
OI_AUDIO_OUTPUT_TOKENS: Final = "llm.token_count.completion_details.audio"
OI_OUTPUT_VALUE: Final = "output.value"
OI_INVOCATION_PARAMETERS: Final = "llm.invocation_parameters"
OI_FIRST_TOKEN_EVENT: Final = "First Token Stream Event"  # noqa: S105  # a token of text

LANGCHAIN_SCOPE: Final = "opentelemetry.instrumentation.genai.langchain"

INFERENCE_OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""Operations that a provider bills. Roll-ups (agents, workflows) and re-reads (fetch_response) are not among them."""

OI_INFERENCE_KINDS: Final = frozenset({"LLM", "EMBEDDING", "RERANKER"})
"""The same for OpenInference."""
