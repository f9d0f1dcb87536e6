"""The REST API over a real store."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from fastapi import APIRouter, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from spanledger_analytics.errors import StoreUnavailableError
from spanledger_analytics.records import Batch, Rejection
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.api import Metric, Principal, add_routes, build_app
from spanledger_ingest.api._traces import depth_first
from spanledger_ingest.pipeline import Stats, WriterStats
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

ALL = frozenset({"read:metrics", "read:traces", "query:sql", "ops:read"})


def stats(*, ready: bool = True) -> Stats:
    return Stats(
        requests={("traces", "success"): 3},
        accepted_items={"traces": 7},
        rejected_items={},
        received_bytes=1234,
        writer=WriterStats(stored_spans=7),
        backlog_bytes=0,
        lag_seconds=0.5,
        journal_end=10,
        journal_stored=10,
        damages=0,
        ready=ready,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    path = tmp_path_factory.mktemp("api") / "s.duckdb"
    with closing(DuckDBStore(path, DatabaseConfig(threads=1))) as opened:
        calls = [a_call(n, owner="acme", start_ns=T0 + n * SECOND, end_ns=T0 + (n + 1) * SECOND) for n in range(1, 8)]
        other = a_call(20, owner="zeta", request_model="claude", cost=None)
        tree = [
            a_span(1, owner="acme", parent_span_id="aa" * 8),
            a_span(2, owner="acme", trace_id=f"{1:032x}", span_id="aa" * 8),
        ]
        dead = Rejection(owner="acme", signal="traces", reason="bad id", size=3, time_ns=T0)
        opened.append(Batch(spans=[*tree, a_span(20, owner="zeta")], calls=[*calls, other], rejections=[dead]))
        yield opened


@pytest.fixture
def client(store: DuckDBStore) -> TestClient:
    def endpoint(_: Request) -> PlainTextResponse:
        return PlainTextResponse("otlp")

    endpoint.required_scope = "ingest:write"  # type: ignore[attr-defined] # how a plain endpoint declares it
    otlp = Route("/v1/traces", endpoint, methods=["POST"])
    extra = [Metric.single("spanledger_store_reopened_total", "counter", 'Odd "help"\n', 1)]
    return TestClient(build_app(store, stats=stats, otlp_routes=[otlp], metrics=lambda: extra))


def as_tenant(store: DuckDBStore, tenant: str | None, scopes: frozenset[str] = ALL) -> TestClient:
    return TestClient(build_app(store, stats=stats, authenticate=lambda _: Principal(tenant, scopes)))


def items(client: TestClient, path: str) -> list[dict[str, Any]]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_calls_are_rows_of_the_view(client: TestClient) -> None:
    newest = items(client, "/api/v1/calls?tenant=acme")[0]
    assert newest["time"] == "2026-03-03T12:00:07.000000Z"
    assert newest["cost_usd"] == "0.001000000"
    assert newest["finish_reasons_raw"] == ["stop"]
    assert newest["stream"] is False
    assert newest["ttft_ms"] is None
    assert (newest["input_tokens"], newest["duration_ms"]) == (100, 1000.0)
    assert not {"owner", "own", "start_ns"} & newest.keys()


def test_calls_page_by_cursor(client: TestClient) -> None:
    seen, path = [], "/api/v1/calls?limit=3"
    while path:
        body = client.get(path).json()
        seen += [item["span_id"] for item in body["items"]]
        path = f"/api/v1/calls?limit=3&cursor={body['next_cursor']}" if body["next_cursor"] else ""
    assert len(seen) == len(set(seen)) == 8


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("from=2026-03-03T12:00:07Z", 1),
        ("from=2026-03-03T13:00:07%2B01:00", 1),
        ("from=2026-03-03T13:00:07+01:00", 1),
        ("to=2026-03-03T12:00:01Z", 1),
        ("model=claude", 1),
        ("provider=openai&service=shop", 8),
        ("trace_id=" + f"{3:032x}", 1),
        ("billable=false", 0),
        ("use_case=none", 0),
        ("tenant=nobody", 0),
    ],
)
def test_calls_can_be_filtered(client: TestClient, query: str, count: int) -> None:
    assert len(items(client, "/api/v1/calls?" + query)) == count


def test_usage_adds_up(client: TestClient) -> None:
    rows = items(client, "/api/v1/usage?by=tenant,model&bucket=1h")
    assert [(row["tenant"], row["model"], row["calls"], row["cost_usd"]) for row in rows] == [
        ("acme", "gpt-5-mini", 7, "0.007000000"),
        ("zeta", "claude", 1, None),
    ]
    assert rows[0]["bucket"] == "2026-03-03T12:00:00.000000Z"
    assert rows[1]["unpriced_calls"] == 1
    assert items(client, "/api/v1/usage")[0]["calls"] == 8
    cut = client.get("/api/v1/usage?by=tenant&limit=1&order=calls").json()
    assert (len(cut["items"]), cut["truncated"]) == (1, True)


def test_trace_is_a_tree_with_its_calls(client: TestClient) -> None:
    root, child = items(client, f"/api/v1/traces/{1:032X}")
    assert (root["span_id"], root["depth"], root["children"]) == ("aa" * 8, 0, [f"{1:016x}"])
    assert (child["depth"], child["children"], child["call"]["cost_usd"]) == (1, [], "0.001000000")
    assert root["call"] is None
    assert child["attributes"]["deep"] == {"a": {"b": True}}
    assert child["events"][0]["name"] == "gen_ai.choice"


def test_trace_survives_cycles_and_depth() -> None:
    chain = [{"span_id": str(n), "parent_span_id": str(n - 1)} for n in range(1, 3000)]
    assert [span["depth"] for span in depth_first(chain)][-1] == 2998
    ring = [{"span_id": "a", "parent_span_id": "b"}, {"span_id": "b", "parent_span_id": "a"}]
    assert sorted(span["span_id"] for span in depth_first(ring)) == ["a", "b"]
    assert len(list(depth_first([{"span_id": "a", "parent_span_id": "a"}]))) == 1


def test_explain_tells_why(client: TestClient, store: DuckDBStore) -> None:
    (found,) = items(client, f"/api/v1/traces/{1:032x}/explain")
    assert (found["billable"], found["reason"]) == (True, "only_span")
    assert found["text"].startswith("Billed")
    assert found["price"] is None
    priced = TestClient(build_app(store, stats=stats, explain=lambda call: {"of": call.own.span_id}))
    assert items(priced, f"/api/v1/traces/{1:032x}/explain")[0]["price"] == {"of": f"{1:016x}"}
    assert client.get(f"/api/v1/traces/{999:032x}/explain").status_code == 404


def test_query_runs_sql(client: TestClient) -> None:
    sql = "SELECT tenant_id, sum(cost_usd) AS usd, sum(input_tokens) AS tokens FROM llm_calls GROUP BY 1 ORDER BY 1"
    for answer in (
        client.get("/api/v1/query", params={"sql": sql}),
        client.post("/api/v1/query", json={"sql": sql}),
    ):
        assert answer.status_code == 200
        body = answer.json()
        assert body["items"][0] == {"tenant_id": "acme", "usd": "0.007000000", "tokens": 700}
        assert body["columns"][0] == {"name": "tenant_id", "type": "string"}
        assert body["truncated"] is False
    assert client.get("/api/v1/query?sql=SELECT * FROM range(9)&limit=2").json()["truncated"] is True


def test_query_carries_every_type(client: TestClient) -> None:
    sql = """SELECT 'NaN'::DOUBLE AS nan, 170141183460469231731687303715884105727::HUGEINT AS huge,
        INTERVAL 1 DAY AS day, DATE '2026-03-03' AS date,
        {'a': 1.5} AS struct, [1, NULL] AS list,
        TIMESTAMP '2026-03-03 12:00:00' AS naive,
        MAP {'k': 1} AS map, '00000000-0000-0000-0000-000000000001'::UUID AS uuid, true AS flag"""
    (row,) = client.post("/api/v1/query", json={"sql": sql}).json()["items"]
    assert row["nan"] is None
    assert row["huge"] == "170141183460469231731687303715884105727"
    assert row["date"] == "2026-03-03"
    assert row["struct"] == {"a": "1.5"}
    assert row["list"] == [1, None]
    assert row["naive"] == "2026-03-03T12:00:00.000000"
    assert row["flag"] is True


def test_rejected_lists_dead_letters(client: TestClient, store: DuckDBStore) -> None:
    (letter,) = items(client, "/api/v1/ingest/rejected")
    assert (letter["reason"], letter["count"], letter["size"]) == ("bad id", 1, 3)
    assert items(as_tenant(store, "zeta"), "/api/v1/ingest/rejected") == []


def test_a_tenant_sees_nothing_of_another(store: DuckDBStore) -> None:
    zeta = as_tenant(store, "zeta")
    for path in ("/api/v1/calls", "/api/v1/calls?tenant=acme", "/api/v1/usage?by=tenant"):
        assert "acme" not in {row.get("tenant", row.get("tenant_id")) for row in items(zeta, path)}
    assert zeta.get(f"/api/v1/traces/{1:032x}").status_code == 404
    assert zeta.get(f"/api/v1/traces/{1:032x}/explain").status_code == 404
    assert items(zeta, "/api/v1/query?sql=SELECT DISTINCT tenant_id FROM llm_calls") == [{"tenant_id": "zeta"}]
    assert "acme" not in zeta.get(f"/api/v1/traces/{20:032x}").text.replace('"tenant.id":"acme"', "")


def test_every_route_declares_a_scope(store: DuckDBStore) -> None:
    app = build_app(store, stats=stats, authenticate=_nobody)
    scopes: dict[tuple[str, str], str] = app.state.scopes
    documented = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert documented <= scopes.keys()
    assert {path for (_, path), scope in scopes.items() if scope == "public"} == {"/healthz", "/readyz"}
    stranger = TestClient(app)
    for (method, path), scope in scopes.items():
        status = stranger.request(method, path.replace("{trace_id}", "0" * 32)).status_code
        assert status == (200 if scope == "public" else 401), path


def test_a_route_without_a_scope_is_refused(store: DuckDBStore) -> None:
    router = APIRouter()
    router.get("/open")(lambda: "everything")
    with pytest.raises(RuntimeError, match="declares no scope"):
        add_routes(build_app(store, stats=stats), router)


def _nobody(_: Request) -> Principal:
    raise HTTPException(401, "send a key", {"www-authenticate": "Bearer"})


def test_missing_scope_and_missing_credential(store: DuckDBStore) -> None:
    reader = as_tenant(store, "acme", frozenset({"read:metrics"}))
    assert reader.get("/api/v1/calls").status_code == 200
    assert reader.get("/api/v1/query?sql=SELECT 1").status_code == 403
    assert reader.get("/metrics").status_code == 403
    stranger = TestClient(build_app(store, stats=stats, authenticate=_nobody))
    refused = stranger.get("/api/v1/calls")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert stranger.get("/docs").status_code == 401
    assert stranger.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "/docs lists"),
        ("GET", "/api/v1/scores", 404, "nothing at"),
        ("POST", "/api/v1/calls", 405, "Method Not Allowed"),
        ("GET", "/api/v1/calls?limit=0", 422, "limit"),
        ("GET", "/api/v1/calls?limit=5001", 422, "5000"),
        ("GET", "/api/v1/calls?tennant=acme", 422, "tennant"),
        ("GET", "/api/v1/calls?from=yesterday", 422, "from"),
        ("GET", "/api/v1/calls?from=2026-03-03T12:00:00", 422, "offset"),
        ("GET", "/api/v1/calls?from=2026-03-04T00:00:00Z&to=2026-03-03T00:00:00Z", 422, "from <= to"),
        ("GET", "/api/v1/calls?cursor=xyz", 422, "not one that this service gave out"),
        ("GET", "/api/v1/calls?billable=maybe", 422, "billable"),
        ("GET", "/api/v1/usage?by=tenant,colour", 422, "valid are tenant, user"),
        ("GET", "/api/v1/usage?by=tenant,tenant", 422, "named twice"),
        ("GET", "/api/v1/usage?bucket=1y", 422, "for example 1h"),
        ("GET", "/api/v1/usage?bucket=400d", 422, "366 days"),
        ("GET", "/api/v1/usage?order=colour", 422, "order"),
        ("GET", "/api/v1/traces/xyz", 422, "trace_id"),
        ("GET", "/api/v1/traces/" + "0" * 32, 404, "no trace"),
        ("GET", "/api/v1/query", 422, "sql"),
        ("GET", "/api/v1/query?sql=DROP TABLE x", 422, "only a plain SELECT"),
        ("GET", "/api/v1/query?sql=SELECT * FROM nowhere", 422, "readable are alerts"),
        ("POST", "/api/v1/query", 400, "not JSON"),
    ],
)
def test_errors_are_problems(client: TestClient, method: str, path: str, status: int, words: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert words in body["detail"]
    assert body.keys() >= {"type", "title"}


def test_query_bodies_are_checked(client: TestClient) -> None:
    assert client.post("/api/v1/query", content=b" " * 200_000).status_code == 413
    wrong_bodies: list[Any] = [[], {"sql": 1}, {"sql": "SELECT 1", "x": 1}, "SELECT 1"]
    for wrong in wrong_bodies:
        assert client.post("/api/v1/query", json=wrong).status_code == 422


class _Broken:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


@pytest.mark.parametrize(("error", "status"), [(StoreUnavailableError("disk full"), 503), (KeyError("oops"), 500)])
def test_failures_of_the_store_are_problems(error: Exception, status: int) -> None:
    broken: Any = _Broken(error)
    client = TestClient(build_app(broken, stats=stats), raise_server_exceptions=False)
    answer = client.get("/api/v1/calls")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "oops" not in answer.text


def test_every_answer_has_the_security_headers(client: TestClient) -> None:
    for path in ("/api/v1/calls", "/nowhere", "/healthz", "/docs", "/metrics"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
    assert client.post("/v1/traces").text == "otlp"


def test_health_and_readiness(client: TestClient, store: DuckDBStore) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.head("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    starting = TestClient(build_app(store, stats=lambda: stats(ready=False)))
    assert starting.get("/readyz").status_code == 503


def test_metrics_are_prometheus_text(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'spanledger_requests_total{signal="traces",outcome="success"} 3' in lines
    assert "spanledger_lag_seconds 0.5" in lines
    assert '# HELP spanledger_store_reopened_total Odd "help"\\n' in lines
    assert answer.text.endswith("\n")


def test_openapi_names_every_column(client: TestClient) -> None:
    api = client.get("/openapi.json").json()
    row = api["paths"]["/api/v1/calls"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    columns = row["properties"]["items"]["items"]["properties"]
    assert columns["cost_usd"]["type"] == ["string", "null"]
    assert {p["name"] for p in api["paths"]["/api/v1/calls"]["get"]["parameters"]} >= {"from", "to", "tenant", "cursor"}
    page = client.get("/docs").text
    assert "/api/v1/usage" in page
    assert "<script" not in page
