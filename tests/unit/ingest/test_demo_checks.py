"""The checks of the demo hold for true numbers and fail for each false one."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from spanledger_ingest.demo._checks import Check, attempts, backfill_checks, invoice, live_checks
from spanledger_ingest.demo._errors import DemoError
from spanledger_ingest.demo._http import Client, wait_for
from spanledger_ingest.demo._outcome import Outcome
from spanledger_ingest.demo._report import as_json, console, next_steps, report
from spanledger_ingest.demo.fake_provider import ServedRequest, TokenCounts
from spanledger_ingest.traffic import DEFAULT_END_NS, Ledger, build_world, generate, truth

Row = dict[str, Any]


def request(number: int, **changes: Any) -> ServedRequest:
    values = {
        "provider": "openai",
        "path": "/v1/chat/completions",
        "headers": {"x-stainless-retry-count": "0"},
        "body": {},
        "status": 200,
        "response_id": f"chatcmpl-{number}",
        "model": "gpt-4o-2024-08-06",
        "usage": TokenCounts(1000, 100),
        "completed": True,
    }
    return ServedRequest(**{**values, **changes})


SERVED = [
    request(1),
    request(2, model="claude-haiku-4-5-20251001", usage=TokenCounts(2000, 50, cache_read=1500, cache_write=300)),
    request(3, path="/v1/embeddings", response_id="", model="text-embedding-3-small", usage=TokenCounts(7)),
    request(4, model="in-house-model-9"),
    request(5, stream=True, completed=False),
    request(6, status=429, response_id="", usage=TokenCounts()),
    request(6, status=429, response_id="", usage=TokenCounts(), headers={"x-stainless-retry-count": "1"}),
]


def call(number: int, **changes: Any) -> Row:
    values: Row = {
        "service_name": "corner-shops",
        "tenant_id": "bakery",
        "use_case": "support",
        "trace_id": f"{number:032x}",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "response_id": f"chatcmpl-{number}",
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_tokens": 0,
        "cache_write_tokens": None,
        "reasoning_tokens": 0,
        "cost_usd": "0.003500000",
        "cost_status": "priced",
        "status": "ok",
        "finish_reason": "stop",
        "error_type": None,
        "ttft_ms": 12.5,
    }
    return {**values, **changes}


NOTHING: Row = {"input_tokens": None, "output_tokens": None, "cache_read_tokens": None, "reasoning_tokens": None}
CALLS = [
    call(1),
    call(2, input_tokens=2000, output_tokens=50, cache_read_tokens=1500, cache_write_tokens=300, cost_usd=0.000975),
    call(3, response_id=None, input_tokens=7, output_tokens=None, cost_usd="0.000000140", finish_reason=None),
    call(4, cost_usd=None, cost_status="unpriced_model"),
    call(5, **NOTHING, cost_usd=None, cost_status="no_usage", finish_reason="error"),
    call(6, **NOTHING, response_id=None, cost_usd=None, cost_status="no_usage", status="error", error_type="429"),
]


def test_an_invoice_is_the_list_price() -> None:
    # 1000 x 2.50 + 100 x 10.00 USD per million; (200 x 1 + 1500 x 0.1 + 300 x 1.25 + 50 x 5); 7 x 0.02
    assert [invoice(served) for served in SERVED[:4]] == [3_500_000, 975_000, 140, None]


def test_repetitions_of_the_sdk_are_not_calls() -> None:
    assert attempts(SERVED) == 6


def test_true_numbers_pass() -> None:
    assert [check for check in live_checks(SERVED, CALLS) if not check.holds] == []


@pytest.mark.parametrize(
    ("number", "changes", "failing"),
    [
        (0, {"input_tokens": 1001}, ["tokens equal", "every answer"]),
        (0, {"response_id": "chatcmpl-other"}, ["every answer"]),
        (0, {"cost_usd": "0.003500001"}, ["cost equals"]),
        (1, {"cache_read_tokens": 0}, ["tokens equal"]),
        (3, {"cost_usd": 0, "cost_status": "priced"}, ["unknown stays unknown"]),
        (4, {"cost_usd": "0.001000000", "cost_status": "priced"}, ["cost equals", "unknown stays unknown"]),
    ],
)
def test_false_numbers_fail(number: int, changes: Row, failing: list[str]) -> None:
    calls = [{**row, **changes} if position == number else row for position, row in enumerate(CALLS)]
    failed = [check.claim for check in live_checks(SERVED, calls) if not check.holds]
    assert len(failed) == len(failing)
    assert all(claim.startswith(start) for claim, start in zip(failed, failing, strict=True))


def test_a_call_counted_twice_or_lost_fails() -> None:
    assert not live_checks(SERVED, [*CALLS, CALLS[3]])[0].holds
    assert not live_checks(SERVED, CALLS[:-1])[0].holds


def rows_of(entries: list[Row], key: str, dimension: str) -> list[Row]:
    extra = {"unpriced_calls": 0, "p95_duration_ms": 1234.5, "p95_ttft_ms": None}
    return [{**entry, dimension: entry[key], **extra} for entry in entries if entry["calls"]]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    world = build_world(1, end_ns=DEFAULT_END_NS, days=1, calls_per_day=500)
    ledger = Ledger()
    for hour in generate(world):
        ledger.merge(hour.ledger)
    facts = truth(world, ledger)
    outcome = Outcome(truth=facts, live=CALLS, served=SERVED, seconds={"sent": 1.0, "called": 2.0, "stored": 3.0})
    outcome.tenants = rows_of(facts["tenants"], "tenant_id", "tenant")
    outcome.models = rows_of(facts["models"], "model", "model")
    # A tenant with several models cannot be told from the truth file, so each tenant gets a model of its own here.
    outcome.pairs = [{**row, "model": row["tenant"]} for row in outcome.tenants]
    outcome.checks = [backfill_checks(facts, outcome.pairs)[0], *live_checks(SERVED, CALLS)]
    return outcome


def test_stored_totals_that_equal_the_truth_pass(outcome: Outcome) -> None:
    assert outcome.holds
    live = {**outcome.pairs[0], "tenant": "bakery", "calls": 3}
    assert backfill_checks(outcome.truth, [*outcome.pairs, live])[0].holds
    by_model = [{**row, "tenant": outcome.tenants[0]["tenant"]} for row in outcome.models]
    assert backfill_checks(outcome.truth, by_model)[1].holds


@pytest.mark.parametrize("column", ["calls", "errors", "output_tokens", "reasoning_tokens"])
def test_a_total_off_by_one_fails(outcome: Outcome, column: str) -> None:
    first, *rest = outcome.pairs
    check = backfill_checks(outcome.truth, [{**first, column: first[column] + 1}, *rest])[0]
    assert not check.holds
    assert f"{first['tenant']}: {column} is " in check.detail


def test_a_missing_tenant_fails(outcome: Outcome) -> None:
    assert not backfill_checks(outcome.truth, outcome.pairs[1:])[0].holds


def rendered(part: Any, capsys: pytest.CaptureFixture[str]) -> str:
    console().print(part)
    return capsys.readouterr().out


def test_the_report_says_what_happened(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    text = rendered(report(outcome, "http://127.0.0.1:1", "its DuckDB in a temporary folder"), capsys)
    tenants = {row["tenant"] for row in outcome.tenants}
    assert sum(f"  {tenant} " in f"  {text}" or f"\n{tenant} " in text for tenant in tenants) >= 12
    assert "0.003500000" in text
    assert "unpriced model" in text
    assert "prompt of" in text
    assert "ok      6 live calls are stored, each once" in text
    assert "FAILED" not in text


def test_the_report_names_what_failed(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    failed = Outcome(truth=outcome.truth, seconds=outcome.seconds, checks=[Check("all is well", False, "it is not")])  # noqa: FBT003
    assert "FAILED  all is well: it is not" in rendered(report(failed, "http://127.0.0.1:1", "it"), capsys)
    assert not failed.holds


@pytest.mark.parametrize(
    ("serving", "data", "expected"),
    [
        (True, None, "curl 'http://127.0.0.1:1/api/v1/usage"),
        (False, "/d", "spanledger serve --data /d"),
        (False, None, "--serve"),
    ],
)
def test_next_steps_work_where_they_are_shown(
    outcome: Outcome,
    capsys: pytest.CaptureFixture[str],
    serving: bool,  # noqa: FBT001 - a parameter of the test
    data: str | None,
    expected: str,
) -> None:
    steps = next_steps(outcome, "http://127.0.0.1:1", serving=serving, data=data)
    assert expected in rendered(steps, capsys)


def test_the_json_is_complete(outcome: Outcome) -> None:
    parsed = json.loads(as_json(outcome, "http://127.0.0.1:1"))
    assert parsed["truth"] == outcome.truth
    assert parsed["live_calls"] == CALLS
    assert [entry["response_id"] for entry in parsed["provider_books"]] == [served.response_id for served in SERVED]
    assert all(check["holds"] for check in parsed["checks"])


@pytest.fixture
def answering() -> Iterator[Callable[[list[tuple[int, bytes]]], str]]:
    """Return a starter of servers that give the answers of a list, one after the other."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(answers: list[tuple[int, bytes]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, body = answers.pop(0)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_busy_service_is_asked_again(answering: Callable[[list[tuple[int, bytes]]], str]) -> None:
    answers = [(503, b"busy"), (200, b"")]
    with Client(answering(answers)) as client:
        client.post_traces(b"")
    assert answers == []


@pytest.mark.parametrize("answer", [(400, b"bad"), (200, b"\x0a\x02\x08\x01")], ids=["refused", "partial success"])
def test_a_refusal_ends_the_demo(
    answering: Callable[[list[tuple[int, bytes]]], str], answer: tuple[int, bytes]
) -> None:
    with Client(answering([answer])) as client, pytest.raises(DemoError, match="did not take a request"):
        client.post_traces(b"")


def test_rows_are_read_and_errors_are_told(answering: Callable[[list[tuple[int, bytes]]], str]) -> None:
    with Client(answering([(200, b'{"items": [{"a": 1}]}'), (404, b"no")])) as client:
        assert client.items("usage", by="tenant") == [{"a": 1}]
        with pytest.raises(DemoError, match="HTTP 404"):
            client.items("nowhere")


def test_a_service_that_is_gone_is_told() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(DemoError, match="does not answer"):
        client.items("usage")


def test_waiting_ends_when_there_is_enough_or_the_time_is_over() -> None:
    seen = iter(range(10))
    assert wait_for(lambda: next(seen), lambda n: n == 1, timeout_s=30) == 1
    assert wait_for(lambda: 7, lambda n: n > 7, timeout_s=0) == 7
