"""Jaeger's query API, as Grafana's data source uses it."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from fastapi.testclient import TestClient

from spanledger_analytics.records import Batch, Resource
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.api import Principal, build_app
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

START = T0 // 1000
TRACE = f"{1:032x}"
ALL = frozenset({"read:traces"})
ATTRIBUTES = {"flag": True, "count": 7, "share": 0.5, "text": "x", "list": ["a", 1], "odd'key": "o'clock", "none": None}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    path = tmp_path_factory.mktemp("jaeger") / "s.duckdb"
    with closing(DuckDBStore(path, DatabaseConfig(threads=1))) as opened:
        root = {
            "trace_id": TRACE,
            "span_id": "aa" * 8,
            "name": "GET /ask",
            "kind": "server",
            "resource": Resource({"service.name": "web", "tenant.id": "acme", "cores": 4}),
        }
        spans = [
            a_span(1, owner="acme", parent_span_id="aa" * 8, attributes=ATTRIBUTES, start_ns=T0 + 1_500_000),
            a_span(2, owner="acme", **root, end_ns=T0 + 3 * SECOND),
            a_span(3, owner="acme", start_ns=T0 + 60 * SECOND, end_ns=T0 + 61 * SECOND, status="error"),
            a_span(4, owner="acme", parent_span_id="ee" * 8, dropped_attributes=3, start_ns=T0 + 90 * SECOND),
            a_span(20, owner="zeta", resource=Resource({"service.name": "vault", "tenant.id": "zeta"})),
        ]
        calls = [
            a_call(1, owner="acme", finish_reason="length"),
            a_call(3, owner="acme", cost=None),
            a_call(20, owner="zeta"),
        ]
        opened.append(Batch(spans=spans, calls=calls))
        yield opened


def client_of(store: DuckDBStore, tenant: str | None, scopes: frozenset[str] = ALL) -> TestClient:
    return TestClient(build_app(store, stats=lambda: None, authenticate=lambda _: Principal(tenant, scopes)))  # type: ignore[arg-type,return-value]


@pytest.fixture
def client(store: DuckDBStore) -> TestClient:
    return client_of(store, "acme")


def data(client: TestClient, path: str, **params: Any) -> list[Any]:
    answer = client.get(f"/jaeger/api{path}", params=params)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["errors"], body["total"]) == (None, len(body["data"]))
    return list(body["data"])


def found(client: TestClient, **params: Any) -> list[int]:
    wanted = {"start": START, "end": START + 100_000_000} | params
    traces = data(client, "/traces", **{name: value for name, value in wanted.items() if value is not None})
    return [int(trace["traceID"], 16) for trace in traces]


def test_names(client: TestClient) -> None:
    assert data(client, "/services") == ["shop", "web"]
    assert data(client, "/services/web/operations") == ["GET /ask"]
    assert data(client, "/services/nobody/operations") == []


def test_a_trace_has_typed_tags_money_and_tokens(client: TestClient) -> None:
    (trace,) = data(client, f"/traces/{TRACE.upper()}", start=0, end=1)
    assert trace["traceID"] == TRACE
    root, child = trace["spans"]
    assert (root["operationName"], root["startTime"], root["duration"]) == ("GET /ask", START, 3_000_000)
    assert (child["startTime"], child["references"][0]) == (
        START + 1500,
        {"refType": "CHILD_OF", "traceID": TRACE, "spanID": "aa" * 8},
    )
    assert child["references"][1]["refType"] == "FOLLOWS_FROM"
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in child["tags"]}
    assert tags["flag"] == ("bool", True)
    assert tags["count"] == ("int64", 7)
    assert tags["share"] == ("float64", 0.5)
    assert tags["text"] == ("string", "x")
    assert tags["list"] == ("string", '["a",1]')
    assert tags["span.kind"] == ("string", "client")
    assert tags["spanledger.cost_usd"] == ("float64", 0.001)
    assert tags["spanledger.input_tokens"] == ("int64", 100)
    assert tags["spanledger.billable"] == ("bool", True)
    assert tags["spanledger.model"] == ("string", "gpt-5-mini")
    assert child["warnings"] == ["the answer was cut off at the token limit"]
    assert root["warnings"] is None
    (log,) = child["logs"]
    assert log["timestamp"] == START
    assert log["fields"][0] == {"key": "event", "type": "string", "value": "gen_ai.choice"}
    process = trace["processes"][root["processID"]]
    assert process["serviceName"] == "web"
    assert {"key": "cores", "type": "int64", "value": 4} in process["tags"]
    assert trace["processes"][child["processID"]]["serviceName"] == "shop"


def test_what_is_wrong_is_said(client: TestClient) -> None:
    (failed,) = data(client, f"/traces/{3:x}")[0]["spans"]
    tags = {tag["key"]: tag["value"] for tag in failed["tags"]}
    assert (tags["error"], tags["otel.status_code"]) == (True, "ERROR")
    assert "spanledger.cost_usd" not in tags
    assert "unknown, not zero" in failed["warnings"][0]
    (orphan,) = data(client, f"/traces/{4:032x}")[0]["spans"]
    assert orphan["warnings"] == ["the parent of this span is not stored", "the sender dropped 3 attributes"]


@pytest.mark.parametrize("path", [f"/traces/{999:032x}", f"/traces/{20:032x}", "/traces/f"])
def test_an_unknown_trace_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(f"/jaeger/api{path}")
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["msg"] == "trace not found"
    assert answer.json()["data"] is None


@pytest.mark.parametrize(
    ("params", "traces"),
    [
        ({"service": "shop"}, [4, 3, 1]),
        ({"service": "shop", "limit": 2}, [4, 3]),
        ({"service": "web"}, [1]),
        ({"service": "vault"}, []),
        ({"service": "shop", "operation": "chat gpt-5-mini"}, [4, 3, 1]),
        ({"service": "shop", "operation": "other"}, []),
        ({"service": "shop", "tags": '{"error": "true"}'}, [3]),
        ({"service": "shop", "tags": '{"count": "7", "flag": true}'}, [1]),
        ({"service": "shop", "tags": json.dumps({"odd'key": "o'clock"})}, [1]),
        ({"service": "shop", "tags": json.dumps({"x') OR 1=1 --": "1"})}, []),
        ({"service": "web", "minDuration": "2s"}, [1]),
        ({"service": "web", "minDuration": "3.1s"}, []),
        ({"service": "web", "maxDuration": "1m30s"}, [1]),
        ({"service": "web", "maxDuration": "100ms"}, []),
        ({"service": "shop", "start": START + 50_000_000}, [4, 3]),
        ({"service": "shop", "end": START + 2_000_000}, [1]),
        ({"service": "shop", "start": None, "lookback": "45s"}, [4, 3]),
    ],
)
def test_search(client: TestClient, params: dict[str, Any], traces: list[int]) -> None:
    assert found(client, **params) == traces


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"service": ""},
        {"service": "shop", "minDuration": "long"},
        {"service": "shop", "minDuration": "1s or so"},
        {"service": "shop", "tags": "count=7"},
        {"service": "shop", "tags": '{"a\\"b": "1"}'},
        {"service": "shop", "start": -1},
        {"service": "shop", "limit": 0},
        {"service": "shop", "start": None, "lookback": "yesterday"},
    ],
)
def test_searches_that_cannot_be_meant(client: TestClient, params: dict[str, Any]) -> None:
    sent = {name: value for name, value in params.items() if value is not None}
    answer = client.get("/jaeger/api/traces", params=sent)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_dependencies_lead_to_the_providers(client: TestClient) -> None:
    links = data(client, "/dependencies", endTs=(START + 100_000_000) // 1000, lookback=3_600_000)
    assert [(link["parent"], link["child"], link["callCount"]) for link in links] == [
        ("shop", "openai", 2),
        ("web", "shop", 1),
    ]
    assert data(client, "/dependencies", endTs=1, lookback=5) == []
    assert data(client, "/dependencies") == []


def test_a_tenant_sees_its_own(store: DuckDBStore) -> None:
    zeta = client_of(store, "zeta")
    assert data(zeta, "/services") == ["vault"]
    assert found(zeta, service="shop") == []
    assert zeta.get(f"/jaeger/api/traces/{TRACE}").status_code == 404
    everybody = client_of(store, None)
    assert data(everybody, "/services") == ["shop", "vault", "web"]
    blind = client_of(store, "acme", frozenset({"read:metrics"}))
    for path in ("/services", "/services/x/operations", "/traces?service=x", f"/traces/{TRACE}", "/dependencies"):
        assert blind.get(f"/jaeger/api{path}").status_code == 403
