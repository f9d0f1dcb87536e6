"""Our calculator against the library whose list it uses: every model, at every date and context that has a price."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from genai_prices import Usage, calc_price, types
from genai_prices.data import providers

from spanledger.pricing import STANDARD, PriceTable, TokenUsage
from spanledger.pricing._rates import Unpriceable

ROOT = Path(__file__).parents[3]
TABLE = PriceTable.load()
NANO = Decimal("1e-9")

THEIRS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "output_reasoning_tokens",
    "audio_input": "input_audio_tokens",
    "audio_output": "output_audio_tokens",
    "audio_cache_read": "cache_audio_read_tokens",
    "image_input": "input_image_tokens",
    "image_output": "output_image_tokens",
}

USAGES = (
    {"input": 1_234, "output": 567},
    {"input": 100_000, "output": 1},
    {"input": 200_000, "output": 3_333, "cache_read": 77_777},
    {"input": 200_001, "output": 9, "cache_read": 7, "cache_write": 100_003, "cache_write_1h": 40_001, "reasoning": 5},
    {"input": 999_999, "output": 0, "audio_input": 10_007, "cache_read": 5_003, "audio_cache_read": 1_009},
    {"input": 4_001, "output": 2_003, "audio_input": 1_001, "image_input": 501, "audio_output": 301, "image_output": 7},
    {"input": 50_000, "output": 60_000, "reasoning": 59_999, "audio_output": 0, "image_output": 0},
    {"input": 17},
)

CONTEXTS = {
    STANDARD: {},
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
    "flex": {"service_tier": "flex"},
    "fast": {"service_tier": "fast"},
}

EXPLAINED = {
    "unpriced_context": "no batch or tier price is known for that time: genai-prices answers with the standard price",
    "unpriced_model": "an entry without prices, or that says it is not verified: genai-prices answers 0 or that price",
    "unpriced_unit": "the model has no price for a direction that has tokens: genai-prices leaves them out",
    "ambiguous_usage": "a part of the output is priced apart and was not counted: genai-prices takes it for text",
    "no_usage": "the model bills output and the call does not say how much: genai-prices takes it for none",
}
"""Every way in which we have no number where genai-prices has one, and why that is on purpose."""


class Case(NamedTuple):
    provider: types.Provider
    model: types.ModelInfo
    at: datetime
    context: str
    usage: dict[str, int]


def moments(model: types.ModelInfo) -> list[datetime]:
    constraints = [price.constraint for price in model.prices] if isinstance(model.prices, list) else []
    constraints += [variant.constraint for variant in model.price_variants or ()]
    found = {datetime(2026, 11, 23, 12, tzinfo=UTC)}
    for constraint in constraints:
        if isinstance(constraint, types.StartDateConstraint):
            start = datetime.combine(constraint.start_date, datetime.min.time(), tzinfo=UTC)
            found |= {start, start - timedelta(microseconds=1)}
        elif isinstance(constraint, types.TimeOfDateConstraint):
            day = datetime(2026, 11, 23, tzinfo=UTC)
            for time in (constraint.start_time, constraint.end_time):
                start = day.replace(hour=time.hour, minute=time.minute)
                found |= {start, start - timedelta(microseconds=1)}
    return sorted(found)


def contexts(model: types.ModelInfo) -> list[str]:
    named = {value for variant in model.price_variants or () for value in variant.when.values()}
    return [STANDARD, *sorted(named & CONTEXTS.keys())]


def cases(provider: types.Provider) -> Iterator[Case]:
    for model in provider.models:
        for at in moments(model):
            for context in contexts(model):
                yield from (Case(provider, model, at, context, usage) for usage in USAGES)


def context_of(case: Case) -> dict[str, str]:
    speeds = any("speed" in variant.when for variant in case.model.price_variants or ())
    return {"speed": "fast"} if speeds and case.context == "fast" else CONTEXTS[case.context]


def theirs(case: Case) -> Decimal | None:
    usage = Usage(**{THEIRS[name]: count for name, count in case.usage.items()})
    try:
        found = case.model.calc_price(
            usage, case.provider, genai_request_timestamp=case.at, price_context=context_of(case)
        )
    except ValueError:
        return None
    return found.total_price


OURS = {(model.provider, model.id): model for model in TABLE.models()}


def ours(case: Case) -> tuple[Decimal | None, str]:
    at_ns = (case.at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000
    rates = OURS[case.provider.id, case.model.id].rates_at(case.context, at_ns)
    if rates is None:
        return None, "unpriced_context"
    if not rates.prices:
        return None, "unpriced_model"
    try:
        return rates.price(TokenUsage(**case.usage)).amount, ""
    except Unpriceable as why:
        return None, why.reason


@pytest.mark.parametrize("provider", providers, ids=lambda provider: provider.id)
def test_every_model_costs_what_genai_prices_says(provider: types.Provider) -> None:
    outcomes = Counter[str]()
    for case in cases(provider):
        amount, reason = ours(case)
        if amount is None:
            outcomes[reason] += 1
            assert reason in EXPLAINED, case
        else:
            expected = theirs(case)
            assert expected is not None, case
            assert abs(amount - expected) <= NANO, case
            outcomes["equal"] += 1
    assert outcomes["equal"], outcomes


def test_the_cases_without_a_number_are_few_and_each_kind_occurs() -> None:
    outcomes = Counter(ours(case)[1] or "equal" for provider in providers for case in cases(provider))
    assert outcomes.keys() == {"equal", *EXPLAINED}
    assert outcomes["equal"] > 0.7 * outcomes.total(), outcomes


def test_names_lead_to_the_same_entry() -> None:
    """Every literal name of every entry, asked of us and of genai-prices."""
    unlike = []
    for provider in providers:
        for name in {name for model in provider.models for name in literals(model.match)}:
            if provider.id == "azure":
                continue  # the name asked for is a deployment: only the answering model is priced there
            found = provider.find_model(name, all_providers=providers)
            ref = TABLE.resolve(provider.id, name)
            if (found and found.id) != (ref and ref.id):
                unlike.append((provider.id, name, found and found.id, ref and str(ref)))
    assert unlike == []


def literals(clause: object) -> Iterator[str]:
    if isinstance(clause, types.ClauseOr):
        for part in clause.or_:
            yield from literals(part)
    elif isinstance(clause, types.ClauseEquals):
        yield clause.equals
    elif isinstance(clause, types.ClauseStartsWith):
        yield clause.starts_with
        yield f"{clause.starts_with}-20260101"


@pytest.mark.parametrize(
    ("provider", "model", "context"),
    [
        ("openai", "gpt-4o", "batch"),
        ("openai", "gpt-4o", "priority"),
        ("openai", "o3", "flex"),
        ("anthropic", "claude-sonnet-4-5", "batch"),
    ],
)
def test_the_public_call_agrees_with_theirs(provider: str, model: str, context: str) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    usage = {"input": 10_000, "output": 2_000, "cache_read": 4_000}
    found = TABLE.price(
        provider=provider,
        request_model=model,
        response_model=None,
        usage=TokenUsage(**usage),
        at_ns=int(at.timestamp()) * 10**9,
        service_tier=context,
    )
    expected = calc_price(
        Usage(**{THEIRS[name]: count for name, count in usage.items()}),
        model,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=CONTEXTS[context],
    )
    assert found.amount is not None
    assert abs(found.amount - expected.total_price) <= NANO


def test_the_committed_list_is_that_of_the_installed_package() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "build_price_table.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
