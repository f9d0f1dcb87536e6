"""Records become rows that can be stored, whatever is in them."""

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spanledger_analytics import rows, schema
from spanledger_analytics.facts_json import dump_facts, load_facts
from spanledger_analytics.memory import quantile_cont
from spanledger_analytics.records import CallFacts, LogRecord, MetricPoint, Rejection, Resource, Usage
from spanledger_analytics.testing import T0, a_call, a_span, any_facts, facts_of


@given(any_facts())
@example(facts_of(reported_cost_usd=Decimal("0E-9")))
@example(facts_of(usage=Usage(cache_write_1h=2**70)))
def test_facts_survive_the_trip_exactly(facts: CallFacts) -> None:
    text = dump_facts(facts)
    back = load_facts(text)
    assert back == facts
    assert str(back.reported_cost_usd) == str(facts.reported_cost_usd)
    assert text.encode()  # any string can be stored


def test_facts_of_a_newer_version_can_be_read() -> None:
    data = json.loads(dump_facts(facts_of()))
    data["colour"] = "blue"
    data["usage"]["thoughts"] = 3
    assert load_facts(json.dumps(data)) == facts_of()


_json_like: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=3),
)


@given(_json_like)
def test_any_attribute_value_becomes_json(value: Any) -> None:
    text = rows.to_json(value)
    json.loads(text)
    assert text.encode()


def test_deep_values_are_cut() -> None:
    value: Any = "bottom"
    for _ in range(5_000):
        value = [value]
    assert "nested too deep" in rows.to_json(value)


@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70))
def test_any_time_can_be_stored(start: int, end: int) -> None:
    row = _span(start_ns=start, end_ns=end)
    assert 0 <= row["start_ns"] < 2**63
    assert row["duration_ms"] >= 0


def _span(**changes: Any) -> dict[str, Any]:
    return _only(rows.table_of(schema.SPANS, [rows.span_row(a_span(1, **changes))]))


def _only(table: pa.Table) -> dict[str, Any]:
    (row,) = table.to_pylist()
    return dict(row)


@pytest.mark.parametrize(
    ("owner", "attributes", "resource", "tenant"),
    [
        ("acme", {"tenant.id": "x"}, {"tenant.id": "y"}, "acme"),
        ("", {"tenant.id": "x"}, {"tenant.id": "y"}, "x"),
        ("", {}, {"tenant.id": "y"}, "y"),
        ("", {}, {}, "unknown"),
        ("", {"tenant.id": 7}, {}, "7"),
    ],
)
def test_tenant_of_a_span(owner: str, attributes: Any, resource: Any, tenant: str) -> None:
    assert _span(owner=owner, attributes=attributes, resource=Resource(resource))["tenant_id"] == tenant


def test_call_row_has_every_fact_in_its_place() -> None:
    facts = facts_of(
        user_id="u",
        session_id="s",
        use_case="support",
        environment="prod",
        region="eu",
        prompt_name="greeting",
        prompt_version="v3",
        usage=Usage(input=1, output=2, cache_read=3, cache_write=4, reasoning=5),
        ttft_ns=1_500_000,
        error_type="timeout",
        http_status=504,
        dialect="official",
        scope_name="openai",
        service_tier="flex",
        parent_span_id="ab" * 8,
    )
    call = a_call(1, cost="1.0000000005")
    row = _only(rows.table_of(schema.LLM_CALLS, [rows.call_row(type(call)(
        facts=facts, own=facts, billable=True, billing_reason="only_span", cost_usd=call.cost_usd,
        cost_status="priced", price_id="p",
    ))]))  # fmt: skip
    expected = {
        "trace_id": f"{1:032x}", "span_id": f"{1:016x}", "parent_span_id": "ab" * 8, "tenant_id": "acme",
        "user_id": "u", "session_id": "s", "use_case": "support", "service_name": "shop", "environment": "prod",
        "region": "eu", "provider": "openai", "operation": "chat", "request_model": "gpt-5-mini",
        "response_model": "gpt-5-mini-2026-01-01", "response_id": "resp-1", "prompt_name": "greeting",
        "prompt_version": "v3", "input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3,
        "cache_write_tokens": 4, "reasoning_tokens": 5, "usage_source": "provider", "cost_usd": Decimal("1.000000000"),
        "cost_status": "priced", "price_id": "p", "finish_reason": "stop", "finish_reasons_raw": ["stop"],
        "stream": False, "ttft_ms": 1.5, "duration_ms": 1000.0, "status": "ok", "error_type": "timeout",
        "http_status": 504, "billable": True, "billing_reason": "only_span", "dialect": "official",
        "scope_name": "openai", "model": "gpt-5-mini", "service_tier": "flex",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert set(schema.LLM_CALLS.view.names) == expected.keys() | {"time"}


def test_log_and_metric_rows() -> None:
    log = LogRecord(time_ns=0, observed_ns=T0, body="hello", event_name="e", severity=9, attributes={"tenant.id": "t"})
    row = _only(rows.table_of(schema.LOGS, [rows.log_row(log)]))
    assert (row["start_ns"], row["tenant_id"], row["body"], row["event_name"]) == (T0, "t", '"hello"', "e")
    point = MetricPoint(name="n", kind="histogram", time_ns=T0, count=3, total=1.5, data={"bounds": [1]}, unit="ms")
    row = _only(rows.table_of(schema.METRICS, [rows.metric_row(point)]))
    assert (row["name"], row["unit"], row["count"], row["total"], row["data"]) == ("n", "ms", 3, 1.5, '{"bounds":[1]}')
    assert row["started"] is None


def test_equal_rejections_are_counted() -> None:
    letter = Rejection(owner="", signal="traces", reason="x", time_ns=T0)
    assert [row[-1] for row in rows.rejection_rows([letter, letter])] == [2]


def test_the_contract_names_these_views() -> None:
    names = {table.name for table in schema.TABLES}
    assert names >= {
        "llm_calls", "spans", "span_content", "scores", "anomalies", "budgets", "budget_events", "alerts", "deliveries",
    }  # fmt: skip
    assert set(schema.SCORES.view.names) >= {
        "time", "trace_id", "span_id", "tenant_id", "model", "use_case", "name", "value", "label", "explanation",
        "scorer_version",
    }  # fmt: skip
    assert set(schema.ANOMALIES.view.names) >= {
        "id", "tenant_id", "kind", "metric", "dimensions", "started", "ended", "severity", "impact_usd", "expected",
        "observed", "cause",
    }  # fmt: skip


@pytest.mark.parametrize(("share", "value"), [(0.5, 25.0), (0.0, 10.0), (1.0, 40.0), (0.95, 38.5)])
def test_quantiles_interpolate(share: float, value: float) -> None:
    assert quantile_cont([40.0, 10.0, 30.0, 20.0], share) == pytest.approx(value)
    assert quantile_cont([], share) is None
