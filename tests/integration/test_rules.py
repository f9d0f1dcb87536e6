import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spanledger_alerts.engine import Policy, Routes
from spanledger_alerts.errors import RuleError
from spanledger_alerts.records import Finding
from spanledger_alerts.replay import replay
from spanledger_alerts.rules import (
    DAY,
    HOUR,
    MINUTE,
    BurnRateRule,
    EventRule,
    HealthRule,
    MetricRule,
    Reading,
    SilenceRule,
    build_rules,
    evaluate,
)
from spanledger_analytics import schema
from spanledger_analytics.queries import Window
from spanledger_analytics.rule_metrics import RULE_DIMENSIONS, RULE_METRICS, MetricQuery
from spanledger_ingest.alerting import RuleRunner, StoredData, configured
from spanledger_ingest.settings import Settings, SettingsError
from spanledger_ingest.store import DuckDBStore
from spanledger_ingest.traffic import DEFAULT_END_NS, build_world, calls

END = DEFAULT_END_NS
STEP = MINUTE if os.environ.get("SPANLEDGER_FULL") else 30 * MINUTE


def _stored(directory: Path, **world: Any) -> DuckDBStore:
    store = DuckDBStore(directory / "spanledger.duckdb")
    store.put_rows(schema.LLM_CALLS, calls(build_world(**world)), ("owner", "start_ns", "trace_id", "span_id"))
    return store


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    store = _stored(tmp_path_factory.mktemp("clean"), seed=11, days=9, incidents="none", calls_per_day=5_000)
    yield store
    store.close()


@pytest.mark.slow
def test_seven_days_of_traffic_in_order_raise_no_alarm(clean: DuckDBStore) -> None:
    found = configured(Settings())
    data = StoredData(clean)
    fired = []
    for rule in found.rules:
        if not isinstance(rule, EventRule | HealthRule):
            *_, last = replay(rule, data, found.policy, (END - 7 * DAY, END), step_ns=STEP)
            fired += [alert.finding.summary for alert in last.alerts]
    assert fired == []


def test_every_metric_is_computed_by_every_dimension(clean: DuckDBStore) -> None:
    for name, metric in RULE_METRICS.items():
        query = MetricQuery(metric=name, windows=(Window(END - HOUR, END),), by=RULE_DIMENSIONS[metric.source])
        rows = clean.rule_metric(query)
        assert rows.schema.names[-2:] == ["value", "volume"]
        if metric.source == "calls":
            assert rows.num_rows


def test_windows_that_follow_each_other_are_read_as_each_by_itself(clean: DuckDBStore) -> None:
    windows = tuple(Window(END - place * HOUR, END - (place - 1) * HOUR) for place in (5, 4, 3, 2, 1))
    for metric in ("error_rate", "duration_p95", "cost_usd"):
        query = MetricQuery(metric=metric, windows=windows, by=("tenant", "model"), limit=3)
        each = [clean.rule_metric(replace(query, windows=(window,))).to_pylist() for window in windows]
        wanted = [row | {"place": place} for place, rows in enumerate(each) for row in rows]
        found = clean.rule_metric(query).to_pylist()
        assert sorted(found, key=str) == sorted(wanted, key=str)


def test_a_replay_of_burn_rates_reads_little_and_finds_what_each_moment_would(clean: DuckDBStore) -> None:
    rule = BurnRateRule(name="burning", objective=0.995, min_volume=20, min_bad=1, by=("tenant", "model"))
    data, read = StoredData(clean), 0
    moments = range(END - DAY // 2 + 17, END, 30 * MINUTE)

    class Counted(StoredData):
        def rule_metric(self, query: MetricQuery) -> Any:
            nonlocal read
            read += sum(window.to_ns - window.from_ns for window in query.windows)
            return super().rule_metric(query)

    spans: dict[tuple[str, ...], list[int]] = {}
    began: list[tuple[int, tuple[str, ...]]] = []
    for place, moment in enumerate(moments):
        for finding in evaluate(rule, data, [moment])[0]:
            key = tuple(finding.labels.values())
            if finding.active and place - 1 not in spans.get(key, []):
                began.append((moment, key))
            if finding.active:
                spans.setdefault(key, []).append(place)
    policy = Policy(rules={rule.name: rule}, routes=Routes())
    window = (moments.start, moments.stop)
    *_, last = replay(rule, Counted(clean), policy, window, step_ns=moments.step)
    assert sorted((alert.since, tuple(alert.finding.labels.values())) for alert in last.alerts) == sorted(began)
    assert began
    assert read < 4 * DAY


def test_metrics_are_what_they_say(clean: DuckDBStore) -> None:
    window = Window(END - 6 * HOUR, END)
    rows = [
        row
        for row in calls(build_world(seed=11, days=9, incidents="none", calls_per_day=5_000), 9 * 24 - 6).to_pylist()
        if row["billable"] and window.from_ns <= row["start_ns"] < window.to_ns
    ]

    def value(metric: str, **options: Any) -> Any:
        (row,) = clean.rule_metric(MetricQuery(metric=metric, windows=(window,), **options)).to_pylist()
        return row["value"]

    errors = sum(row["status"] == "error" for row in rows)
    answered = [row for row in rows if row["finish_reason"] not in (None, "error")]
    assert value("calls") == len(rows)
    assert value("error_rate") == pytest.approx(errors / len(rows))
    assert value("cost_usd") == pytest.approx(float(sum(row["cost_usd"] or 0 for row in rows)))
    assert value("input_tokens") == sum(row["input_tokens"] or 0 for row in rows)
    cut = sum(row["finish_reason"] == "length" for row in answered)
    assert value("truncation_share") == pytest.approx(cut / len(answered))
    slow = [row["duration_ms"] > 2_000 for row in rows if row["status"] == "ok"]
    assert value("slow_share", slow_ms=2_000.0) == pytest.approx(sum(slow) / len(slow))
    openai = sum(row["provider"] == "openai" for row in rows)
    assert value("calls", where={"provider": ("openai",)}) == openai


class Given:
    """Answers with rows that a test gives."""

    def __init__(self, rows: Callable[[Any], list[dict[str, Any]]], readings: list[Reading] | None = None) -> None:
        self._rows = rows
        self._readings = readings or []

    def rule_metric(self, query: Any) -> Any:
        return self._answer(query)

    def rule_silence(self, query: Any) -> Any:
        return self._answer(query)

    def rule_anomalies(self, query: Any) -> Any:
        return self._answer(query)

    def readings(self) -> list[Reading]:
        return self._readings

    def _answer(self, query: Any) -> Any:
        rows = self._rows(query)

        class Table:
            def to_pylist(self) -> list[dict[str, Any]]:
                return rows

        return Table()


def _one(
    rule: Any, rows: Callable[[Any], list[dict[str, Any]]], readings: list[Reading] | None = None
) -> list[Finding]:
    (found,) = evaluate(rule, Given(rows, readings), [END])
    return found


def test_a_tenant_may_have_other_numbers() -> None:
    table = {
        "metric": "error_rate",
        "threshold": 0.1,
        "min_volume": 10,
        "tenant": [
            {"name": "acme", "threshold": 0.9, "severity": "info"},
            {"name": "off", "enabled": False},
            {"name": "busy", "min_volume": 1_000},
        ],
    }
    (rule,) = build_rules({"r": table}, ())
    row = {"place": 0, "owner": "", "value": 0.5, "volume": 100}
    found = _one(rule, lambda _: [{**row, "tenant": name} for name in ("acme", "off", "busy", "other")])
    assert [(one.labels["tenant"], one.active, one.severity) for one in found] == [
        ("acme", False, "info"),
        ("other", True, "warning"),
    ]


@pytest.mark.parametrize(
    ("shares", "severity"),
    [
        ({HOUR: 0.8, 5 * MINUTE: 0.9}, "critical"),
        ({HOUR: 0.8, 5 * MINUTE: 0.0}, None),
        ({6 * HOUR: 0.4, 30 * MINUTE: 0.4, HOUR: 0.4, 5 * MINUTE: 0.4}, "critical"),
        ({3 * DAY: 0.06, 6 * HOUR: 0.06}, "warning"),
        ({3 * DAY: 0.04, 6 * HOUR: 0.9}, None),
    ],
)
def test_an_error_budget_burns_in_a_long_and_a_short_window(shares: dict[int, float], severity: str | None) -> None:
    rule = BurnRateRule(name="r", objective=0.95, by=("tenant",))

    def rows(query: MetricQuery) -> list[dict[str, Any]]:
        lengths = [window.to_ns - window.from_ns for window in query.windows]
        return [
            {"place": place, "owner": "", "tenant": "acme", "value": shares.get(length, 0.0), "volume": 1_000}
            for place, length in enumerate(lengths)
        ]

    (found,) = _one(rule, rows)
    assert (found.severity if found.active else None) == severity


def test_who_was_never_silent_so_long_is_missed() -> None:
    row = {"owner": "", "tenant": "acme", "service": "shop", "calls": 900, "known_s": 8 * 86_400.0}
    cases = [(7_200.0, 600.0), (7_200.0, 3_000.0), (1_800.0, 60.0)]
    found = _one(SilenceRule(name="r"), lambda _: [{**row, "silent_s": s, "longest_s": most} for s, most in cases])
    assert [one.active for one in found] == [True, False, False]
    assert (
        _one(SilenceRule(name="r"), lambda _: [{**row, "silent_s": 7_200.0, "longest_s": 1.0, "known_s": 86_400.0}])
        == []
    )


def test_scores_that_cover_few_calls_do_not_speak_for_all() -> None:
    rule = MetricRule(name="r", metric="score_mean", threshold=0.5, by=("tenant", "score"), min_coverage=0.5)

    def rows(query: MetricQuery) -> list[dict[str, Any]]:
        scored = {"place": 0, "owner": "", "score": "s", "value": 0.9, "volume": 10}
        calls = {"a": 15, "b": 100}
        if query.metric == "calls":
            return [{"place": 0, "owner": "", "tenant": t, "value": n, "volume": n} for t, n in calls.items()]
        return [{**scored, "tenant": tenant} for tenant in calls]

    assert [one.labels["tenant"] for one in _one(rule, rows)] == ["a"]


def test_the_service_watches_itself() -> None:
    rule = HealthRule(name="r", reading="job_lag_seconds", threshold=10)
    readings = [Reading("job_lag_seconds", 20, {"job": "a"}), Reading("job_lag_seconds", 5, {"job": "b"})]
    found = _one(rule, lambda _: [], [*readings, Reading("other", 99)])
    assert [(one.labels["job"], one.active) for one in found] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"metric": "error_rte", "threshold": 1}, "no metric 'error_rte'"),
        ({"metric": "error_rate"}, "threshold is missing"),
        ({"metric": "error_rate", "threshold": "x"}, "'x' is not a number"),
        ({"metric": "error_rate", "threshold": 1, "by": ["colour"]}, "no dimension 'colour'"),
        ({"metric": "error_rate", "threshold": 1, "wndow": "5m"}, "did you mean 'window'"),
        ({"metric": "error_rate", "threshold": 1, "window": "5 min"}, "no duration"),
        ({"metric": "error_rate", "threshold": 1, "severity": "bad"}, "not one of info, warning, critical"),
        ({"metric": "error_rate", "threshold": 1, "tenant": [{"threshold": 2}]}, "is not text"),
        ({"kind": "burn_rate"}, "objective is missing"),
        ({"kind": "burn_rate", "objective": 1.5}, "up to, not including, 1"),
        ({"kind": "burn_rate", "objective": 0.9, "pairs": [{"factor": 1}]}, "write { factor = 14.4"),
        ({"kind": "tea"}, "not one of metric, burn_rate"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        build_rules({"r": table})
    with pytest.raises(SettingsError, match=r"rules\.r"):
        configured(Settings(rules={"r": table}))


def test_a_built_in_rule_can_be_changed_and_switched_off() -> None:
    rules = {rule.name: rule for rule in build_rules({"error_burst": {"for": "9m"}, "no_data": {"enabled": False}})}
    assert rules["error_burst"].for_ == 9 * MINUTE
    assert "no_data" not in rules
    with pytest.raises(RuleError, match="built-in rule of that name"):
        build_rules({"error_burst": {"kind": "burn_rate"}})


def test_a_rule_that_fails_stops_no_other_and_leaves_its_alerts() -> None:
    from spanledger_analytics.errors import StoreUnavailableError

    taken: list[str] = []

    class Engine:
        def __init__(self) -> None:
            self.dropped: dict[str, int] = {}

        def evaluated(self, name: str, _findings: list[Finding], _at_ns: int) -> None:
            taken.append(name)

    def rows(query: Any) -> list[dict[str, Any]]:
        if query.metric == "errors":
            raise StoreUnavailableError("busy")
        return []

    clock = [0.0]
    rules = build_rules({name: {"metric": name, "threshold": 1} for name in ("errors", "calls")}, ())
    runner = RuleRunner(Engine(), rules, Given(rows), wall=lambda: END, monotonic=lambda: clock[0])  # type: ignore[arg-type]
    for _ in range(70):
        clock[0] += 1
        while runner.step():
            pass
    stats = runner.stats()
    assert set(taken) == {"calls"}
    assert (stats["errors"].failing, stats["errors"].evaluations) == (
        stats["errors"].failures,
        stats["calls"].evaluations,
    )
    assert stats["calls"].evaluations == 3
    assert Reading("rule_failing", 3, {"failing_rule": "errors"}) in list(runner.readings())
