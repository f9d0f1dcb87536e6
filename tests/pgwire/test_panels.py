"""Every panel, variable and annotation, expanded as Grafana expands it, against a running service.

A generated day is sent over OTLP three times, in the attribute names of three generations of the conventions; the views
that other parts of the service fill (budgets, alerts...) get a few rows of every tenant.
"""

import json
import math
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanledger_analytics import schema
from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.panels import PanelSpec, Value, auto_interval, expand
from spanledger_dashboards.provision._rules import RULES, RuleSpec
from spanledger_ingest.store import DuckDBStore
from spanledger_ingest.traffic import DEFAULT_END_NS, build_world, generate

Site = Any
"""The class of the same name in ``conftest``, which test modules cannot import."""

DAY_NS = 86_400 * 10**9
FROM_NS, TO_NS = DEFAULT_END_NS - DAY_NS, DEFAULT_END_NS
PANELS = {panel.id: panel for board in BOARDS for panel in board.panels}
OTHERS = {f"variable {variable.name}": variable.sql for variable in BOARDS[0].variables} | {
    f"annotation {annotation.name}": annotation.sql for annotation in BOARDS[0].annotations
}
RENAMED: dict[str, dict[str, str]] = {
    # Up to 1.36: the provider is a system, tokens have their first names, classes those of the first instrumentors.
    "G0": {
        "gen_ai.provider.name": "gen_ai.system",
        "gen_ai.usage.input_tokens": "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.output_tokens": "gen_ai.usage.completion_tokens",
        "gen_ai.usage.cache_read.input_tokens": "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_write.input_tokens": "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.reasoning.output_tokens": "gen_ai.usage.reasoning_tokens",
    },
    # 1.37 to 1.41.
    "G1": {"gen_ai.usage.cache_write.input_tokens": "gen_ai.usage.cache_creation.input_tokens"},
    # The conventions of their own, as the generator writes them.
    "G2": {},
}


_ABOUT_NAMES = ("pipeline-by-dialect", "pipeline-sources")
"""Panels that show which generation of names a source writes; their sums must not depend on it."""


@dataclass(frozen=True)
class Answer:
    columns: list[str]
    rows: list[tuple[Any, ...]]


@dataclass
class Day:
    """A service that holds the day, and the tenants of it, the busiest first."""

    site: Site
    tenants: list[str]
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    connections: dict[str, Any] = field(default_factory=dict)

    def ask(
        self,
        sql: str,
        user: str = "all",
        chosen: Mapping[str, Value] | None = None,
        *,
        timescaledb: bool = True,
        points: int = 60,
    ) -> Answer:
        """Send a text as Grafana does: by the simple protocol."""
        interval = auto_interval(FROM_NS, TO_NS, points)
        text = expand(sql, from_ns=FROM_NS, to_ns=TO_NS, interval=interval, variables=chosen, timescaledb=timescaledb)
        if (user, text) not in self.answers:
            if user not in self.connections:
                self.connections[user] = self.site.connect(user)
            cursor = self.connections[user].execute(text)
            rows = [tuple(map(_plain, row)) for row in cursor.fetchall()]
            self.answers[user, text] = Answer([column.name for column in cursor.description], rows)
        return self.answers[user, text]

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
        self.site.service.stop()


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


@cache
def _requests() -> list[ExportTraceServiceRequest]:
    """One day; a few of its calls ask for a model without a price, and a few end at a filter."""
    world = build_world(5, end_ns=DEFAULT_END_NS, days=1, tenants=4, calls_per_day=900)
    made = [ExportTraceServiceRequest.FromString(body) for hour in generate(world) for body in hour.bodies]
    for number, span in enumerate(_calls(made)):
        for attribute in span.attributes:
            if number % 40 == 7 and attribute.key in ("gen_ai.request.model", "gen_ai.response.model"):
                attribute.value.string_value = "house-model-1"
            if number % 40 == 9 and attribute.key == "gen_ai.response.finish_reasons":
                attribute.value.array_value.values[0].string_value = "content_filter"
    return made


def _spans(requests: Sequence[ExportTraceServiceRequest]) -> Iterator[Span]:
    for request in requests:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


def _calls(requests: Sequence[ExportTraceServiceRequest]) -> Iterator[Span]:
    return (span for span in _spans(requests) if any(one.key == "gen_ai.request.model" for one in span.attributes))


def _text(span: Span, key: str) -> str:
    return next((one.value.string_value for one in span.attributes if one.key == key), "")


def _bodies(generation: str) -> Iterator[bytes]:
    for request in _requests():
        copy = ExportTraceServiceRequest()
        copy.CopyFrom(request)
        for span in _spans([copy]):
            _rename(span, generation)
        yield copy.SerializeToString()


def _rename(span: Span, generation: str) -> None:
    for attribute in span.attributes:
        attribute.key = RENAMED[generation].get(attribute.key, attribute.key)
    if generation == "G0":
        _tell_the_first_token_by_an_event(span)


def _tell_the_first_token_by_an_event(span: Span) -> None:
    kept = [one for one in span.attributes if not one.key.endswith((".time_to_first_chunk", "gen_ai.request.stream"))]
    wait = next((one.value.double_value for one in span.attributes if one.key.endswith("first_chunk")), None)
    del span.attributes[:]
    span.attributes.extend(kept)
    if wait is not None:
        span.events.add(
            name="gen_ai.content.completion.chunk", time_unix_nano=span.start_time_unix_nano + int(wait * 1e9)
        )


def _fill(data: Path) -> None:
    """Write what other parts of the service will write, for every tenant of the day."""
    calls = list(_calls(_requests()))
    tenants = sorted({_text(span, "tenant.id") for span in calls})
    with closing(DuckDBStore(data / "spanledger.duckdb")) as store:
        for table, row in _DERIVED.items():
            rows = [{"owner": tenant, "tenant_id": tenant, **row(tenant)} for tenant in tenants]
            store.put_rows(table, pa.Table.from_pylist(rows, schema=table.arrow), key=("owner", "tenant_id"))
        judged = pa.Table.from_pylist([_score(span) for span in calls[::3]], schema=schema.SCORES.arrow)
        store.put_rows(schema.SCORES, judged, key=("trace_id", "span_id"))


def _at(hours: float) -> datetime:
    return datetime.fromtimestamp(TO_NS / 1e9, UTC) - timedelta(hours=hours)


def _score(span: Span) -> dict[str, Any]:
    bad = span.start_time_unix_nano % 7 < 2
    tenant = _text(span, "tenant.id")
    return {
        "owner": tenant, "tenant_id": tenant, "trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(),
        "start_ns": span.start_time_unix_nano, "model": _text(span, "gen_ai.request.model"),
        "time": datetime.fromtimestamp(span.start_time_unix_nano / 1e9, UTC),
        "use_case": _text(span, "spanledger.use_case"), "name": "pii_risk" if bad else "groundedness",
        "value": 0.9, "label": "fail" if bad else "pass", "scorer_version": "test",
    }  # fmt: skip


_DERIVED: Mapping[schema.Table, Callable[[str], dict[str, Any]]] = {
    schema.BUDGETS: lambda tenant: {
        "name": f"{tenant} month", "period": "month", "period_start": _at(700), "period_end": _at(-20),
        "limit_usd": Decimal(50), "spent_usd": Decimal(30), "forecast_usd": Decimal(60), "state": "warning",
        "dimensions": "{}",
    },
    schema.BUDGET_EVENTS: lambda tenant: {
        "time": _at(3), "budget": f"{tenant} month", "kind": "actual", "threshold": 0.5, "spent_usd": Decimal(25),
        "limit_usd": Decimal(50), "detail": "half is spent",
    },
    schema.ALERTS: lambda tenant: {
        "id": f"alert of {tenant}", "rule": "errors", "severity": "critical", "state": "firing", "started": _at(5),
        "labels": "{}", "summary": "many errors", "value": 0.3, "threshold": 0.1, "impact_usd": Decimal(2),
    },
    schema.DELIVERIES: lambda tenant: {
        "id": f"delivery of {tenant}", "alert_id": f"alert of {tenant}", "endpoint": "pager", "time": _at(4),
        "attempt": 1, "ok": False, "http_status": 503, "detail": "busy",
    },
    schema.ANOMALIES: lambda tenant: {
        "id": f"anomaly of {tenant}", "kind": "level", "metric": "cost", "dimensions": "{}", "started": _at(6),
        "severity": "warning", "impact_usd": Decimal(3), "expected": 1.0, "observed": 4.0, "cause": "a prompt grew",
    },
    schema.REJECTIONS: lambda tenant: {
        "start_ns": TO_NS - 2 * 3600 * 10**9, "time": _at(2), "signal": "traces", "reason": f"no trace id, {tenant}",
        "service_name": "assistant", "size": 100, "count": 2,
    },
}  # fmt: skip


def _send(site: Site, key: str, bodies: Iterator[bytes]) -> None:
    url = f"http://{site.address('http')}/v1/traces"
    for body in bodies:
        headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {key}"}
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30).close()


def _wait_until_stored(day: Day, calls: int) -> None:
    deadline = time.monotonic() + 60
    with day.site.connect("all") as connection:
        while connection.execute("SELECT count(*) FROM llm_calls").fetchone() != (calls,):
            assert time.monotonic() < deadline, "the day is not stored"


@pytest.fixture(scope="module")
def days(open_site: Callable[..., Site]) -> Iterator[Callable[[str], Day]]:
    opened: dict[str, Day] = {}

    def day(generation: str) -> Day:
        if generation not in opened:
            opened[generation] = _open(open_site, generation)
        return opened[generation]

    yield day
    for one in opened.values():
        one.close()


def _open(open_site: Callable[..., Site], generation: str) -> Day:
    site = open_site(keys=False, jobs=False, fill=_fill)
    calls = list(_calls(_requests()))
    names = [_text(span, "tenant.id") for span in calls]
    tenants = sorted(set(names), key=lambda name: (-names.count(name), name))
    gateway = site.make("gateway", "*", "gateway")
    site.make("all", "*", "product")
    for tenant in tenants:
        site.make(tenant, tenant, "product")
    site.follow()
    _send(site, gateway, _bodies(generation))
    day = Day(site, tenants)
    _wait_until_stored(day, len(calls))
    return day


@pytest.fixture(scope="module")
def day(days: Callable[[str], Day]) -> Day:
    return days("G2")


def _differences(one: Answer, other: Answer, name: str) -> list[str]:
    if one.columns != other.columns or len(one.rows) != len(other.rows):
        return [f"{name}: {one.columns} x {len(one.rows)} and {other.columns} x {len(other.rows)}"]
    return [f"{name}: {a} and {b}" for a, b in zip(one.rows, other.rows, strict=True) if not all(map(_same, a, b))][:3]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)


def _says_something(answer: Answer) -> bool:
    values = [value for row in answer.rows for name, value in zip(answer.columns, row, strict=True) if name != "time"]
    return any(value is not None for value in values)


def test_every_panel_has_an_answer(day: Day) -> None:
    silent = [name for name, panel in PANELS.items() if not _says_something(day.ask(panel.sql, points=panel.points))]
    assert silent == []
    empty = [name for name, sql in OTHERS.items() if not day.ask(sql).rows]
    assert empty in ([], ["annotation New models"])


def test_without_budgets_alerts_and_scores_only_those_panels_are_empty_that_say_so(
    open_site: Callable[..., Site], days: Callable[[str], Day]
) -> None:
    def nothing(data: Path) -> None:
        DuckDBStore(data / "spanledger.duckdb").close()

    site = open_site(keys=False, jobs=False, fill=nothing)
    fresh = Day(site, days("G2").tenants)
    try:
        gateway = site.make("gateway", "*", "gateway")
        site.make("all", "*", "product")
        site.follow()
        _send(site, gateway, _bodies("G2"))
        _wait_until_stored(fresh, len(list(_calls(_requests()))))
        empty = {name for name, panel in PANELS.items() if not _says_something(fresh.ask(panel.sql))}
        assert empty <= {name for name, panel in PANELS.items() if panel.fills_when}
    finally:
        fresh.close()


@pytest.mark.parametrize("board", BOARDS, ids=[board.id for board in BOARDS])
def test_answers_have_the_shape_that_their_kind_of_panel_needs(day: Day, board: Any) -> None:
    for panel in board.panels:
        answer = day.ask(panel.sql, points=panel.points)
        _SHAPES[panel.viz](panel, answer)


def _check_stat(panel: PanelSpec, answer: Answer) -> None:
    assert answer.columns == ["time", "value"]
    assert len(answer.rows) == 1 + panel.compares, panel.id


def _check_chart(panel: PanelSpec, answer: Answer) -> None:
    times = [row[0] for row in answer.rows]
    assert answer.columns[0] == "time"
    assert all(isinstance(at, datetime) for at in times)
    assert all(a <= b for a, b in pairwise(times)), panel.id
    if "metric" in answer.columns:
        assert answer.columns == ["time", "metric", "value"]
        assert all(isinstance(row[1], str) for row in answer.rows)
        assert len({row[1] for row in answer.rows}) <= 12
        assert len({row[:2] for row in answer.rows}) == len(answer.rows), "one value for each series and step"
    else:
        assert len(set(times)) == len(times)
        assert {one.name for one in panel.fields} <= set(answer.columns), panel.id
        assert all(isinstance(value, int | float | None) for row in answer.rows for value in row[1:])


def _check_table(panel: PanelSpec, answer: Answer) -> None:
    described = {one.name: one for one in panel.fields}
    assert list(described) == answer.columns, panel.id
    assert len({one.label for one in panel.fields}) == len(panel.fields)
    for place, name in enumerate(answer.columns):
        values = [row[place] for row in answer.rows if row[place] is not None]
        if values and not isinstance(values[0], str):
            assert described[name].unit is not None, f"{panel.id}: {name} has no unit"


def _check_bars(panel: PanelSpec, answer: Answer) -> None:
    assert answer.columns == ["label", "value"], panel.id


def _check_heatmap(panel: PanelSpec, answer: Answer) -> None:
    edges = [float(name) for name in answer.columns[1:]]
    assert edges == sorted(edges), panel.id
    _check_chart(panel, answer)


_SHAPES: Mapping[str, Callable[[PanelSpec, Answer], None]] = {
    "stat": _check_stat,
    "timeseries": _check_chart,
    "bars": _check_chart,
    "state": _check_chart,
    "heatmap": _check_heatmap,
    "table": _check_table,
    "bargauge": _check_bars,
}


def test_the_figures_are_those_of_the_rest_interface(day: Day) -> None:
    first, last = (datetime.fromtimestamp(at / 1e9, UTC).isoformat().replace("+00:00", "Z") for at in (FROM_NS, TO_NS))
    url = f"http://{day.site.address('http')}/api/v1/usage?from={first}&to={last}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {day.site.keys['all']}"})
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own service
        usage = json.loads(response.read())["items"][0]

    def now(name: str) -> float:
        return float(day.ask(PANELS[name].sql).rows[-1][1])

    assert now("overview-calls") == usage["calls"]
    assert now("overview-cost") == pytest.approx(float(usage["cost_usd"]))
    assert now("overview-errors") * usage["calls"] == pytest.approx(usage["errors"])
    assert now("overview-p95") == pytest.approx(usage["p95_duration_ms"])
    assert now("overview-ttft") == pytest.approx(usage["p95_ttft_ms"])
    assert usage["unpriced_calls"] > 0
    answered = usage["calls"] - usage["errors"]
    assert now("overview-unpriced") == pytest.approx(usage["unpriced_calls"] / answered)
    spent = sum(row[2] for row in day.ask(PANELS["cost-by-model"].sql).rows if row[1] != "unpriced share" and row[2])
    assert spent == pytest.approx(float(usage["cost_usd"]))


def test_both_settings_of_the_data_source_give_the_same_numbers(day: Day) -> None:
    found = []
    for name, panel in PANELS.items():
        plain = day.ask(panel.sql, timescaledb=False)
        rows = [tuple(_moment(v) if at == 0 else v for at, v in enumerate(row)) for row in plain.rows]
        found += _differences(day.ask(panel.sql), Answer(plain.columns, rows), name)
    assert found == []


def _moment(value: Any) -> Any:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, float) else value


def test_a_tenant_sees_its_own_rows_as_an_operator_sees_them_who_chose_it(day: Day) -> None:
    for tenant in day.tenants[:2]:
        found = []
        for name, sql in [*((name, panel.sql) for name, panel in PANELS.items()), *OTHERS.items()]:
            if name.startswith("variable "):
                continue
            own = day.ask(sql, tenant)
            found += _differences(day.ask(sql, chosen={"tenant": [tenant]}), own, name)
            shown = repr(own)
            found += [f"{name} shows {other}" for other in day.tenants if other != tenant and other in shown]
        assert found == []
        assert day.ask(OTHERS["variable tenant"], tenant).rows == [(tenant,)]


@pytest.mark.parametrize("spec", RULES, ids=[spec.id for spec in RULES])
def test_alert_rules_answer_one_value_for_each_thing(day: Day, spec: RuleSpec) -> None:
    everybody, own = day.ask(spec.sql), day.ask(spec.sql, day.tenants[0])
    assert everybody.columns[-1] == "value"
    for row in [*everybody.rows, *own.rows]:
        assert all(isinstance(label, str) for label in row[:-1])
        assert 0 <= float(row[-1]) < 100
    assert len({row[:-1] for row in everybody.rows}) == len(everybody.rows) > 0
    assert not [other for other in day.tenants[1:] if other in repr(own)]


def test_choices_narrow_and_hostile_ones_find_nothing(day: Day) -> None:
    hostile: dict[str, Value] = {"tenant": ["x' OR '1'='1", "y"], "model": ["a''b", "ü\\"], "use_case": ["--", ";"]}
    models = [row[0] for row in day.ask(OTHERS["variable model"]).rows]
    providers = [row[0] for row in day.ask(OTHERS["variable provider"]).rows]
    for name, panel in PANELS.items():
        nothing = day.ask(panel.sql, chosen=hostile)
        counts = [row[0] for row in nothing.rows if panel.viz in ("table", "bars", "timeseries", "bargauge")]
        assert name == "compliance-readiness" or counts == [], name
        day.ask(panel.sql, chosen={"model": models[:2], "provider": providers, "use_case": "(none)", "service": ["x"]})
    calls = PANELS["overview-calls"].sql
    parts = [day.ask(calls, chosen={"model": [model]}).rows[1][1] for model in models]
    assert sum(parts) == day.ask(calls).rows[1][1] == day.ask(calls, chosen={"model": models}).rows[1][1]


@pytest.mark.parametrize("generation", ["G0", "G1"])
def test_the_generation_of_the_conventions_does_not_matter(days: Callable[[str], Day], generation: str) -> None:
    old, new = days(generation), days("G2")
    found = []
    for name, panel in PANELS.items():
        if name not in _ABOUT_NAMES:
            found += _differences(new.ask(panel.sql), old.ask(panel.sql), name)
    assert found == []
    for name in _ABOUT_NAMES:
        counted, before = (sum(_numbers(one.ask(PANELS[name].sql))) for one in (new, old))
        assert counted == before


def _numbers(answer: Answer) -> Iterator[int]:
    place = answer.columns.index("value" if "value" in answer.columns else "spans")
    return (row[place] for row in answer.rows)
