"""Prices of stored calls follow a change of prices; who is billed stays as it is."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanledger_analytics.queries import MAX_NS, CallsQuery, Window
from spanledger_analytics.records import Batch, Usage
from spanledger_analytics.testing import SECOND, T0, facts_of
from spanledger_ingest import reprice
from spanledger_ingest.cli import main
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.reprice import Repricing
from spanledger_ingest.service import build_service
from spanledger_ingest.settings import PricesConfig, ServerConfig, Settings, StoreConfig
from spanledger_ingest.settle import settle
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

ALL = Window(0, MAX_NS)
DEAR = {"model": "gpt-5-mini*", "input": 1_000_000, "output": 2_000_000}
"""1 USD a token in, 2 out: a plain call of 100 and 20 costs 140 USD."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    with closing(DuckDBStore(tmp_path / "spanledger.duckdb", DatabaseConfig(threads=1))) as opened:
        yield opened


def fill(store: DuckDBStore, count: int, prices: PriceBook, **changes: Any) -> None:
    facts = [facts_of(n, start_ns=T0 + n, end_ns=T0 + n + SECOND, **changes) for n in range(count)]
    store.append(Batch(calls=[prices.price(call) for call in settle(facts, {})]))


def costs(store: DuckDBStore) -> list[Decimal | None]:
    found: list[Decimal | None] = store.calls(CallsQuery(limit=5000))["cost_usd"].to_pylist()
    return found


def test_every_call_of_the_window_is_priced_anew(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprice, "PAGE", 7)
    fill(store, 30, PriceBook.build())
    repricing = Repricing(store, settle, PriceBook.build([DEAR]).price)
    window = Window(T0 + 5, T0 + 25)
    steps: list[reprice.Step] = []
    after = None
    while not steps or after is not None:
        steps.append(repricing.step(window, after))
        after = steps[-1].after
    assert [(step.examined, step.replaced, step.remaining) for step in steps] == [(7, 7, 13), (7, 7, 6), (6, 6, 0)]
    assert costs(store).count(Decimal(140)) == 20
    assert sum(change.after for step in steps for change in step.changes) == 20 * 140
    again = repricing.step(ALL)
    assert (again.examined, again.replaced) == (7, 5)


def test_a_dry_run_changes_nothing_and_a_second_run_finds_nothing(store: DuckDBStore) -> None:
    fill(store, 3, PriceBook.build())
    before = costs(store)
    repricing = Repricing(store, settle, PriceBook.build([DEAR]).price)
    (change,) = repricing.step(ALL, dry_run=True).changes
    assert (change.model, change.calls) == ("gpt-5-mini", 3)
    assert (change.before, change.after) == (sum(map(_known, before), Decimal(0)), Decimal(420))
    assert costs(store) == before
    assert repricing.step(ALL).replaced == 3
    assert repricing.step(ALL).changes == []


def _known(cost: Decimal | None) -> Decimal:
    assert cost is not None
    return cost


def test_classes_of_tokens_that_no_column_has_count(store: DuckDBStore) -> None:
    usage = Usage(input=100, output=20, cache_write=50, cache_write_1h=50)
    fill(store, 1, PriceBook.build(), usage=usage)
    prices = {**DEAR, "cache_write": 3_000_000, "cache_write_1h": 5_000_000}
    Repricing(store, settle, PriceBook.build([prices]).price).step(ALL)
    assert costs(store) == [Decimal(50 + 50 * 5 + 40)]


def test_who_is_billed_and_what_lacks_usage_stay_as_they_are(store: DuckDBStore) -> None:
    outer = facts_of(1, span_id="0a" * 8, response_id=None, end_ns=T0 + 9 * SECOND)
    inner = facts_of(1, span_id="0b" * 8, parent_span_id="0a" * 8, response_id=None)
    silent = facts_of(2, usage=Usage(), usage_source="missing")
    settled = [PriceBook.build().price(call) for call in settle([outer, inner, silent], {})]
    store.append(Batch(calls=settled))
    before = store.calls(CallsQuery())["billable"].to_pylist()
    assert Repricing(store, settle, PriceBook.build([DEAR]).price).step(ALL).replaced == 1
    assert store.calls(CallsQuery())["billable"].to_pylist() == before
    assert sorted(costs(store), key=str) == [Decimal(140), None, None]


def test_a_call_that_changed_meanwhile_is_left_to_who_changed_it(store: DuckDBStore) -> None:
    fill(store, 2, PriceBook.build())
    dear = PriceBook.build([DEAR])
    grown = replace(facts_of(0), start_ns=T0, end_ns=T0 + 2 * SECOND, usage=Usage(input=1, output=1))

    def settle_late(*arguments: Any) -> Any:
        calls = settle(*arguments)
        store.append(Batch(calls=[dear.price(call) for call in settle([grown], {})]))
        return calls

    step = Repricing(store, settle_late, dear.price).step(ALL)
    assert (len(step.changes), step.changes[0].calls, step.replaced) == (1, 2, 1)
    assert sorted(map(_known, costs(store))) == [3, 140]


@pytest.mark.parametrize("stopped", [True, False])
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], *, stopped: bool) -> None:
    data = tmp_path / "data"
    with closing(DuckDBStore(data / "spanledger.duckdb", DatabaseConfig(threads=1))) as store:
        fill(store, 5, PriceBook.build())
    config = tmp_path / "dear.toml"
    config.write_text(f"[[prices.override]]\nmodel = '{DEAR['model']}'\ninput = 1000000\noutput = 2000000\n")
    words = ["reprice", "--from", "2026-03-01", "--to", "2026-03-04T00:00:00Z"]
    if stopped:
        assert main([*words, "--data", str(data), "--config", str(config), "--dry-run"]) == 0
        assert "5 calls looked at, 0 costs replaced" in capsys.readouterr().out
        assert main([*words, "--data", str(data), "--config", str(config), "--json"]) == 0
    else:
        settings = Settings(
            server=ServerConfig(port=0, grpc_port=0),
            store=StoreConfig(data=data),
            prices=PricesConfig(override=(DEAR,)),
        )
        service = build_service(settings)
        service.start()
        try:
            assert main([*words, "--url", service.http_url, "--json"]) == 0
        finally:
            service.stop()
    found = json.loads(capsys.readouterr().out)
    assert (found["examined"], found["replaced"], found["changes"][0]["after_usd"]) == (5, 5, "700.000000000")
    with closing(DuckDBStore(data / "spanledger.duckdb", DatabaseConfig(threads=1))) as store:
        assert set(costs(store)) == {Decimal(140)}
        assert all(str(price).startswith("config") for price in store.calls(CallsQuery())["price_id"].to_pylist())


def test_command_refuses_times_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reprice", "--from", "yesterday", "--to", "2026-03-04"]) == 1
    assert "--from: 'yesterday' is no time" in capsys.readouterr().err


def test_repricing_beside_the_writer_loses_no_call(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprice, "PAGE", 50)
    dear, cheap = PriceBook.build([DEAR]), PriceBook.build()
    fill(store, 200, cheap)

    def write() -> None:
        for n in range(200, 230):
            call = settle([facts_of(n, start_ns=T0 + n, end_ns=T0 + n + SECOND)], {})[0]
            store.append(Batch(calls=[dear.price(call)]))

    writer = threading.Thread(target=write)
    writer.start()
    repricing = Repricing(store, settle, dear.price)
    after, more = None, True
    while more:
        step = repricing.step(ALL, after)
        after, more = step.after, step.after is not None
    writer.join()
    assert costs(store) == [Decimal(140)] * 230
