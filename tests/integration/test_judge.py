"""The language model as a judge: whom it is asked about, what that costs, what is kept, and that the budget holds."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_analytics.evaluation import Evidence, Explanation, Passage, Verdict
from spanledger_analytics.queries import Window
from spanledger_analytics.records import Batch, Content
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.auth import StateDb
from spanledger_ingest.demo.fake_provider import FakeProvider
from spanledger_ingest.judging import NAME, Purse, Worker, judge_setup, task_of
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.scoring import Events, Judge, Scoring
from spanledger_ingest.service import build_service
from spanledger_ingest.settings import (
    ContentConfig,
    JudgeConfig,
    ScoringConfig,
    ServerConfig,
    Settings,
    SettingsError,
    StoreConfig,
)
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

MODEL = "gpt-4o-mini"
ANSWER = "The shop opens at nine. Ask bob@corp.example for a discount of ten percent."
CONTEXT = "Opening hours: from nine, Monday to Friday."
SECOND_IS_BAD = {"QUESTION": '{"unsupported": [2]}'}
PRICES = PriceBook.build()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fixed:
    """Says of every answer how grounded it is."""

    value: float = 0.5
    version: str = "1"
    names: Sequence[str] = ("groundedness",)

    def score(self, _: Evidence) -> Sequence[Verdict]:
        reason = Explanation(reason="fixed")
        return [
            Verdict(
                name="groundedness", value=self.value, label="warn", explanation=reason, scorer_version=self.version
            )
        ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    with closing(DuckDBStore(tmp_path / "s.duckdb", DatabaseConfig(threads=1))) as opened:
        yield opened


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDb]:
    with closing(StateDb(tmp_path)) as opened:
        yield opened


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(answers=SECOND_IS_BAD) as started:
        yield started


def config(provider: FakeProvider, **changes: Any) -> JudgeConfig:
    local: dict[str, Any] = {"allow": "127.0.0.0/8", "allow_http": True, "ports": provider.url.rpartition(":")[2]}
    local |= {"url": provider.openai_url, "model": MODEL, "share": 1.0, "usd_per_day": 1.0, "key": "env:JUDGE_KEY"}
    return JudgeConfig(**{**local, **changes})


class Court:
    """A worker over a store, with clocks of its own."""

    def __init__(self, store: DuckDBStore, state: StateDb, judge: JudgeConfig) -> None:
        setup = judge_setup(judge, PRICES.amount)
        assert setup is not None
        self.clock = Clock()
        self.spans: list[tuple[str, dict[str, Any]]] = []
        self.purse = Purse(state, setup.usd_per_day, lambda: T0 + 60 * SECOND)
        self.events = Events(store, "all", 1000, scope="spanledger.scoring.judge")
        self.worker = Worker(
            setup,
            store,
            self.purse,
            PRICES.amount,
            self._keep,
            self.events.emit,
            self.clock,
            lambda: T0 + 60 * SECOND,
        )

    def _keep(self, owner: str, body: bytes) -> None:
        (resource,) = json.loads(body)["resourceSpans"]
        (span,) = resource["scopeSpans"][0]["spans"]
        self.spans.append((owner, span))

    def run(self) -> None:
        while self.worker.step():
            pass


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-judge")


def put(store: DuckDBStore, count: int = 1, owner: str = "acme", value: float = 0.5, **facts: Any) -> None:
    for number in range(1, count + 1):
        times: dict[str, Any] = {"start_ns": T0 + number * SECOND, "end_ns": T0 + (number + 1) * SECOND}
        call = a_call(number, owner=owner, **times)
        ids: dict[str, Any] = {"owner": owner, "tenant_id": owner, "time_ns": times["start_ns"]}
        ids |= {"trace_id": call.own.trace_id, "span_id": call.own.span_id}
        texts = {"input": "When?", "output": ANSWER, "retrieval": CONTEXT}
        contents = [Content(**ids, kind=kind, text=text) for kind, text in texts.items()]  # type: ignore[arg-type]
        call = replace(call, facts=replace(call.facts, tenant_id=owner, finish_reason="stop", **facts))
        store.append(Batch(spans=[a_span(number, owner=owner, **times)], calls=[call], contents=contents))
    Scoring(store, Judge([Fixed(value)])).backfill(Window(), None)


def judged(store: DuckDBStore) -> list[dict[str, Any]]:
    return store.run_sql(f"SELECT * FROM scores WHERE name = '{NAME}' ORDER BY time").to_pylist()  # noqa: S608 - constant


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def test_a_doubtful_answer_is_judged_by_numbered_sentences(
    store: DuckDBStore, state: StateDb, provider: FakeProvider
) -> None:
    put(store)
    court = Court(store, state, config(provider))
    court.run()
    (score,) = judged(store)
    assert (score["value"], score["label"], score["tenant_id"], score["source"]) == (0.5, "fail", "acme", "spanledger")
    (offence,) = json.loads(score["detail"])["offences"]
    assert ANSWER[offence["start"] : offence["end"]] == "Ask bob@corp.example for a discount of ten percent."
    (request,) = provider.requests
    assert request.headers["authorization"] == "Bearer sk-judge"
    asked = request.body["messages"][1]["content"]
    assert "[1] The shop opens at nine." in asked
    assert CONTEXT in asked
    assert "bob@corp.example" not in json.dumps(request.body)
    assert court.events.written == 1


def test_its_call_is_a_span_of_ours_without_text(store: DuckDBStore, state: StateDb, provider: FakeProvider) -> None:
    put(store)
    court = Court(store, state, config(provider))
    court.run()
    ((owner, span),) = court.spans
    said = attributes(span)
    (request,) = provider.requests
    assert (owner, said["tenant.id"], said["spanledger.use_case"]) == ("acme", "acme", "spanledger.judge")
    assert int(said["gen_ai.usage.input_tokens"]) == request.usage.input
    assert said["gen_ai.response.id"] == request.response_id
    (score,) = judged(store)
    assert span["links"] == [{"traceId": score["trace_id"], "spanId": score["span_id"]}]
    assert span["traceId"] != score["trace_id"]
    assert "shop" not in json.dumps(span)
    assert "sk-judge" not in json.dumps(span)
    cost = PRICES.amount("openai", MODEL, request.usage.input, request.usage.output)
    assert cost is not None
    assert abs(court.purse.spent() - cost) < Decimal("1e-8")


@pytest.mark.parametrize(
    "changes",
    [{"share": 0.0}, {"low": 0.6}, {"high": 0.4}, {"tenants": "globex, zeta"}],
    ids=["no share", "above", "below", "another tenant"],
)
def test_what_is_not_doubtful_or_not_chosen_is_not_sent(
    store: DuckDBStore, state: StateDb, provider: FakeProvider, changes: dict[str, Any]
) -> None:
    put(store)
    Court(store, state, config(provider, **changes)).run()
    assert provider.requests == []
    assert judged(store) == []


def test_its_own_calls_are_not_judged(store: DuckDBStore, state: StateDb, provider: FakeProvider) -> None:
    put(store, use_case="spanledger.judge")
    Court(store, state, config(provider)).run()
    assert provider.requests == []


def test_an_answer_is_judged_once(store: DuckDBStore, state: StateDb, provider: FakeProvider) -> None:
    put(store, 3)
    court = Court(store, state, config(provider, tenants="acme"))
    court.run()
    court.run()
    Court(store, state, config(provider)).run()
    assert len(provider.requests) == len(judged(store)) == 3


def test_a_share_takes_always_the_same_answers(store: DuckDBStore, state: StateDb, provider: FakeProvider) -> None:
    put(store, 40)
    Court(store, state, config(provider, share=0.5)).run()
    some = {row["span_id"] for row in judged(store)}
    assert 8 <= len(some) <= 32
    Court(store, state, config(provider, share=0.5)).run()
    assert {row["span_id"] for row in judged(store)} == some


def test_a_reply_that_is_none_is_no_number(store: DuckDBStore, state: StateDb, provider: FakeProvider) -> None:
    provider.answers = {"QUESTION": '{"unsupported": [7]}'}
    put(store)
    court = Court(store, state, config(provider))
    court.run()
    (score,) = judged(store)
    assert (score["value"], score["label"], score["explanation"]) == (None, "not_evaluable", "bad_reply")
    court.run()
    assert len(provider.requests) == 1


def test_a_judge_that_fails_is_left_alone_for_a_while_and_costs_nothing(
    store: DuckDBStore, state: StateDb, provider: FakeProvider
) -> None:
    put(store)
    court = Court(store, state, config(provider))
    provider.outage = 503
    for _ in range(5):
        court.run()
    assert (len(provider.requests), court.worker.stats.failures) == (1, {"503": 1})
    assert court.purse.spent() == 0
    assert attributes(court.spans[0][1])["error.type"] == "503"
    provider.outage = None
    court.clock.now += 5
    court.run()
    assert [row["label"] for row in judged(store)] == ["fail"]


def test_an_answer_that_fails_three_times_holds_up_no_other(
    store: DuckDBStore, state: StateDb, provider: FakeProvider
) -> None:
    put(store)
    court = Court(store, state, config(provider))
    provider.outage = 500
    for _ in range(6):
        court.run()
        court.clock.now += 3600
    assert len(provider.requests) == 3


def test_one_that_does_not_answer_in_time_is_counted_as_if_it_had(
    store: DuckDBStore, state: StateDb, provider: FakeProvider
) -> None:
    provider.chunk_s = 0.5
    put(store)
    court = Court(store, state, config(provider, timeout_seconds=0.05))
    court.run()
    assert court.worker.stats.failures == {"timeout": 1}
    assert court.purse.spent() > 0
    assert judged(store) == []


def test_the_budget_of_a_day_holds_whoever_asks_at_the_same_time(
    store: DuckDBStore, state: StateDb, provider: FakeProvider
) -> None:
    put(store, 30)
    task = task_of(
        Evidence(output=ANSWER, context=[Passage("1", CONTEXT)]),
        12_000,
    )
    assert task is not None
    most = PRICES.amount("openai", MODEL, task.most_tokens, 500)
    assert most is not None
    budget = float(most * Decimal("3.5"))
    courts = [Court(store, state, config(provider, usd_per_day=budget)) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(court.run) for court in courts]:
            done.result()
    spent = [PRICES.amount("openai", MODEL, one.usage.input, one.usage.output) for one in provider.requests]
    assert 0 < sum(amount or 0 for amount in spent) <= Decimal(str(budget))
    assert courts[0].purse.spent() <= Decimal(str(budget))
    assert sum(court.worker.stats.over_budget for court in courts) > 0


@settings(max_examples=15, deadline=None)
@given(
    limit=st.integers(0, 40),
    calls=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2)), max_size=20),
)
def test_a_purse_never_gives_more_than_a_day_has(
    tmp_path_factory: pytest.TempPathFactory, limit: int, calls: list[tuple[int, int, int]]
) -> None:
    day = 24 * 3600 * SECOND
    now = [T0]
    with closing(StateDb(tmp_path_factory.mktemp("purse"))) as state:
        purse = Purse(state, Decimal(limit), lambda: now[0])
        spent: dict[int, int] = {}
        for most, less, days in calls:
            now[0] += days * day
            today = now[0] // day
            hold = purse.hold(Decimal(most))
            fits = spent.get(today, 0) + most <= limit
            assert (hold is not None) == fits
            if hold is not None:
                cost = min(most, less)
                purse.settle(hold, Decimal(cost))
                spent[today] = spent.get(today, 0) + cost
            assert purse.spent() == spent.get(today, 0) <= limit


def test_text_cannot_end_its_part_of_the_question() -> None:
    one, two = (
        task_of(Evidence(output=ANSWER, context=[Passage("1", CONTEXT)]), 12_000),
        task_of(Evidence(output=ANSWER, context=[Passage("1", CONTEXT)]), 12_000),
    )
    assert one is not None
    assert two is not None
    assert one.messages != two.messages
    assert task_of(Evidence(output=ANSWER), 100) is None
    assert task_of(Evidence(context=[Passage("1", CONTEXT)]), 100) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "name the model"),
        ({"model": "house-made"}, "price of 'house-made' is not known"),
        ({"key": "sk-plain"}, "not the key itself"),
        ({"key": "env:NOBODY_HAS_THIS"}, "empty or missing"),
        ({"share": 1.5}, "at most 1"),
        ({"low": 0.8}, "low is at most high"),
        ({"timeout_seconds": 0.0}, "timeout_seconds"),
        ({"allow_http": False}, "only https"),
        ({"url": "http://127.0.0.1:1/v1"}, "port 1 is not allowed"),
        ({"ports": "x"}, "port numbers"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    provider: FakeProvider, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        judge_setup(config(provider, **changes), PRICES.amount)


def test_an_address_inside_is_refused_unless_allowed(
    store: DuckDBStore, state: StateDb, provider: FakeProvider
) -> None:
    put(store)
    court = Court(store, state, config(provider, allow=""))
    court.run()
    assert court.worker.stats.failures == {"address_refused": 1}
    assert provider.requests == []
    assert court.purse.spent() == 0


def test_no_judge_is_asked_unless_one_is_named() -> None:
    assert judge_setup(JudgeConfig(), PRICES.amount) is None


def _until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come to be")


def _sent(now: int) -> bytes:
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODEL,
        "tenant.id": "acme",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "When?"}]}]),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}], "finish_reason": "stop"}]
        ),
        "spanledger.context": CONTEXT,
    }
    span: dict[str, Any] = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "chat", "kind": 3}
    span |= {"startTimeUnixNano": str(now - SECOND), "endTimeUnixNano": str(now)}
    span["attributes"] = [{"key": key, "value": {"stringValue": value}} for key, value in texts.items()]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def test_a_service_asks_the_judge_and_prices_what_that_costs(tmp_path: Path, provider: FakeProvider) -> None:
    settings_ = Settings(
        server=ServerConfig(port=0, grpc_port=0),
        store=StoreConfig(data=tmp_path),
        content=ContentConfig(policy="full"),
        scoring=ScoringConfig(quiet_seconds=0.1),
        judge=config(provider, low=0.0, high=1.0),
    )
    service = build_service(settings_)
    service.start()
    try:
        request = urllib.request.Request(  # noqa: S310 - our own address
            service.http_url + "/v1/traces", _sent(time.time_ns()), {"content-type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - same

        def ask(path: str) -> list[dict[str, Any]]:
            with urllib.request.urlopen(service.http_url + path, timeout=30) as answer:  # noqa: S310 - same
                found: list[dict[str, Any]] = json.loads(answer.read())["items"]
            return found

        (score,) = _until(lambda: ask(f"/api/v1/scores?name={NAME}"))
        assert (score["label"], score["trace_id"]) == ("fail", "ab" * 16)
        (call,) = _until(lambda: ask("/api/v1/calls?use_case=spanledger.judge"))
        assert (call["tenant_id"], call["request_model"], call["cost_status"]) == ("acme", MODEL, "priced")
        (asked,) = provider.requests
        assert (call["input_tokens"], call["output_tokens"]) == (asked.usage.input, asked.usage.output)
        with urllib.request.urlopen(service.http_url + "/metrics", timeout=30) as answer:  # noqa: S310 - same
            text = answer.read().decode()
        assert 'spanledger_judge_verdicts_total{label="fail"} 1' in text
    finally:
        service.stop()
