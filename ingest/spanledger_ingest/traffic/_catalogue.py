"""What the generated world is made of: models and their list prices, use cases, archetypes of tenants, company names.

Token medians and spreads follow the Azure LLM traces of 2023 (conversations: 1,155 tokens in and 211 out on average, no
correlation between the two); archetypes and their shares follow the client behaviour in Alibaba's ServeGen traces.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Finish = Literal["stop", "length", "tool_call", "content_filter"]
Fault = Literal["rate_limit", "server_error", "timeout"]


class Usage(NamedTuple):
    """Tokens of one call; ``input`` includes cache reads and writes, ``output`` includes reasoning."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How the official instrumentor of a provider writes its spans."""

    name: str
    """`gen_ai.provider.name`."""
    stored: str
    """How the service calls it."""
    scope: str
    scope_version: str
    operation: str = "chat"
    id_prefix: str
    server: str
    finishes: dict[Finish, str]
    error_types: dict[Fault, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: its speed, its reliability and its list price in whole nano-USD per token (= USD per billion tokens)."""

    provider: Provider
    name: str
    snapshot: str
    """The model named in the answer."""
    input_price: int
    output_price: int
    cache_read_price: int | None = None
    cache_write_price: int | None = None
    reasons: bool = False
    ttft_ms: float
    tokens_per_second: float
    error_rate: float

    def cost(self, usage: Usage) -> int:
        """Return the list price of the tokens in nano-USD; reasoning costs the same as other output."""
        plain = usage.input - usage.cache_read - usage.cache_write
        read = usage.cache_read * (self.cache_read_price or 0)
        written = usage.cache_write * (self.cache_write_price or 0)
        return plain * self.input_price + read + written + usage.output * self.output_price


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """A kind of work that tenants give to models."""

    name: str
    service: str
    route: str
    prompt: str
    prompt_version: str
    models: tuple[int, ...]
    """Positions in `MODELS` that suit it, the first most often chosen."""
    input_median: float
    output_median: float
    max_tokens: int | None = None
    streams: float = 0.0
    """Share of calls that stream."""
    cacheable: float = 0.0
    """Share of the prompt that is a stable prefix; 0 = nothing to cache."""
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Archetype:
    """How the requests of a kind of tenant spread over the week."""

    name: str
    share: float
    day: tuple[int, ...]
    """Relative rate per local hour, 24 values."""
    weekend: float
    """Rate on Saturday and Sunday as a share of a weekday's."""
    burstiness: float
    """Sigma of the lognormal factor on each ten minutes' rate: 0 is Poisson."""
    use_cases: tuple[str, ...]
    most_per_hour: float = float("inf")


_WORDS: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}
OPENAI = Provider(
    name="openai",
    stored="openai",
    scope="opentelemetry.instrumentation.genai.openai",
    scope_version="1.3b0",
    id_prefix="chatcmpl-",
    server="api.openai.com",
    finishes=_WORDS,
    error_types={
        "rate_limit": "openai.RateLimitError",
        "server_error": "openai.InternalServerError",
        "timeout": "openai.APITimeoutError",
    },
)
ANTHROPIC = Provider(
    name="anthropic",
    stored="anthropic",
    scope="opentelemetry.instrumentation.genai.anthropic",
    scope_version="1.3b0",
    id_prefix="msg_01",
    server="api.anthropic.com",
    finishes={**_WORDS, "tool_call": "tool_call"},
    error_types={
        "rate_limit": "anthropic.RateLimitError",
        "server_error": "anthropic.InternalServerError",
        "timeout": "anthropic.APITimeoutError",
    },
)
GOOGLE = Provider(
    name="gemini",
    stored="gcp.gemini",
    scope="opentelemetry.instrumentation.google_genai",
    scope_version="1.3b0",
    operation="generate_content",
    id_prefix="",
    server="generativelanguage.googleapis.com",
    finishes={"stop": "stop", "length": "max_tokens", "tool_call": "stop", "content_filter": "safety"},
    error_types={"rate_limit": "429", "server_error": "500", "timeout": "504"},
)
# There is no official instrumentor: its users write these spans by hand.
MISTRAL = Provider(
    name="mistral_ai",
    stored="mistral_ai",
    scope="llm_gateway.telemetry",
    scope_version="2.0.1",
    id_prefix="",
    server="api.mistral.ai",
    finishes=_WORDS,
    error_types={"rate_limit": "429", "server_error": "500", "timeout": "timeout"},
)

# List prices of November 2026; a test compares them with genai-prices.
MODELS = (
    Model(
        provider=OPENAI,
        name="gpt-4o",
        snapshot="gpt-4o-2024-08-06",
        input_price=2500,
        output_price=10000,
        cache_read_price=1250,
        ttft_ms=420,
        tokens_per_second=90,
        error_rate=0.006,
    ),
    Model(
        provider=OPENAI,
        name="gpt-4o-mini",
        snapshot="gpt-4o-mini-2024-07-18",
        input_price=150,
        output_price=600,
        cache_read_price=75,
        ttft_ms=330,
        tokens_per_second=120,
        error_rate=0.004,
    ),
    Model(
        provider=ANTHROPIC,
        name="claude-sonnet-4-6",
        snapshot="claude-sonnet-4-6",
        input_price=3000,
        output_price=15000,
        cache_read_price=300,
        cache_write_price=3750,
        ttft_ms=900,
        tokens_per_second=65,
        error_rate=0.012,
    ),
    Model(
        provider=ANTHROPIC,
        name="claude-haiku-4-5",
        snapshot="claude-haiku-4-5-20251001",
        input_price=1000,
        output_price=5000,
        cache_read_price=100,
        cache_write_price=1250,
        ttft_ms=480,
        tokens_per_second=130,
        error_rate=0.009,
    ),
    Model(
        provider=GOOGLE,
        name="gemini-2.5-flash",
        snapshot="gemini-2.5-flash",
        input_price=300,
        output_price=2500,
        cache_read_price=30,
        reasons=True,
        ttft_ms=380,
        tokens_per_second=180,
        error_rate=0.005,
    ),
    Model(
        provider=MISTRAL,
        name="mistral-large-latest",
        snapshot="mistral-large-latest",
        input_price=2000,
        output_price=6000,
        ttft_ms=550,
        tokens_per_second=70,
        error_rate=0.015,
    ),
)

USE_CASES = (
    UseCase(
        name="support",
        service="support-bot",
        route="/v1/reply",
        prompt="support_reply",
        prompt_version="v7",
        models=(0, 3, 5),
        input_median=1100,
        output_median=190,
        max_tokens=1024,
        streams=0.8,
        cacheable=0.6,
    ),
    UseCase(
        name="search",
        service="knowledge-api",
        route="/v1/answer",
        prompt="grounded_answer",
        prompt_version="v12",
        models=(4, 1, 0),
        input_median=3600,
        output_median=240,
        max_tokens=800,
        streams=0.65,
        cacheable=0.2,
    ),
    UseCase(
        name="summarise",
        service="document-worker",
        route="/v1/summaries",
        prompt="summary",
        prompt_version="v4",
        models=(1, 4, 3),
        input_median=5200,
        output_median=320,
        max_tokens=600,
    ),
    UseCase(
        name="extract",
        service="document-worker",
        route="/v1/fields",
        prompt="field_extraction",
        prompt_version="v21",
        models=(1, 3, 5),
        input_median=900,
        output_median=90,
        cacheable=0.5,
    ),
    UseCase(
        name="code_review",
        service="review-bot",
        route="/v1/reviews",
        prompt="review",
        prompt_version="v2",
        models=(2, 0),
        input_median=2800,
        output_median=420,
        max_tokens=2048,
        streams=0.3,
        cacheable=0.4,
    ),
    UseCase(
        name="operations_agent",
        service="agent-runner",
        route="/v1/tasks",
        prompt="agent_system",
        prompt_version="v9",
        models=(2, 0),
        input_median=2100,
        output_median=120,
        max_tokens=2048,
        cacheable=0.8,
        tools=("search_tickets", "get_order", "run_query", "send_message"),
    ),
)

_OFFICE = (4, 3, 2, 2, 3, 6, 14, 32, 66, 92, 100, 97, 86, 92, 98, 94, 85, 68, 46, 34, 26, 18, 11, 7)
_NIGHT = (100, 96, 78, 54, 30, 12, 6, 5, 5, 6, 8, 8, 10, 8, 8, 8, 10, 12, 18, 28, 44, 62, 84, 96)
_FLAT = (92, 90, 89, 89, 90, 92, 95, 98, 101, 104, 106, 107, 107, 107, 107, 106, 105, 104, 103, 102, 101, 99, 97, 95)
ARCHETYPES = (
    Archetype(
        name="interactive",
        share=0.30,
        day=_OFFICE,
        weekend=0.25,
        burstiness=0.35,
        use_cases=("support", "search", "code_review"),
    ),
    Archetype(name="batch", share=0.20, day=_NIGHT, weekend=0.85, burstiness=1.1, use_cases=("summarise", "extract")),
    Archetype(name="agent", share=0.15, day=_OFFICE, weekend=0.15, burstiness=0.7, use_cases=("operations_agent",)),
    Archetype(
        name="steady", share=0.15, day=_FLAT, weekend=0.9, burstiness=0.25, use_cases=("search", "extract", "support")
    ),
    Archetype(
        name="sparse",
        share=0.20,
        day=_OFFICE,
        weekend=0.3,
        burstiness=0.9,
        use_cases=("support", "summarise"),
        most_per_hour=0.8,
    ),
)

COMPANIES = (
    *("acme", "globex", "initech", "umbra", "hooli", "vandelay", "stark-labs", "wayne-foods", "tyrell", "cyberdyne"),
    *("wonka", "soylent", "oceanic", "massive", "aperture", "blackmesa", "monarch", "gringotts", "duff", "planetex"),
    *("nakatomi", "weyland", "rekall", "omnicorp", "zorg", "virtucon", "bluth", "sterling", "pied-piper", "dunder"),
    *("prestige", "krusty", "mooby", "sirius", "encom", "lexcorp", "oscorp", "roxxon", "buynlarge", "lacuna"),
)
DIVISIONS = ("labs", "retail", "energy", "health", "media", "travel", "legal", "mobile", "finance")
"""Where a world has more tenants than there are companies, their divisions are tenants too."""

PLACES = ((0, "eu-west-2"), (60, "eu-central-1"), (-300, "us-east-1"), (-480, "us-west-2"), (330, "ap-south-1"))
"""Offset of a tenant's clock from UTC in minutes (no daylight saving: a tenant's shape is a shape), and its region."""
