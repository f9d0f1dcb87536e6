"""Scores as events: what they say, that they are no scores of an application, and that they are bounded."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spanledger_analytics.queries import Window
from spanledger_analytics.records import Batch, Content, LogRecord, Scope
from spanledger_analytics.scorers import default_scorers
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.normalise import EVALUATION_EVENT, OWN_SCORES, normalise_log
from spanledger_ingest.scoring import Events, Judge, Scoring
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

LEAK = "You can reach Bob at bob@corp.example, he knows the shop."
CLEAN = "The shop opens at nine in the morning, from Monday to Friday."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    with closing(DuckDBStore(tmp_path / "s.duckdb", DatabaseConfig(threads=1))) as opened:
        yield opened


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def answered(number: int, output: str) -> Batch:
    times: dict[str, Any] = {"start_ns": T0 + number * SECOND, "end_ns": T0 + (number + 1) * SECOND}
    call = a_call(number, owner="acme", **times)
    facts = replace(call.facts, finish_reason="stop", response_id=f"resp-{number}")
    ids: dict[str, Any] = {"owner": "acme", "tenant_id": "acme", "time_ns": times["start_ns"]}
    ids |= {"trace_id": call.own.trace_id, "span_id": call.own.span_id}
    texts = {"input": "When?", "output": output, "retrieval": "Opening hours: from nine, Monday to Friday."}
    contents = [Content(**ids, kind=kind, text=text) for kind, text in texts.items()]  # type: ignore[arg-type]
    return Batch(spans=[a_span(number, owner="acme", **times)], calls=[replace(call, facts=facts)], contents=contents)


def score(store: DuckDBStore, events: Events, answers: Sequence[str]) -> None:
    for number, text in enumerate(answers, 1):
        store.append(answered(number, text))
    scoring = Scoring(store, Judge(default_scorers()), emit=events.emit)
    material = store.evidence.calls_of_window(Window(), None, 100)
    scoring.score(material, again=True)


def rows(store: DuckDBStore) -> list[dict[str, Any]]:
    sql = f"SELECT * FROM logs WHERE event_name = '{EVALUATION_EVENT}' ORDER BY time, attributes"  # noqa: S608 - a constant
    return [row | {"said": json.loads(row["attributes"])} for row in store.run_sql(sql).to_pylist()]


def test_an_event_says_what_the_score_says_below_the_span_that_was_judged(store: DuckDBStore) -> None:
    score(store, Events(store, "all", 1000, wall=lambda: T0 + 60 * SECOND), [LEAK])
    (leak,) = [row for row in rows(store) if row["said"]["gen_ai.evaluation.name"] == "pii_leak_risk"]
    (kept,) = store.run_sql("SELECT * FROM scores WHERE name = 'pii_leak_risk'").to_pylist()
    said = leak["said"]
    assert (leak["trace_id"], leak["span_id"], leak["time"]) == (kept["trace_id"], kept["span_id"], kept["time"])
    assert (leak["tenant_id"], leak["scope_name"], leak["severity_text"]) == ("acme", OWN_SCORES, "WARN")
    assert (said["gen_ai.evaluation.score.value"], said["gen_ai.evaluation.score.label"]) == (1.0, "fail")
    assert said["gen_ai.evaluation.explanation"] == kept["explanation"]
    assert said["gen_ai.response.id"] == "resp-1"
    assert said["spanledger.scorer.version"] == kept["scorer_version"]
    assert said["spanledger.evaluation.direction"] == "lower_is_better"
    assert json.loads(said["spanledger.evaluation.detail"])["offences"]
    assert "bob@corp.example" not in json.dumps([row["attributes"] for row in rows(store)])


def test_what_has_no_number_is_no_event_and_flagged_are_fewer_than_all(store: DuckDBStore) -> None:
    score(store, Events(store, "all", 1000), [CLEAN])
    everything = rows(store)
    judged = store.run_sql("SELECT count(*) AS n FROM scores WHERE evaluable").to_pylist()[0]["n"]
    assert len(everything) == judged > 0
    score(store, Events(store, "none", 1000), [CLEAN, LEAK])
    assert rows(store) == everything
    score(store, Events(store, "flagged", 1000), [CLEAN, LEAK])
    new = [row for row in rows(store) if row not in everything]
    assert new
    assert {row["said"]["gen_ai.evaluation.score.label"] for row in new} <= {"fail", "warn"}


def test_judging_again_leaves_no_event_twice(store: DuckDBStore) -> None:
    events = Events(store, "all", 1000, wall=lambda: T0)
    score(store, events, [LEAK])
    once = rows(store)
    score(store, events, [LEAK])
    assert rows(store) == once


def test_above_the_limit_what_fails_goes_first_and_the_rest_is_counted(store: DuckDBStore) -> None:
    clock = Clock()
    events = Events(store, "all", 3, clock)
    score(store, events, [CLEAN, CLEAN, LEAK])
    found = rows(store)
    assert len(found) == events.written == 3
    assert events.dropped > 0
    assert "pii_leak_risk" in {row["said"]["gen_ai.evaluation.name"] for row in found}
    score(store, events, [CLEAN])
    assert events.written == 3
    clock.now += 20
    score(store, events, [CLEAN])
    assert events.written == 4


def test_our_own_events_are_not_read_back_as_scores_of_an_application() -> None:
    attributes = {"gen_ai.evaluation.name": "refusal_risk", "gen_ai.evaluation.score.value": 1.0}
    record = LogRecord(time_ns=T0, event_name=EVALUATION_EVENT, attributes=attributes)
    assert len(normalise_log(record).scores) == 1
    forwarded = replace(record, scope=Scope(OWN_SCORES, "1.0.0"))
    assert normalise_log(forwarded).scores == ()
    assert normalise_log(forwarded).record == forwarded
