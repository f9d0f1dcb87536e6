"""The price book of the service: statuses, the user's own prices, and rows that explain old calls."""

import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanledger.pricing import CODES, PriceTable, TokenUsage
from spanledger_analytics.records import Call, CallFacts, Usage
from spanledger_ingest.price_book import SCHEMA, OverrideError, PriceBook, priced_from_rows

BOOK = PriceBook.build()
D = Decimal
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def call(*, billable: bool = True, usage: Usage | None = None, at: datetime = NOW, **facts: Any) -> Call:
    given: dict[str, Any] = {
        "provider": "openai",
        "request_model": "gpt-4o",
        "usage": usage or Usage(input=1_000, output=100),
    }
    found = CallFacts(
        owner="",
        trace_id="0" * 32,
        span_id="0" * 16,
        parent_span_id=None,
        start_ns=int(at.timestamp()) * 10**9,
        end_ns=int(at.timestamp()) * 10**9 + 1,
        **(given | facts),
    )
    return Call(facts=found, own=found, billable=billable, billing_reason="because")


def outcome(book: PriceBook, found: Call) -> tuple[Decimal | None, str]:
    priced = book.price(found)
    return priced.cost_usd, priced.cost_status


def test_a_priced_call_leads_to_its_price() -> None:
    priced = BOOK.price(call())
    assert (priced.cost_usd, priced.cost_status) == (D("0.003500000"), "priced")
    assert priced.billing_reason == "because"
    rows = BOOK.rows().to_pylist()
    units = {row["unit"]: row["usd_per_million"] for row in rows if row["price_id"] == priced.price_id}
    assert units == {"input": D("2.5"), "cache_read": D("1.25"), "output": D(10)}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (call(billable=False), "not_billable"),
        (call(usage=Usage()), "no_usage"),
        (call(usage=Usage(), status="error"), "no_usage"),
        (call(usage=Usage(input=0, output=0)), "no_usage"),
        (call(usage=Usage(input=5)), "no_usage"),
        (call(request_model="gpt-99"), "unpriced_model"),
        (call(provider="ollama", request_model="llama3.2"), "unpriced_model"),
        (call(usage=Usage(input=5, output=5, cache_read=6)), "unpriced_model"),
        (call(service_tier="scale"), "unpriced_model"),
    ],
)
def test_a_call_without_cost_says_why(found: Call, status: str) -> None:
    priced = BOOK.price(found)
    assert (priced.cost_usd, priced.cost_status, priced.price_id) == (None, status, None)
    assert priced.billing_reason == "because"


def test_pricing_again_forgets_the_first_answer() -> None:
    priced = BOOK.price(call())
    assert BOOK.price(replace(priced, billable=False)) == BOOK.price(call(billable=False))


def test_embeddings_and_estimates_are_priced() -> None:
    embedding = call(request_model="text-embedding-3-small", usage=Usage(input=8))
    assert outcome(BOOK, embedding) == (D("1.6E-7"), "priced")
    assert outcome(BOOK, call(usage_source="estimated")) == (D("0.0035"), "priced")


def test_explain_shows_each_class() -> None:
    priced = BOOK.explain(call(usage=Usage(input=2_048, output=17, cache_read=1_920)))
    assert [(line.token_class, line.tokens, line.usd_per_million) for line in priced.lines] == [
        ("input", 128, D("2.5")),
        ("cache_read", 1_920, D("1.25")),
        ("output", 17, D(10)),
    ]
    assert BOOK.explain(call(usage=Usage(input=1, output=1, cache_read=2))).detail.startswith("cache_read")


def test_rows_are_unique_and_of_the_schema() -> None:
    rows = BOOK.rows()
    assert rows.schema == SCHEMA
    keys = Counter((row["price_id"], row["unit"], row["tier_above"]) for row in rows.to_pylist())
    assert set(keys.values()) == {1}
    assert {row["price_version"] for row in rows.to_pylist()} == {BOOK.version}


def test_every_stored_price_gives_the_same_cost() -> None:
    rows = BOOK.rows()
    usage = TokenUsage(input=300_000, output=1_000, cache_read=9_999, cache_write=0, audio_output=0, image_output=0)
    models = [model for model in PriceTable.load().models() if model.provider in {"openai", "deepseek", "google"}]
    for model in models:
        for context in model.contexts:
            for window in model.windows(context):
                for rates in window.rates:
                    stored = priced_from_rows(rows, rates.price_id, usage)
                    assert stored == (rates.bill(usage) if rates.prices else None)


def upgraded(change: Callable[[dict[str, Any]], None]) -> PriceBook:
    raw: dict[str, Any] = {
        "version": "genai-prices 9.9",
        "providers": {"openai": {"models": [["gpt-4o", 0, {"i": 5, "o": 20}]]}},
    }
    change(raw)
    return PriceBook(PriceTable(raw))


def test_an_old_call_is_explained_by_the_rows_it_was_priced_with() -> None:
    old = BOOK.price(call())
    later = upgraded(lambda _: None)
    assert later.price(call()).price_id != old.price_id
    assert later.explain(old).amount == D("0.007")
    assert later.explain(old, stored=BOOK.rows()).amount == old.cost_usd == D("0.0035")


def test_an_upgrade_that_changes_nothing_keeps_the_id() -> None:
    def same(raw: dict[str, Any]) -> None:
        raw["providers"]["openai"]["models"] = [["gpt-4o", ["gpt-4o", "gpt-4o-next"], {"o": 10, "r": 1.25, "i": 2.5}]]

    assert upgraded(same).price(call()).price_id == BOOK.price(call()).price_id


def with_prices(*overrides: dict[str, Any]) -> PriceBook:
    return PriceBook.build(overrides=overrides)


def test_own_prices_win() -> None:
    book = with_prices({"provider": "openai", "model": "gpt-4o", "input": 2.0, "output": "8", "cache_read": 1})
    assert outcome(book, call()) == (D("0.0028"), "priced")
    assert outcome(book, call(response_model="gpt-4o-2024-08-06")) == (D("0.0028"), "priced")
    assert outcome(book, call(request_model="gpt-4o-2024-11-20")) == (D("0.0028"), "priced")  # resolves to gpt-4o
    assert outcome(book, call(request_model="gpt-4o-mini")) == outcome(BOOK, call(request_model="gpt-4o-mini"))
    assert outcome(book, call(provider="openrouter", request_model="openai/gpt-4o")) == (D("0.0035"), "priced")
    price_id = book.price(call()).price_id
    assert price_id is not None
    assert price_id.startswith("config:openai/gpt-4o#")
    own = [row for row in book.rows().to_pylist() if row["price_id"] == price_id]
    assert {(row["provider"], row["source"], row["unit"]) for row in own} == {
        ("openai", "config", unit) for unit in ("input", "output", "cache_read")
    }


def test_own_prices_for_what_the_list_cannot_know() -> None:
    book = with_prices(
        {"provider": "ollama", "model": "*", "input": 0, "output": 0},
        {"provider": "azure_openai", "model": "our-deployment", "input": 1, "output": 2},
        {"model": "house-*", "input": 0.5, "output": 0.5},
    )
    assert outcome(book, call(provider="Ollama", request_model="llama3.2")) == (D(0), "priced")
    assert outcome(book, call(provider="azure.ai.openai", request_model="our-deployment")) == (D("0.0012"), "priced")
    assert outcome(book, call(provider="somewhere", request_model="House-70B")) == (D("0.00055"), "priced")


def test_own_prices_have_dates_contexts_and_tiers() -> None:
    book = with_prices(
        {"model": "gpt-4o", "valid_from": date(2026, 6, 1), "input": 2, "output": 8},
        {
            "model": "gpt-4o",
            "valid_from": "2026-09-01",
            "input": 1,
            "output": 4,
            "above": [{"tokens": 900, "input": 3}],
        },
        {"model": "gpt-4o", "context": "scale", "input": 0, "output": 0},
    )
    assert outcome(book, call(at=datetime(2026, 5, 31, tzinfo=UTC))) == (D("0.0035"), "priced")
    assert outcome(book, call(at=datetime(2026, 6, 1, tzinfo=UTC))) == (D("0.0028"), "priced")
    assert outcome(book, call()) == (D("0.0034"), "priced")
    assert outcome(book, call(usage=Usage(input=900, output=100))) == (D("0.0013"), "priced")
    assert outcome(book, call(service_tier="scale")) == (D(0), "priced")
    assert outcome(book, call(batch=True)) == (D("0.00175"), "priced")  # the list's: none of one's own for batch


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"model": "m", "input": 1, "outputs": 1}, "unknown key 'outputs'; did you mean 'output'?"),
        ({"model": "m", "input": 1, "cached": 1}, "unknown key 'cached'"),
        ({"model": "m", "input": -1}, "input is -1; a price is a number of zero or more"),
        ({"model": "m", "input": float("nan")}, "input is nan"),
        ({"model": "m", "input": float("inf")}, "input is inf"),
        ({"model": "m", "input": True}, "input is True"),
        ({"model": "m", "input": "much"}, "input is 'much'"),
        ({"input": 1}, "model is None"),
        ({"model": "", "input": 1}, "model is '', which is not a name"),
        ({"model": "gpt-*-mini", "input": 1}, "with \\* at either end"),
        ({"model": "m"}, "no price"),
        ({"model": "m", "cache_read": 1}, "cache_read is part of input, which has no price"),
        ({"model": "m", "input": 1, "cache_write_1h": 1}, "cache_write_1h is part of cache_write"),
        ({"model": "m", "input": 1, "cache_read": 1, "audio_input": 1}, "need audio_cache_read as well"),
        ({"model": "m", "input": 1, "valid_from": "June"}, "valid_from is a day"),
        ({"model": "m", "input": 1, "valid_from": NOW}, "valid_from is a day"),
        ({"model": "m", "input": 1, "above": {"tokens": 1}}, "above is a list"),
        ({"model": "m", "input": 1, "above": [{"input": 1}]}, "above needs tokens"),
        ({"model": "m", "input": 1, "above": [{"tokens": 1, "inputs": 1}]}, "did you mean 'input'?"),
        ({"model": "m", "input": 1, "above": [{"tokens": 1, "output": 1}]}, "the table itself has none"),
        ({"model": "m", "input": 1, "provider": 7}, "provider is 7"),
    ],
)
def test_a_price_that_cannot_be_meant_is_refused(override: dict[str, Any], message: str) -> None:
    with pytest.raises(OverrideError, match=f"^prices.override 2: .*{message}"):
        with_prices({"model": "fine", "input": 1}, override)


def test_two_prices_for_the_same_time_are_refused() -> None:
    with pytest.raises(OverrideError, match="two prices"):
        with_prices({"model": "m", "input": 1}, {"model": "M", "input": 2})


def test_the_documented_prices_work() -> None:
    text = (Path(__file__).parents[3] / "docs" / "pricing.md").read_text(encoding="utf-8")
    tables = tomllib.loads(text.partition("```toml")[2].partition("```")[0])["prices"]["override"]
    book = with_prices(*tables)
    assert outcome(book, call()) == (D("0.0028"), "priced")
    assert outcome(book, call(batch=True)) == (D("0.0014"), "priced")
    assert outcome(book, call(usage=Usage(input=200_001, output=0))) == (D("0.800004"), "priced")
    assert outcome(book, call(provider="ollama", request_model="llama3.2")) == (D(0), "priced")
    assert all(f"`{name}`" in text for name in CODES)
