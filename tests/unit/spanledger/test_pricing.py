"""The calculator at its public surface: which entry prices a call, when there is no number, and exact arithmetic."""

import decimal
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.pricing import STANDARD, PriceTable, TokenUsage, cost_attribute
from spanledger.pricing._rates import Rate, Rates

TABLE = PriceTable.load()
USAGE = TokenUsage(input=1_000, output=100)


def ns(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 10**9


NOW = ns(2026, 11, 23)


def priced_by(provider: str | None, request: str | None, response: str | None = None) -> str | None:
    found = TABLE.price(
        provider=provider,
        request_model=request,
        response_model=response,
        usage=TokenUsage(input=1_000, output=0),
        at_ns=NOW,
    ).price_id
    return found and found.partition("#")[0].partition("@")[0]


SONNET = "anthropic/claude-sonnet-4-5"
SONNET_US = "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_GLOBAL = "aws/global.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012"


@pytest.mark.parametrize(
    ("provider", "request_model", "expected"),
    [
        # spellings of providers: OTel names of every generation, SDKs, LiteLLM, the Vercel AI SDK
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("OpenAI", "gpt-4o", "openai/gpt-4o"),
        ("openai.chat", "gpt-4o", "openai/gpt-4o"),
        ("openai.responses", "gpt-4o", "openai/gpt-4o"),
        ("openai.embedding", "text-embedding-3-small", "openai/text-embedding-3-small"),
        ("gemini", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gcp.gemini", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gcp.gen_ai", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gcp.vertex_ai", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("GoogleGenAI", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google.generative-ai", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("Cohere", "command-a-03-2025", "cohere/command-a"),
        ("mistral_ai", "mistral-small-latest", "mistral/mistral-small-latest"),
        ("mistralai", "mistral-small-latest", "mistral/mistral-small-latest"),
        ("x_ai", "grok-4", "x-ai/grok-4-0709"),
        ("xai", "grok-4", "x-ai/grok-4-0709"),
        ("groq", "llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("together_ai", "MiniMaxAI/MiniMax-M3", "together/MiniMaxAI/MiniMax-M3"),
        ("moonshot_ai", "kimi-k2-0711-preview", "moonshotai/kimi-k2-0711-preview"),
        # prefixes
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        (None, "openai/gpt-4o", "openai/gpt-4o"),
        ("litellm", "openai/gpt-4o", "openai/gpt-4o"),
        ("langchain", "gpt-4o", "openai/gpt-4o"),
        (None, "openai:gpt-4o", "openai/gpt-4o"),
        (None, "google-gla:gemini-2.5-flash", "google/gemini-2.5-flash"),
        (None, "vertex_ai/gemini-2.5-flash", "google/gemini-2.5-flash"),
        (None, "litellm_proxy/anthropic/claude-sonnet-4-5", SONNET),
        ("gcp.gemini", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        (
            "gcp.vertex_ai",
            "projects/p/locations/l/publishers/google/models/gemini-2.5-flash",
            "google/gemini-2.5-flash",
        ),
        (None, "openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("fireworks", "accounts/fireworks/models/deepseek-v4-flash", "fireworks/deepseek-v4-flash"),
        # Bedrock: the region is part of the price
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_US),
        ("aws.bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_US),
        ("aws.bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_US),
        ("aws.bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_GLOBAL),
        ("anthropic", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_US),
        ("AWS", f"{ARN}:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_US),
        ("AWS", f"{ARN}:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_GLOBAL),
        ("aws.bedrock", f"{ARN}::foundation-model/amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        (None, "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", SONNET_US),
        (None, "bedrock/us-east-1/amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
        # Vertex
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5@20250929", SONNET),
        # snapshots and fine-tuned models
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai", "gpt-4o-20240806", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", "openai/ft:gpt-4o-mini"),
        ("openai", "ft:gpt-4o-mini:org::id", "openai/ft:gpt-4o-mini"),
        (None, "ft:gpt-4o-mini:org::id", "openai/ft:gpt-4o-mini"),
        # no provider: the only one that claims the name
        (None, "claude-sonnet-4-5", SONNET),
        ("", "gemini-2.5-flash", "google/gemini-2.5-flash"),
    ],
)
def test_a_name_leads_to_its_entry(provider: str | None, request_model: str, expected: str) -> None:
    assert priced_by(provider, request_model) == expected


@pytest.mark.parametrize(
    ("provider", "request_model", "response_model", "expected"),
    [
        ("openai", "gpt-4o", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "gpt-4o", "gpt-4o-2031-01-01", "openai/gpt-4o"),  # a snapshot newer than the list
        ("openai", "gpt-4o", "some-other-model", None),
        ("mistral_ai", "mistral-large-latest", "mistral-large-9912", "mistral/mistral-large"),
        ("gcp.gemini", "gemini-flash-latest", "gemini-99-flash", None),  # the alias has moved on
        ("azure.ai.openai", "our-deployment", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("azure.ai.openai", "gpt-4o", None, None),  # a deployment can be called anything
        ("litellm", "azure/our-deployment", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        (
            "aws.bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5-20250929",
            SONNET_GLOBAL,
        ),
        ("aws.bedrock", f"{ARN}:application-inference-profile/abc", "claude-sonnet-4-5-20250929", None),
        ("openrouter", "google/gemma-4-31b-it:free", "google/gemma-4-31b-it", "openrouter/google/gemma-4-31b-it:free"),
    ],
)
def test_the_model_that_answered_is_priced_where_it_says_more(
    provider: str, request_model: str, response_model: str | None, expected: str | None
) -> None:
    assert priced_by(provider, request_model, response_model) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99"),
        ("ollama", "llama3.2"),
        ("ollama", "mistral"),
        ("openai-compatible", "gpt-4o"),
        ("openai", "groq/llama-3.3-70b-versatile"),
        ("anthropic", "gpt-4o"),
        ("openai", "gpt-oss-120b"),  # genai-prices does not vouch for it, and OpenAI does not sell it
        ("google", "gemma-3-27b-it"),  # listed without any price: free here, self-hosted there
        ("aws.bedrock", f"{ARN}:application-inference-profile/abc"),
        ("aws.bedrock", f"{ARN}:provisioned-model/abc"),
        (None, "llama3.2"),
        (None, "mistral:7b"),
        (None, "deepseek-r1:8b"),
        (None, "someone/claude-clone"),
        (None, ""),
        ("openai", None),
        (None, None),
    ],
)
def test_what_is_not_certain_has_a_reason_and_no_number(provider: str | None, model: str | None) -> None:
    found = TABLE.price(provider=provider, request_model=model, response_model=None, usage=USAGE, at_ns=NOW)
    assert (found.amount, found.price_id, found.lines) == (None, None, ())
    assert found.reason == "unpriced_model"
    assert found.detail


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        (TokenUsage(), "no_usage"),
        (TokenUsage(input=10), "no_usage"),
        (TokenUsage(output=10), "no_usage"),
        (TokenUsage(input=-1, output=1), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, cache_read=11), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, cache_read=6, cache_write=5), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, cache_write=2, cache_write_1h=3), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, cache_write_1h=3), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, audio_input=11), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, audio_input=3, cache_read=3, audio_cache_read=4), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, reasoning=2), "inconsistent_usage"),
        (TokenUsage(input=10, output=1, audio_output=2), "inconsistent_usage"),
        (TokenUsage(input=True, output=1), "inconsistent_usage"),
        (TokenUsage(input=1.5, output=1), "inconsistent_usage"),  # type: ignore[arg-type]
    ],
)
def test_usage_that_cannot_be_is_not_billed(usage: TokenUsage, reason: str) -> None:
    found = TABLE.price(provider="openai", request_model="gpt-4o", response_model=None, usage=usage, at_ns=NOW)
    assert (found.amount, found.reason) == (None, reason)


def test_embeddings_have_no_output_and_no_price_for_one() -> None:
    def price(usage: TokenUsage) -> tuple[Decimal | None, str | None]:
        found = TABLE.price(
            provider="openai", request_model="text-embedding-3-small", response_model=None, usage=usage, at_ns=NOW
        )
        return found.amount, found.reason

    assert price(TokenUsage(input=1_000_000)) == (Decimal("0.02"), None)
    assert price(TokenUsage(input=1_000_000, output=0)) == (Decimal("0.02"), None)
    assert price(TokenUsage(input=1_000_000, output=1)) == (None, "unpriced_unit")


def test_splits_that_decide_the_price_are_asked_for() -> None:
    def reason(model: str, **counts: int) -> str | None:
        usage = TokenUsage(**counts)
        return TABLE.price(provider="openai", request_model=model, response_model=None, usage=usage, at_ns=NOW).reason

    assert reason("gpt-audio", input=100, output=50) == "ambiguous_usage"
    assert reason("gpt-audio", input=100, output=50, audio_output=0) is None
    assert reason("gpt-realtime", input=100, output=0, audio_input=60, cache_read=50) == "ambiguous_usage"
    assert reason("gpt-realtime", input=100, output=0, audio_input=60, cache_read=50, audio_cache_read=20) is None
    assert reason("gpt-realtime", input=100, output=0, audio_input=100, cache_read=50) is None  # all of it is audio
    assert reason("gpt-realtime", input=100, output=0, audio_input=60, cache_read=100) is None  # all of it is cached


def amount(model: str, provider: str = "openai", at_ns: int = NOW, **context: Any) -> Decimal | str | None:
    found = TABLE.price(
        provider=provider, request_model=model, response_model=None, usage=USAGE, at_ns=at_ns, **context
    )
    return found.reason or found.amount


def test_service_tiers() -> None:
    listed = Decimal("0.0035")
    for tier in (None, "", "default", "auto", "standard", "SERVICE_TIER_UNSPECIFIED", "on_demand"):
        assert amount("gpt-4o", service_tier=tier) == listed
    assert amount("gpt-4o", service_tier="priority") == Decimal("0.00595")
    assert amount("gpt-4o", batch=True) == amount("gpt-4o", service_tier="batch") == Decimal("0.00175")
    assert amount("gpt-4o", batch=True, service_tier="default") == Decimal("0.00175")


def test_an_unknown_tier_is_not_the_standard_price() -> None:
    assert amount("gpt-4o", service_tier="scale") == "unpriced_context"
    assert amount("gpt-4o", service_tier="flex") == "unpriced_context"
    assert amount("gpt-4o", service_tier="priority", at_ns=ns(2026, 10, 11)) == "unpriced_context"
    assert amount("gpt-4o", batch=True, service_tier="priority") == "unpriced_context"
    assert amount("llama-3.3-70b-versatile", "groq", service_tier="flex") == amount("llama-3.3-70b-versatile", "groq")


def test_a_cloud_does_not_inherit_the_batch_price_of_the_maker() -> None:
    def price(*, batch: bool) -> tuple[Decimal | None, str | None]:
        found = TABLE.price(
            provider="azure", request_model="d", response_model="gpt-4o", usage=USAGE, at_ns=NOW, batch=batch
        )
        return found.amount, found.reason

    assert price(batch=False) == (Decimal("0.0035"), None)
    assert price(batch=True) == (None, "unpriced_context")


def test_prices_change_at_midnight_utc() -> None:
    day = ns(2025, 6, 10)
    assert amount("o3", at_ns=day - 1) == Decimal("0.014")
    assert amount("o3", at_ns=day) == Decimal("0.0028")


def test_prices_by_time_of_day() -> None:
    peak = amount("deepseek-chat", "deepseek", at_ns=ns(2026, 11, 23, 12))
    night = amount("deepseek-chat", "deepseek", at_ns=ns(2026, 11, 23, 20))
    assert (peak, night) == (Decimal("0.00038"), Decimal("0.00019"))


def test_a_price_id_names_the_rates() -> None:
    def price_id(**context: Any) -> str:
        found = TABLE.price(
            **(
                {"provider": "openai", "request_model": "o3", "response_model": None, "usage": USAGE, "at_ns": NOW}
                | context
            )
        )
        assert found.price_id is not None
        return found.price_id

    assert price_id() == price_id(response_model="o3-2025-04-16", usage=TokenUsage(input=1, output=1))
    assert price_id().startswith("openai/o3@2025-06-10#")
    assert len({price_id(), price_id(at_ns=0), price_id(batch=True), price_id(service_tier="flex")}) == 4


counts = st.integers(0, 10**7)
prices = st.decimals(0, 1_000, places=6, allow_nan=False)


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    parts = [draw(counts) for _ in range(8)]
    _plain, read, write_5m, write_1h, audio, audio_read, text, reasoning = parts
    return TokenUsage(
        input=sum(parts[:6]),
        output=text + reasoning,
        cache_read=read + audio_read,
        cache_write=write_5m + write_1h,
        cache_write_1h=write_1h,
        reasoning=reasoning,
        audio_input=audio + audio_read,
        audio_output=0,
        audio_cache_read=audio_read,
        image_input=0,
        image_output=0,
    )


rates = st.fixed_dictionaries(
    {"i": prices, "o": prices},
    optional={"r": prices, "w": prices, "n": prices},
).flatmap(lambda found: st.just(Rates("p/m", "test", {code: Rate(price) for code, price in found.items()})))


def scaled(usage: TokenUsage, factor: int) -> TokenUsage:
    return TokenUsage(**{name: factor * getattr(usage, name) for name in usage.__slots__})


@given(rates, usages())
def test_lines_add_up_to_the_total_which_is_rounded_once(entry: Rates, usage: TokenUsage) -> None:
    found = entry.price(usage)
    with decimal.localcontext(prec=80):
        total = sum((line.amount for line in found.lines), Decimal(0))
        assert found.amount == total.quantize(Decimal("1e-9"), ROUND_HALF_EVEN)
    assert sum(line.tokens for line in found.lines) == (usage.input or 0) + (usage.output or 0)


@given(rates, usages(), st.integers(0, 50))
def test_without_tiers_the_cost_is_linear(entry: Rates, usage: TokenUsage, factor: int) -> None:
    once, many = entry.price(usage), entry.price(scaled(usage, factor))
    assert [line.amount * factor for line in once.lines if factor] == [line.amount for line in many.lines]


@given(rates, usages(), counts)
def test_more_tokens_never_cost_less(entry: Rates, usage: TokenUsage, more: int) -> None:
    first = entry.price(usage).amount
    for name in ("input", "output"):
        grown = entry.price(replace(usage, **{name: getattr(usage, name) + more})).amount
        assert first is not None
        assert grown is not None
        assert grown >= first


@given(st.permutations(["i", "r", "w", "h", "ai", "ar", "o", "n"]), usages())
def test_the_order_of_the_units_does_not_matter(order: list[str], usage: TokenUsage) -> None:
    entry = {code: Rate(Decimal(number)) for number, code in enumerate(sorted(order), 1)}
    assert Rates("p/m", "t", {code: entry[code] for code in order}).price(usage) == Rates("p/m", "t", entry).price(
        usage
    )


@given(st.integers(0, 10**15))
def test_the_attribute_gives_the_nine_places_back(nano: int) -> None:
    exact = Decimal(nano).scaleb(-9)
    assert Decimal(repr(cost_attribute(exact))).quantize(Decimal("1e-9")) == exact


def test_half_a_nano_goes_to_the_even_one() -> None:
    def price(per_million: str) -> Decimal | None:
        rates = {"i": Rate(Decimal(per_million)), "o": Rate(Decimal(0))}
        return Rates("p/m", "test", rates).price(TokenUsage(input=1, output=0)).amount

    assert [price(text) for text in ("0.0005", "0.0015", "0.0025", "0.0035")] == [
        Decimal(text) for text in ("0E-9", "2E-9", "2E-9", "4E-9")
    ]


def test_the_applications_decimal_context_changes_nothing() -> None:
    def price() -> Decimal | None:
        usage = TokenUsage(input=123_456_789, output=987_654_321)
        return TABLE.price(
            provider="openai", request_model="gpt-4o", response_model=None, usage=usage, at_ns=NOW
        ).amount

    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP) as context:
        context.traps[decimal.Inexact] = True
        assert price() == Decimal("10185.1851825")


def test_every_entry_can_be_read() -> None:
    for model in TABLE.models():
        assert model.windows(STANDARD)
        for context in model.contexts:
            assert [window.start_ns for window in model.windows(context)] == sorted(
                window.start_ns for window in model.windows(context)
            )


def test_pricing_imports_the_standard_library_only() -> None:
    program = """
import sys, types, json, pathlib
package = types.ModuleType("spanledger")
package.__path__ = [sys.argv[1]]
sys.modules["spanledger"] = package
import spanledger.pricing as pricing
before = pricing._table._load.cache_info().currsize
pricing.PriceTable.load()
names = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(json.dumps([before, sorted(names)]))
"""
    import spanledger

    result = subprocess.run(
        [sys.executable, "-S", "-c", program, spanledger.__path__[0]], capture_output=True, text=True, check=True
    )
    loaded_on_import, strangers = json.loads(result.stdout)
    assert loaded_on_import == 0
    assert set(strangers) <= {"spanledger", "__main__"}
