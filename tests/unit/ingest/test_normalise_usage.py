"""Token counts and costs mean one thing, whatever the dialect meant by them."""

import math
from decimal import Decimal
from typing import Any

import pytest

from spanledger_analytics.records import CallFacts, Scope, Span
from spanledger_ingest.normalise import normalise

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


def tokens(**counts: Any) -> dict[str, Any]:
    return {f"gen_ai.usage.{name.replace('__', '.')}": value for name, value in counts.items()}


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (14, 14), (14.0, 14), (" 17 ", 17), (0, 0), (14.5, None), ("abc", None), (-1, None), (-1.0, None),
        (1e308, None), (math.nan, None), (math.inf, None), (True, None), (10**30, None), ("9" * 400, None), ("", None),
        ("١٤", None), (None, None), ([14], None), ({"a": 1}, None), (b"15", None),
    ],
)  # fmt: skip
def test_token_counts_are_whole_numbers_or_nothing(value: Any, count: int | None) -> None:
    usage = facts(chat(**tokens(input_tokens=5, output_tokens=value))).usage
    assert (usage.input, usage.output) == (5, count)


def test_an_answer_to_no_input_means_that_the_input_was_missed() -> None:
    found = facts(chat(**tokens(input_tokens=0, output_tokens=17)))
    assert (found.usage.input, found.usage.output, found.usage_source) == (None, 17, "provider")
    cached = facts(chat(**tokens(input_tokens=0, output_tokens=17, cache_read__input_tokens=100))).usage
    assert (cached.input, cached.cache_read) == (100, 100)


def test_missing_usage_is_unknown_and_zero_zero_is_missing() -> None:
    assert facts(chat()).usage_source == "missing"
    nothing = facts(chat(**tokens(input_tokens=0, output_tokens=0, cache_read__input_tokens=0)))
    assert nothing.usage_source == "missing"
    assert nothing.usage.input is None
    filtered = facts(chat(**tokens(input_tokens=14, output_tokens=0)))
    assert (filtered.usage.output, filtered.usage_source) == (0, "provider")


def test_cached_tokens_are_part_of_the_input() -> None:
    cached = tokens(input_tokens=128, cache_read__input_tokens=1664, cache_creation__input_tokens=256)
    assert facts(chat(**cached)).usage.input == 2048
    inclusive = tokens(input_tokens=2048, cache_read__input_tokens=1664, cache_write__input_tokens=256)
    usage = facts(chat(**inclusive)).usage
    assert (usage.input, usage.cache_read, usage.cache_write) == (2048, 1664, 256)


def test_openlit_never_counts_anthropics_cache() -> None:
    small = {"gen_ai.provider.name": "anthropic"} | tokens(input_tokens=1000, cache_read__input_tokens=100)
    assert facts(chat(**small), scope=Scope("openlit.instrumentation.anthropic")).usage.input == 1100
    assert facts(chat(**small)).usage.input == 1000


def test_openlit_guesses_tokens_of_streams_without_usage() -> None:
    openlit = Scope("openlit.instrumentation.openai")
    guessed = tokens(input_tokens=37, output_tokens=35)
    assert facts(chat(**guessed), scope=openlit).usage_source == "estimated"
    assert facts(chat(**guessed, **tokens(cache_read__input_tokens=0)), scope=openlit).usage_source == "provider"
    assert facts(chat(**guessed)).usage_source == "provider"


def test_reasoning_is_part_of_the_output() -> None:
    beside = facts(chat(**tokens(input_tokens=21, output_tokens=36, reasoning__output_tokens=384))).usage
    assert (beside.output, beside.reasoning) == (420, 384)
    inside = facts(chat(**tokens(input_tokens=21, output_tokens=420, reasoning_tokens=384))).usage
    assert (inside.output, inside.reasoning) == (420, 384)
    small = facts(chat(**tokens(input_tokens=21, output_tokens=36, reasoning_tokens=10, total_tokens=67))).usage
    assert small.output == 46


def test_thoughts_that_traceloop_drops_are_in_googles_total() -> None:
    counts = tokens(input_tokens=21, output_tokens=36, total_tokens=441)
    google = facts(chat(**{"gen_ai.provider.name": "gcp.gen_ai"}, **counts)).usage
    assert (google.output, google.reasoning) == (420, 384)
    assert facts(chat(**counts)).usage.output == 36


def test_usage_hides_in_documents() -> None:
    details = '"prompt_tokens_details": {"cached_tokens": 9, "audio_tokens": 3}'
    openai = f'{{"prompt_tokens": 20, "completion_tokens": 7, {details}}}'
    for attributes in (
        {"langfuse.observation.type": "generation", "langfuse.observation.usage_details": openai},
        {"gen_ai.operation.name": "chat", "gen_ai.usage.raw": openai},
        {
            "gen_ai.operation.name": "chat",
            "metadata.usage_object": repr(
                {
                    "prompt_tokens": 20,
                    "completion_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 9, "audio_tokens": 3},
                    "x": None,
                }
            ),
        },
    ):
        usage = facts(attributes).usage
        assert (usage.input, usage.output, usage.cache_read, usage.audio_input) == (20, 7, 9, 3)


def test_classes_of_usage() -> None:
    found = facts(
        chat(
            **tokens(
                input_tokens=100,
                output_tokens=50,
                audio__input_tokens=60,
                audio__output_tokens=30,
                cache_write__input_tokens=40,
            ),
            **{"spanledger.usage.cache_write_1h.input_tokens": 25},
        )
    )
    usage = found.usage
    assert (usage.audio_input, usage.audio_output, usage.cache_write, usage.cache_write_1h) == (60, 30, 40, 25)
    assert facts(chat(**tokens(input_tokens=1, audio__input_tokens=60))).usage.audio_input is None


@pytest.mark.parametrize(
    ("attributes", "cost"),
    [
        ({"gen_ai.usage.cost.amount": 0.25, "gen_ai.usage.cost.currency": "USD"}, "0.25"),
        ({"gen_ai.usage.cost.amount": 0.25, "gen_ai.usage.cost.currency": "EUR"}, None),
        ({"operation.cost": 0.000205}, "0.000205"),
        ({"gen_ai.cost.total_cost": "0.5"}, "0.5"),
        ({"llm.cost.total": 1}, "1"),
        ({"langfuse.observation.cost_details": '{"total": 0.5}'}, "0.5"),
        ({"gen_ai.usage.cost": 0}, None),  # OpenLIT says 0 when it does not know the price
        ({"gen_ai.usage.cost": math.nan}, None),
        ({"gen_ai.usage.cost": -1}, None),
        ({"gen_ai.usage.cost": 1e-28}, None),
        ({"gen_ai.usage.cost": True}, None),
        ({"gen_ai.usage.cost": 1e300}, None),
        ({"gen_ai.usage.cost": "free"}, None),
    ],
)
def test_reported_cost(attributes: dict[str, Any], cost: str | None) -> None:
    assert facts(chat(**attributes)).reported_cost_usd == (None if cost is None else Decimal(cost))


def test_tier_and_batch() -> None:
    assert facts(chat(**{"openai.response.service_tier": "Flex"})).service_tier == "flex"
    assert facts(chat(**{"anthropic.response.service_tier": "batch"})).batch
    assert facts(chat(**{"spanledger.batch": "true"})).batch
    assert not facts(chat()).batch


def test_the_output_of_an_abandoned_stream_is_unknown() -> None:
    """Anthropic opens a stream with the input and a placeholder of one output token; the rest comes with its end."""
    left = chat(**tokens(input_tokens=1024, output_tokens=1), **{"spanledger.stream.aborted": True})
    begun = left | {"gen_ai.provider.name": "anthropic"}
    assert (facts(begun).usage.input, facts(begun).usage.output) == (1024, None)
    assert facts(begun | {"spanledger.stream.aborted": False}).usage.output == 1
    assert facts(left).usage.output == 1  # OpenAI sends its usage last: who has it has read the whole answer
