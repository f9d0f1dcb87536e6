"""`spanledger demo`, started as a user starts it: its numbers are exact, and it ends by itself."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from spanledger_ingest.traffic import Ledger, build_world, generate, truth

SPANLEDGER = Path(sys.executable).with_name("spanledger")
CHECKS = 18
"""In periods in which nothing can be known to be unusual; one more in longer ones."""
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SPANLEDGER, "demo", *arguments], capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, Any]:
    done = demo("--json", "--seed", "5", "--days", "2", "--calls-per-day", "700", "--data", str(folder))
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr == ""
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def money(value: Any) -> Decimal:
    return Decimal(0) if value is None else Decimal(str(value))


def test_every_tenant_has_exactly_the_numbers_of_the_truth_file(shown: dict[str, Any], folder: Path) -> None:
    facts = json.loads((folder / "truth.json").read_text())
    usage = {row["tenant"]: row for row in shown["usage"]["by_tenant"]}
    busy = [row for row in facts["tenants"] if row["calls"]]
    assert len(busy) > 10
    for row in busy:
        stored = usage[row["tenant_id"]]
        assert {key: stored[key] or 0 for key in ("calls", "errors", *TOKENS)} == {
            key: row[key] for key in ("calls", "errors", *TOKENS)
        }
        assert money(stored["cost_usd"]) == money(row["cost_usd"])
    assert sum(row["calls"] for row in usage.values()) == facts["totals"]["calls"] + len(shown["live_calls"]) + 1


def test_the_truth_can_be_made_again_from_seed_and_end(shown: dict[str, Any]) -> None:
    facts = shown["truth"]
    seconds, fraction = facts["end"].removesuffix("Z").split(".")
    end_ns = int(datetime.fromisoformat(seconds + "+00:00").timestamp()) * 10**9 + int(fraction)
    world = build_world(5, end_ns=end_ns, days=2, calls_per_day=700)
    ledger = Ledger()
    for hour in generate(world):
        ledger.merge(hour.ledger)
    assert truth(world, ledger) == facts


def test_live_calls_are_in_the_books_of_the_provider(shown: dict[str, Any]) -> None:
    calls = shown["live_calls"]
    books = {entry["response_id"]: entry for entry in shown["provider_books"] if entry["response_id"]}
    answered = [call for call in calls if call["response_id"]]
    assert {call["response_id"] for call in answered} == set(books)
    for call in answered:
        entry = books[call["response_id"]]
        assert call["response_model"] == entry["model"]
        if entry["completed"]:
            told = (call["input_tokens"], call["output_tokens"], call["cache_read_tokens"] or 0)
            assert told == (entry["input"], entry["output"], entry["cache_read"])


def test_live_calls_say_for_whom_and_how_they_ended(shown: dict[str, Any]) -> None:
    calls = shown["live_calls"]
    assert {call["tenant_id"] for call in calls} == {
        "bakery",
        "bookshop",
        "florist",
        "garage",
        "tea-house",
        "kiosk",
        "workshop",
    }
    assert {call["service_name"] for call in calls} == {"corner-shops", "helpdesk", "kiosk", "workshop"}
    bakery = [call for call in calls if call["tenant_id"] == "bakery"]
    assert {(call["user_id"], call["session_id"], call["prompt_version"]) for call in bakery} == {
        ("u-ada", "s-1", "v3")
    }
    assert [call["finish_reason"] for call in bakery] == ["stop", "stop", "tool_call", "stop"]
    (refused,) = [call for call in calls if call["error_type"] == "openai.RateLimitError"]
    assert (refused["cost_usd"], refused["cost_status"], refused["status"]) == (None, "no_usage", "error")
    (unlisted,) = [call for call in calls if call["cost_status"] == "unpriced_model"]
    assert (unlisted["request_model"], unlisted["cost_usd"]) == ("in-house-model-9", None)


def test_live_costs_are_the_list_prices(shown: dict[str, Any]) -> None:
    # USD per million tokens: gpt-4o 2.50 / 10, gpt-4o-mini 0.15 / 0.60, claude-haiku-4-5 1 / 5, written 1.25, read 0.10
    (written, read) = [call for call in shown["live_calls"] if call["tenant_id"] == "bookshop"]
    assert money(written["cost_usd"]) == Decimal("0.001780500")  # 8 x 1 + 1350 x 1.25 + 17 x 5
    assert money(read["cost_usd"]) == Decimal("0.000228000")  # 8 x 1 + 1350 x 0.10 + 17 x 5
    plain, streamed, *_ = [call for call in shown["live_calls"] if call["tenant_id"] == "bakery"]
    assert money(plain["cost_usd"]) == Decimal("0.000011400")  # 8 x 0.15 + 17 x 0.60
    assert money(streamed["cost_usd"]) == Decimal("0.000187500")  # 7 x 2.50 + 17 x 10
    assert streamed["stream"]
    assert streamed["ttft_ms"] > 0


def test_every_check_holds(shown: dict[str, Any]) -> None:
    assert len(shown["checks"]) == CHECKS
    assert [check["claim"] for check in shown["checks"] if not check["holds"]] == []


def test_a_budget_is_told_as_it_is_used_up(shown: dict[str, Any]) -> None:
    spent = sum(money(call["cost_usd"]) for call in shown["live_calls"] if call["service_name"] != "workshop")
    (budget,) = [row for row in shown["budgets"] if row["name"] == "live-calls"]
    assert money(budget["spent_usd"]) == spent > money(budget["limit_usd"])
    events = [row for row in shown["budget_events"] if row["budget"] == "live-calls"]
    assert [row["threshold"] for row in events] == [0.5, 0.8, 1.0]


def test_a_hard_cap_refuses_a_call_before_the_provider_hears_of_it(shown: dict[str, Any]) -> None:
    books = [entry for entry in shown["provider_books"] if entry["model"] == "claude-sonnet-4-6"]
    made = [call for call in shown["live_calls"] if call["tenant_id"] == "workshop"]
    assert {call["response_id"] for call in made} == {entry["response_id"] for entry in books}
    assert made
    (refused,) = shown["refused_calls"]
    assert (refused["tenant_id"], refused["response_id"], refused["cost_usd"]) == ("workshop", None, None)


def test_messages_are_signed_and_say_what_happened(shown: dict[str, Any]) -> None:
    messages = shown["messages"]
    assert all(message["verified"] for message in messages)
    told = [(message["body"]["type"], message["body"]["data"]["rule"]) for message in messages]
    assert told.index(("alert.firing", "error_burst")) < told.index(("alert.resolved", "error_burst"))
    assert {("alert.firing", rule) for rule in ("budget:live-calls", "pii_leak", "prompt_injection")} <= set(told)


def test_planted_faults_of_answers_are_found_and_explained_and_nothing_else(shown: dict[str, Any]) -> None:
    bad = {one["question"]: one for one in shown["answers"] if one["failing"]}
    assert len(bad) == 3
    assert len(shown["answers"]) == 7
    assert all(score["explanation"] for one in bad.values() for score in one["failing"])
    said = json.dumps([score for one in bad.values() for score in one["failing"]])
    assert "counter-4@bremen-parcels.com" in said


def test_people_get_tables() -> None:
    done = demo("--days", "1", "--calls-per-day", "200")
    assert done.returncode == 0, done.stderr + done.stdout
    headlines = ("What happened", "What it cost, for whom", "On which models", "Budgets", "Checked against the truth")
    assert [line.strip() for line in done.stdout.splitlines() if line.strip() in headlines] == list(headlines)
    assert done.stdout.count("\n  ok      ") == CHECKS


def test_it_stays_up_when_asked_to(tmp_path: Path) -> None:
    command = [str(SPANLEDGER), "demo", "--serve", "--days", "1", "--calls-per-day", "200"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        url = next(found[0] for line in running.stdout if (found := re.findall(r"open  (\S+)/docs", line)))
        with urlopen(f"{url}/api/v1/calls?service=corner-shops&limit=100") as answer:  # noqa: S310 - loopback
            calls = json.loads(answer.read())["items"]
        running.terminate()
        assert running.wait(30) == 0
    assert len(calls) >= 13
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    done = demo("--data", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"spanledger: --data {tmp_path} is in use; name a new or empty folder\n"
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_an_impossible_number_is_wrong_usage() -> None:
    assert demo("--days", "0").returncode == 2
