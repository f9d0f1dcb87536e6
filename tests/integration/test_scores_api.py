"""The routes about quality, over a store with scored answers of two prompts and two tenants."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from spanledger_analytics.queries import Window
from spanledger_analytics.records import Batch, Content, Span
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.api import add_routes, build_app
from spanledger_ingest.api.scores import score_routes
from spanledger_ingest.auth import Principal, StateDb
from spanledger_ingest.pipeline import Stats
from spanledger_ingest.scoring import Label, Quality, save_label
from spanledger_ingest.settings import ContentConfig, ScoringConfig
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

GOOD = "The shop opens at nine in the morning, from Monday to Friday."
BAD = "I'm sorry, but I cannot help with that request today."


def answered(number: int, output: str, owner: str, prompt_version: str) -> Batch:
    times: dict[str, Any] = {"start_ns": T0 + number * SECOND, "end_ns": T0 + (number + 1) * SECOND}
    call = a_call(number, owner=owner, **times)
    facts = replace(call.facts, finish_reason="stop", prompt_name="greeting", prompt_version=prompt_version)
    ids: dict[str, Any] = {"owner": owner, "tenant_id": owner, "time_ns": T0 + number * SECOND}
    ids |= {"trace_id": call.own.trace_id, "span_id": call.own.span_id}
    texts = [Content(**ids, kind="input", text="When?"), Content(**ids, kind="output", text=output)]
    return Batch(spans=[a_span(number, owner=owner, **times)], calls=[replace(call, facts=facts)], contents=texts)


def joined(batches: list[Batch]) -> Batch:
    return Batch(
        spans=[span for batch in batches for span in cast("list[Span]", batch.spans)],
        calls=[call for batch in batches for call in batch.calls],
        contents=[content for batch in batches for content in batch.contents],
    )


@contextmanager
def a_scored_store(directory: Path) -> Iterator[tuple[DuckDBStore, Quality]]:
    path = directory / "s.duckdb"
    with closing(DuckDBStore(path, DatabaseConfig(threads=1))) as store:
        batches: list[Batch] = []
        for number in range(1, 241):
            refuses = (number % 2 == 0 and number % 6 == 0) or (number % 2 and number % 21 == 0)
            owner = "zeta" if number > 230 else "acme"
            version = "v3" if number % 2 else "v4"
            batches.append(answered(number, BAD if refuses else GOOD, owner, version))
        batches.append(Batch(spans=[a_span(900, owner="acme")], calls=[a_call(900, owner="acme")]))
        store.append(joined(batches))
        state = StateDb(directory)
        quality = Quality(store, state, ScoringConfig(), ContentConfig(), float)
        after, more = None, True
        while more:
            step = quality.scoring.backfill(Window(), after)
            after, more = step.after, step.after is not None
        yield store, quality
        state.close()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DuckDBStore, Quality]]:
    with a_scored_store(tmp_path_factory.mktemp("scores")) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[DuckDBStore, Quality]]:
    """For tests that write."""
    with a_scored_store(tmp_path) as made:
        yield made


ALL = frozenset({"read:metrics", "read:content", "scores:write", "admin:data"})


@pytest.fixture
def client(scored: tuple[DuckDBStore, Quality]) -> TestClient:
    return connect(scored, Principal(tenant="acme", scopes=ALL, name="key k1"))


def _no_stats() -> Stats:
    raise NotImplementedError


def connect(scored: tuple[DuckDBStore, Quality], principal: Principal) -> TestClient:
    store, quality = scored
    app = build_app(store, stats=_no_stats, authenticate=lambda _: principal)
    add_routes(app, score_routes(store, quality), "/api/v1")
    return TestClient(app, base_url="http://127.0.0.1")


def items(client: TestClient, path: str) -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_scores_page_without_gaps_and_without_text(client: TestClient) -> None:
    seen: list[dict[str, Any]] = []
    path: str | None = "/api/v1/scores?name=refusal_risk&limit=100"
    while path:
        answer = client.get(path).json()
        seen += answer["items"]
        cursor = answer["next_cursor"]
        path = cursor and f"/api/v1/scores?name=refusal_risk&limit=100&cursor={cursor}"
    assert len({(row["trace_id"], row["span_id"]) for row in seen}) == len(seen) == 230
    assert {row["tenant_id"] for row in seen} == {"acme"}
    assert "cannot help" not in client.get("/api/v1/scores?label=fail&limit=1000").text
    assert client.get("/api/v1/scores?cursor=nonsense").status_code == 422


def test_scores_can_be_narrowed(client: TestClient) -> None:
    assert {row["label"] for row in items(client, "/scores?name=refusal_risk&label=fail")} == {"fail"}
    trace = items(client, "/scores?limit=1")[0]["trace_id"]
    assert {row["trace_id"] for row in items(client, f"/scores?trace_id={trace}")} == {trace}
    assert items(client, "/scores?provider=nobody") == []
    assert items(client, "/scores?prompt=greeting@v9") == []


def test_rates_have_intervals_and_coverage(client: TestClient) -> None:
    found = {row["prompt_version"]: row for row in items(client, "/scores/rates?name=refusal_risk")}
    assert {"v3", "v4"} <= found.keys()
    four = found["v4"]
    assert four["evaluable"] == four["calls"] == 115
    assert four["low_percent"] < four["failing_percent"] < four["high_percent"]
    assert (four["method"], four["coverage_percent"]) == ("uncorrected", 100.0)
    whole = items(client, "/scores/rates?name=refusal_risk&by=tenant")
    assert [(row["tenant_id"], row["calls"], row["not_evaluable"]) for row in whole] == [
        ("acme", 231, {"no_content": 1})
    ]
    assert whole[0]["coverage_percent"] < 100
    assert client.get("/api/v1/scores/rates?by=colour").status_code == 422


def test_comparison_says_whether_there_is_enough(client: TestClient) -> None:
    path = "/api/v1/scores/compare?name=refusal_risk&a=greeting@v3&b=greeting@v4"
    found = client.get(path).json()
    assert (found["b_is_worse"], found["enough_data"]) == (True, True)
    assert found["sentence"].startswith("enough data to say B is worse: yes, -")
    same = client.get("/api/v1/scores/compare?name=refusal_risk&a=greeting@v3&b=greeting@v3").json()
    assert same["enough_data"] is False
    none = client.get("/api/v1/scores/compare?name=refusal_risk&by=model&a=x&b=y").json()
    assert "no, there have to be" in none["sentence"]


def test_labels_take_answers_off_the_queue_and_correct_the_rate(fresh: tuple[DuckDBStore, Quality]) -> None:
    client = connect(fresh, Principal(tenant="acme", scopes=ALL, name="key k1"))
    queue = items(client, "/review?name=pii_leak_risk&limit=500")
    assert queue
    assert all(row["weight"] >= 1 for row in queue)
    body = {key: queue[0][key] for key in ("trace_id", "span_id", "name", "weight")}
    answer = client.post("/api/v1/labels", json=body | {"label": "pass", "source": "reviewer", "reason": "fine"})
    assert answer.status_code == 200, answer.text
    left = items(client, "/review?name=pii_leak_risk&limit=500")
    assert (queue[0]["trace_id"], queue[0]["span_id"]) not in {(row["trace_id"], row["span_id"]) for row in left}
    for row in items(client, "/scores?name=refusal_risk&limit=200"):
        said = {"trace_id": row["trace_id"], "span_id": row["span_id"], "name": "refusal_risk", "source": "judge"}
        assert client.post("/api/v1/labels", json=said | {"label": row["label"]}).status_code == 200
    (rate,) = items(client, "/scores/rates?name=refusal_risk&by=tenant")
    assert (rate["method"], rate["labels"]) == ("corrected", 200)


def test_labels_calibrate_the_scores_of_their_owner_alone(fresh: tuple[DuckDBStore, Quality]) -> None:
    store, quality = fresh
    for number, row in enumerate(store.run_sql("SELECT * FROM scores WHERE name = 'refusal_risk'").to_pylist()):
        if row["tenant_id"] == "acme" and number < 210:
            said: dict[str, Any] = {"trace_id": row["trace_id"], "span_id": row["span_id"], "name": "refusal_risk"}
            save_label(store, Label(**said, label=row["label"], source="reviewer"), None)
    quality.calibrations.step()
    assert {key[0] for key, _ in quality.calibrations.in_force()} == {"acme"}
    material = store.evidence.calls_of_window(Window(), None, 1000)
    quality.scoring.score(material)
    found = store.run_sql("SELECT * FROM scores WHERE name = 'refusal_risk' AND calibration_id IS NOT NULL").to_pylist()
    assert {row["tenant_id"] for row in found} == {"acme"}
    sure = {row["label"]: row["confidence"] for row in found}
    assert sure["pass"] < 0.2
    assert sure["fail"] > 0.8
    client = connect(fresh, Principal(tenant="acme", scopes=ALL))
    (rate,) = items(client, "/scores/rates?name=refusal_risk&by=tenant")
    assert (rate["evaluable"], rate["labels"]) == (230, 210)
    assert rate["calibration_id"]
    compared = client.get("/api/v1/scores/compare?name=refusal_risk&a=greeting@v3&b=greeting@v4").json()
    assert compared["a"]["evaluable"] + compared["b"]["evaluable"] == 230
    queue = [(row["trace_id"], row["span_id"]) for row in items(client, "/review?name=refusal_risk&limit=500")]
    assert len(queue) == len(set(queue))
    seen: list[tuple[Any, ...]] = []
    path: str | None = "/api/v1/scores?name=refusal_risk&limit=7"
    while path:
        answer = client.get(path).json()
        seen += [(row["trace_id"], row["span_id"], row["calibration_id"]) for row in answer["items"]]
        path = answer["next_cursor"] and f"/api/v1/scores?name=refusal_risk&limit=7&cursor={answer['next_cursor']}"
    assert len(seen) == len(set(seen)) == 460


def test_labels_of_unknown_calls_and_kinds_are_refused(client: TestClient) -> None:
    body = {"trace_id": "0" * 32, "span_id": "0" * 16, "name": "refusal_risk", "label": "pass", "source": "reviewer"}
    assert client.post("/api/v1/labels", json=body).status_code == 404
    assert client.post("/api/v1/labels", json=body | {"source": "cat"}).status_code == 422


def test_other_tenants_see_and_label_nothing_of_it(scored: tuple[DuckDBStore, Quality], client: TestClient) -> None:
    theirs = items(client, "/scores?limit=1")[0]
    zeta = connect(scored, Principal(tenant="zeta", scopes=ALL))
    assert {row["tenant_id"] for row in items(zeta, "/scores?limit=1000")} == {"zeta"}
    assert items(zeta, f"/traces/{theirs['trace_id']}/scores") == []
    assert {row["tenant_id"] for row in items(zeta, "/scores/rates?by=tenant")} == {"zeta"}
    body = {"trace_id": theirs["trace_id"], "span_id": theirs["span_id"], "name": "refusal_risk"}
    assert zeta.post("/api/v1/labels", json=body | {"label": "fail", "source": "reviewer"}).status_code == 404


def test_the_words_are_for_readers_of_content(scored: tuple[DuckDBStore, Quality], client: TestClient) -> None:
    trace = items(client, "/scores?name=refusal_risk&label=fail&limit=1")[0]["trace_id"]
    shown = {row["name"]: row for row in items(client, f"/traces/{trace}/scores")}
    assert "cannot help" in shown["refusal_risk"]["detail"]["offences"][0]["text"]
    product = connect(scored, Principal(tenant="acme", scopes=frozenset({"read:metrics"})))
    assert product.get(f"/api/v1/traces/{trace}/scores").status_code == 403


def test_a_backfill_goes_on_by_cursor(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    step = client.post("/api/v1/admin/score", headers=headers).json()
    assert (step["scored"], step["remaining"] > 0) == (0, True)
    while step["next_cursor"]:
        step = client.post(f"/api/v1/admin/score?cursor={step['next_cursor']}", headers=headers).json()
    assert step == {"scored": 0, "remaining": 0, "next_cursor": None}
