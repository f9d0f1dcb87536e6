"""Budgets of a running service: from the file, over REST, by tenants; in SQL and on the command line."""

import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_alerts.budgets import BudgetLedger, Definitions, Tables, amount_of, parse_budget
from spanledger_alerts.records import Finding
from spanledger_analytics.queries import CallsQuery
from spanledger_analytics.records import Batch, Call
from spanledger_analytics.testing import SECOND, T0, a_call
from spanledger_ingest.auth import KeyRing, StateDb
from spanledger_ingest.cli import main
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ServerConfig, Settings, SettingsError, StoreConfig
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

HOUR = 3600 * SECOND


def spans(tenant: str, number: int, tokens: int = 1_000_000) -> bytes:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="tenant.id").value.string_value = tenant
    ids = number.to_bytes(16, "big")
    span = group.scope_spans.add().spans.add(trace_id=ids, span_id=ids[8:], name="chat gpt-4o", kind=3)
    span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns(), time.time_ns() + SECOND
    for key, value in {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
    }.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = tokens
    span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 1
    return message.SerializeToString()


class Site:
    def __init__(self, service: Service, data: Path) -> None:
        self.service, self.data = service, data
        self.keys: dict[str, str] = {}

    def make(self, tenant: str, role: Any) -> None:
        with closing(StateDb(self.data)) as state:
            self.keys[tenant] = KeyRing(state).create([tenant], role, name=tenant, actor="test")[1].reveal()
        self.service._authenticator.refresh()

    def call(self, path: str, key: str | None = None, *, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.service.http_url + path, data=data, method=method)  # noqa: S310 - our own address
        kind = "application/x-protobuf" if isinstance(body, bytes) else "application/json"
        request.add_header("Content-Type", kind)
        if key is not None:
            request.add_header("Authorization", f"Bearer {self.keys[key]}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def wait(self, key: str | None, what: Any) -> list[dict[str, Any]]:
        """Return the budgets once they are as wanted; the jobs of the service come to it within seconds."""
        until = time.monotonic() + 30
        while True:
            items: list[dict[str, Any]] = self.call("/api/v1/budgets", key)[1]["items"]
            if what(items):
                return items
            assert time.monotonic() < until, items
            time.sleep(0.05)  # between looks


@contextmanager
def serving(data: Path, **settings: Any) -> Iterator[Site]:
    whole = {"server": ServerConfig(port=0, grpc_port=0), "store": StoreConfig(data=data, threads=1), **settings}
    service = build_service(Settings(**whole))
    service.start()
    try:
        yield Site(service, data)
    finally:
        service.stop()


def test_a_budget_from_the_file_is_followed_shown_and_read_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budgets = {"all": {"amount": 10}, "each": {"amount": 4, "period": "day", "each": "tenant"}}
    with serving(tmp_path, budgets=budgets) as site:
        for number in (1, 2, 2):  # the last is a repetition
            site.call("/v1/traces", method="POST", body=spans("acme", number))
        items = site.wait(None, lambda rows: [row["calls"] for row in rows] == [2, 2])
        assert [(row["name"], row["tenant_id"], row["spent_usd"], row["state"]) for row in items] == [
            ("all", None, "5.000020000", "ok"),
            ("each", "acme", "5.000020000", "exceeded"),
        ]
        assert (items[0]["share"], items[0]["source"], items[0]["definition"]) == (0.500002, "config", {"amount": 10})
        assert site.call("/api/v1/budgets/all", method="PUT", body={"amount": 5})[0] == 409
        assert site.call("/api/v1/budgets/all", method="DELETE")[0] == 409
        assert main(["budgets", "list", "--url", site.service.http_url]) == 0
        shown = capsys.readouterr().out
        assert "5.00" in shown
        assert "exceeded" in shown
        assert main(["budgets", "list", "--json", "--url", site.service.http_url]) == 0
        assert json.loads(capsys.readouterr().out)[0]["spent_usd"] == "5.000020000"
        sql = urllib.parse.quote("SELECT budget, kind, threshold, late FROM budget_events ORDER BY budget, threshold")
        events = _until(site, sql, 4)
        assert events == [
            {"budget": "all", "kind": "actual", "threshold": 0.5, "late": False},
            *({"budget": "each", "kind": "actual", "threshold": part, "late": False} for part in (0.5, 0.8, 1.0)),
        ]
    with serving(tmp_path) as site:  # no longer in the file
        assert site.call("/api/v1/budgets")[1]["items"] == []


def _until(site: Site, sql: str, count: int) -> list[dict[str, Any]]:
    until = time.monotonic() + 30
    while True:
        rows: list[dict[str, Any]] = site.call(f"/api/v1/query?sql={sql}")[1]["items"]
        if len(rows) == count:
            return rows
        assert time.monotonic() < until, rows
        time.sleep(0.05)  # between looks


def test_a_tenant_makes_sees_and_changes_its_own_budgets_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        for number, tenant in enumerate(("acme", "zeta"), 1):
            site.call("/v1/traces", method="POST", body=spans(tenant, number))
        site.make("*", "admin")
        site.make("acme", "sre")
        site.make("zeta", "product")
        assert site.call("/api/v1/budgets/b", "acme", method="PUT", body={"amount": 9, "period": "day"})[0] == 200
        assert site.call("/api/v1/budgets/b", "*", method="PUT", body={"amount": 5})[0] == 200
        assert site.call("/api/v1/budgets/z?owner=zeta", "*", method="PUT", body={"amount": 7})[0] == 200
        assert site.call("/api/v1/budgets/b?owner=zeta", "acme", method="PUT", body={"amount": 5})[0] == 403
        assert site.call("/api/v1/budgets/b", "zeta", method="PUT", body={"amount": 5})[0] == 403
        status, problem = site.call("/api/v1/budgets/c", "acme", method="PUT", body={"amount": 5, "tenant": "zeta"})
        assert (status, "no other" in problem["detail"]) == (422, True)
        whose = {key: [row["owner"] for row in site.wait(key, len)] for key in ("acme", "zeta", "*")}
        assert whose == {"acme": ["acme"], "zeta": ["zeta"], "*": ["", "acme", "zeta"]}
        assert site.call("/api/v1/budgets/z", "acme", method="DELETE")[0] == 404
        assert site.call("/api/v1/budgets/b", "acme", method="DELETE")[0] == 200
        actions = [row["action"] for row in site.call("/api/v1/audit", "*")[1]["items"]]
        assert actions[:2] == ["budget.delete", "budget.delete"]
        assert actions.count("budget.put") == 3
        assert [row["owner"] for row in site.call("/api/v1/budgets", "*")[1]["items"]] == ["", "zeta"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"amount": 0}, "amount: 0 is no amount"),
        ({"amount": 5, "model": "gpt-4p"}, "did you mean 'gpt-4'"),
        ({"amount": 5, "provider": "opnai"}, "did you mean 'openai'"),
        ({"amount": 5, "tenant": "acne"}, "did you mean 'acme'"),
        ({"amount": 5, "provider": "anthropic", "model": "gpt-4o"}, "anthropic has no model gpt-4o"),
        ({"amount": 5, "threshold": [1]}, "no such setting; did you mean 'thresholds'?"),
    ],
)
def test_what_could_never_match_is_refused_with_the_reason(busy: Site, body: dict[str, Any], why: str) -> None:
    status, problem = busy.call("/api/v1/budgets/x", method="PUT", body=body)
    assert (status, why in problem["detail"]) == (422, True), problem
    assert busy.call("/api/v1/budgets/x", method="PUT", body={**body, "allow_unseen": True})[0] in (200, 422)
    busy.call("/api/v1/budgets/x", method="DELETE")


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("busy")) as site:
        site.call("/v1/traces", method="POST", body=spans("acme", 1))
        site.service.writer.wait_until_stored()
        yield site


def test_a_file_that_cannot_be_meant_stops_the_start_and_leaves_nothing_open(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        site.call("/v1/traces", method="POST", body=spans("acme", 1))
    for budgets in ({"all": {"amount": -1}}, {"all": {"amount": 1, "tenant": "acne"}}):
        with pytest.raises(SettingsError, match=r"budgets\.all\."), serving(tmp_path, budgets=budgets):
            pass
    with serving(tmp_path):
        pass


def some_calls(generator: random.Random, count: int) -> list[Call]:
    found = []
    for _ in range(count):
        start = T0 - int(generator.random() ** 2 * 72 * HOUR)
        cost = None if generator.random() < 0.1 else f"{generator.random() * 3:.9f}"
        call = a_call(
            generator.randrange(80),
            cost=cost,
            billable=generator.random() < 0.9,
            owner=generator.choice(["acme", "zeta"]),
            start_ns=start,
            end_ns=start + SECOND,
            request_model=generator.choice(["gpt-5", "gpt-5-mini"]),
        )
        found.append(replace(call, facts=replace(call.facts, tenant_id=call.facts.owner)))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_ledger_equals_the_sum_over_the_calls_of_duckdb(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311 - a test
    now = T0 + HOUR
    bodies: dict[str, dict[str, Any]] = {
        "all": {"amount": 100},
        "mini": {"amount": 50, "model": "gpt-5-mini", "period": "day", "timezone": "Asia/Kathmandu"},
        "each": {"amount": 30, "each": "tenant", "period": "week"},
        "ever": {"amount": 30, "period": "total", "tenant": "acme"},
    }
    budgets = {name: parse_budget(name, body) for name, body in bodies.items()}
    with (
        closing(DuckDBStore(tmp_path / "s.duckdb", DatabaseConfig(threads=1))) as store,
        closing(StateDb(tmp_path)) as state,
    ):
        told: list[Finding] = []

        def settle() -> None:
            ledger = BudgetLedger(state, store, _teller(told), clock=lambda: now)  # a restart each time
            while ledger.step():
                pass

        for budget in budgets.values():
            Definitions(state).put(budget, "rest", now)
        for _ in range(6):
            calls = some_calls(generator, 25)
            store.append(Batch(calls=calls))
            store.append(Batch(calls=calls[::3]))
            settle()
            assert ledger_of(state) == sums_over_calls(store, budgets)
        tables = Tables(state)
        assert len({event[:5] for _, event in tables.events(0, 10_000)}) == len(tables.events(0, 10_000))
        for name in budgets:
            Definitions(state).delete("", name, "rest")
        before = sums_over_calls(store, budgets)
        for budget in budgets.values():
            Definitions(state).put(budget, "rest", now)
        settle()
        assert ledger_of(state) == before


def _teller(told: list[Finding]) -> Any:
    def tell(findings: Sequence[Finding]) -> None:
        told.extend(findings)

    return tell


def ledger_of(state: StateDb) -> dict[tuple[str, str, str], tuple[Decimal, int]]:
    tables = Tables(state)
    return {
        (name, tenant, row.label): (amount_of(row.spend.nano), row.spend.unpriced)
        for number, _, name, tenant in tables.instances()
        for row in tables.periods(number)
        if row.spend.calls
    }


def sums_over_calls(store: DuckDBStore, budgets: dict[str, Any]) -> dict[tuple[str, str, str], tuple[Decimal, int]]:
    found: dict[tuple[str, str, str], tuple[Decimal, int]] = {}
    for row in store.calls(CallsQuery(limit=5_000)).to_pylist():
        start = int(row["time"].timestamp() * 1e6) * 1000
        for name, budget in budgets.items():
            values = {"model": row["model"], "tenant": row["tenant_id"]}
            if row["billable"] and all(values[key] in wanted for key, wanted in budget.scope.items()):
                tenant = row["tenant_id"] if budget.each_tenant else ""
                key = (name, tenant, budget.cycle.at(start).label)
                spent, unpriced = found.get(key, (Decimal("0E-9"), 0))
                none = row["cost_usd"] is None and row["status"] == "ok"
                found[key] = (spent + (row["cost_usd"] or 0), unpriced + none)
    return found
