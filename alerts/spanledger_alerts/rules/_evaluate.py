"""From a rule and what a store answers to findings, for one moment or many."""

import json
import operator
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from spanledger_alerts.records import Finding, Severity
from spanledger_alerts.rules import _texts
from spanledger_alerts.rules._burn import evaluate_burn
from spanledger_alerts.rules._data import RuleData
from spanledger_alerts.rules._model import (
    SEVERITIES,
    AnomalyRule,
    AnyRule,
    BurnRateRule,
    Comparison,
    HealthRule,
    MetricRule,
    SilenceRule,
    TenantOverride,
)
from spanledger_alerts.rules._rows import Key, labels_of, windows_before
from spanledger_analytics.queries import Window
from spanledger_analytics.rule_metrics import RULE_DIMENSIONS, RULE_METRICS, AnomalyQuery, MetricQuery, SilenceQuery

_COMPARE: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_ROWS_PER_ALERT: Final = 10
"""Groups that are looked at for each alert that a rule may have."""

Findings: TypeAlias = list[list[Finding]]


def evaluate(rule: AnyRule, data: RuleData, moments: Sequence[int]) -> Findings:
    """Return what a rule finds at each moment (ns), one finding for each set of labels that there are data about.

    Raises:
        AnalyticsError: the store cannot answer now.
    """
    found = _found(rule, data, moments)
    if rule.missing == "alert":
        found = [one or [_nothing(rule, moment)] for one, moment in zip(found, moments, strict=True)]
    return found


def _nothing(rule: AnyRule, at_ns: int) -> Finding:
    said = "there are no data to judge by"
    return Finding(rule=rule.name, owner="", labels={}, active=True, at_ns=at_ns, severity=rule.severity, summary=said)


def _found(rule: AnyRule, data: RuleData, moments: Sequence[int]) -> Findings:
    if isinstance(rule, MetricRule):
        return _metric(rule, data, moments)
    if isinstance(rule, BurnRateRule):
        return evaluate_burn(rule, data, moments, limit=group_limit(rule))
    if isinstance(rule, AnomalyRule):
        return [_anomalies(rule, data, moment) for moment in moments]
    if isinstance(rule, SilenceRule):
        return [_silence(rule, data, moment) for moment in moments]
    if isinstance(rule, HealthRule):
        return [_health(rule, data, moment) for moment in moments]
    return [[] for _ in moments]


def group_limit(rule: AnyRule) -> int:
    """Return how many groups a query of the rule may return."""
    return min(max(_ROWS_PER_ALERT * rule.max_alerts, 100), 10_000)


def _metric(rule: MetricRule, data: RuleData, moments: Sequence[int]) -> Findings:
    query = MetricQuery(
        metric=rule.metric,
        windows=windows_before(moments, (rule.window,)),
        by=rule.by,
        where=rule.where,
        scores=rule.scores,
        slow_ms=rule.slow_ms,
        across_tenants=rule.across_tenants,
        limit=group_limit(rule),
    )
    covered = _coverage(rule, data, query)
    found: Findings = [[] for _ in moments]
    for row in data.rule_metric(query).to_pylist():
        finding = _compared(rule, row, moments[row["place"]])
        if finding is not None and covered(row):
            found[row["place"]].append(finding)
    return found


def _compared(rule: MetricRule, row: Mapping[str, Any], at_ns: int) -> Finding | None:
    labels = labels_of(row, rule.by)
    override = rule.override(labels.get("tenant") or row["owner"]) or TenantOverride(tenant="")
    threshold = rule.threshold if override.threshold is None else override.threshold
    needed = rule.min_volume if override.min_volume is None else override.min_volume
    value, volume = row["value"], row["volume"]
    if value is None or volume < needed or not override.enabled:
        return None
    window = Window(max(at_ns - rule.window, 0), at_ns)
    limit = f"{rule.compare} {_texts.number(rule.metric, threshold)}"
    said = f"{_texts.metric(rule)} {_texts.number(rule.metric, value)} ({limit}) in {_texts.duration(rule.window)}"
    return Finding(
        rule=rule.name,
        owner=row["owner"],
        labels=labels,
        active=_COMPARE[rule.compare](value, threshold),
        at_ns=at_ns,
        severity=override.severity or rule.severity,
        summary=f"{said}, {volume:,} {_COUNTED[RULE_METRICS[rule.metric].source]}{_texts.of(labels)}",
        value=value,
        threshold=threshold,
        window=_texts.duration(rule.window),
        links=_texts.links(labels, window),
    )


_COUNTED: Final = {"calls": "calls", "retries": "calls", "scores": "answers", "rejections": "items"}


def _coverage(rule: MetricRule, data: RuleData, query: MetricQuery) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether enough of the calls behind a row have a score."""
    if not rule.min_coverage or query.source != "scores":
        return lambda _row: True
    by = tuple(name for name in rule.by if name in RULE_DIMENSIONS["calls"])
    where = {name: values for name, values in rule.where.items() if name in RULE_DIMENSIONS["calls"]}
    calls: dict[Key, int] = defaultdict(int)
    for row in data.rule_metric(replace(query, metric="calls", by=by, where=where, scores=())).to_pylist():
        calls[_key(row, by)] = row["volume"]
    return lambda row: row["volume"] >= rule.min_coverage * calls[_key(row, by)]


def _key(row: Mapping[str, Any], by: tuple[str, ...]) -> Key:
    return (row["place"], row["owner"], *(row[name] for name in by))


def _anomalies(rule: AnomalyRule, data: RuleData, at_ns: int) -> list[Finding]:
    window = Window(max(at_ns - rule.lookback, 0), at_ns)
    rows = data.rule_anomalies(AnomalyQuery(window=window, limit=group_limit(rule))).to_pylist()
    least = SEVERITIES.index(rule.min_severity)
    return [
        _anomaly(rule, row, window)
        for row in rows
        if SEVERITIES.index(_severity(row["severity"])) >= least and (not rule.kinds or row["kind"] in rule.kinds)
    ]


def _severity(text: str | None) -> Severity:
    return next((known for known in SEVERITIES if known == text), "warning")


def _anomaly(rule: AnomalyRule, row: Mapping[str, Any], window: Window) -> Finding:
    labels = {"tenant": row["tenant"], "metric": row["metric"], "kind": row["kind"], **_dimensions(row["dimensions"])}
    labels = {name: value for name, value in labels.items() if value}
    since = Window(min(row["started_ns"], window.to_ns), window.to_ns)
    return Finding(
        rule=rule.name,
        owner=row["owner"],
        labels=labels,
        key=row["id"],  # what an anomaly is found to be about gets clearer while it lasts
        active=bool(row["open"]),
        at_ns=window.to_ns,
        severity=_severity(row["severity"]),
        summary=row["summary"] or f"{row['metric']} is unusual{_texts.of(labels)}",
        value=row["observed"],
        threshold=row["expected"],
        impact_usd=row["impact_usd"],
        links=_texts.anomaly_links(row["kind"], since) | _texts.links(labels, since),
    )


def _dimensions(text: str | None) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _silence(rule: SilenceRule, data: RuleData, at_ns: int) -> list[Finding]:
    window = Window(max(at_ns - rule.baseline, 0), at_ns)
    query = SilenceQuery(window=window, min_calls=rule.min_volume, limit=group_limit(rule))
    known = (row for row in data.rule_silence(query).to_pylist() if row["known_s"] * 1e9 >= rule.min_history)
    return [_silent(rule, row, window) for row in known]


def _silent(rule: SilenceRule, row: Mapping[str, Any], window: Window) -> Finding:
    labels = labels_of(row, ("tenant", "service"))
    override = rule.override(row["tenant"] or row["owner"]) or TenantOverride(tenant="")
    threshold = max(rule.window / 1e9, rule.factor * row["longest_s"])
    silent = row["silent_s"]
    said = f"no calls for {silent / 60:,.0f} min, the longest pause before was {row['longest_s'] / 60:,.0f} min"
    return Finding(
        rule=rule.name,
        owner=row["owner"],
        labels=labels,
        active=override.enabled and silent >= threshold,
        at_ns=window.to_ns,
        severity=override.severity or rule.severity,
        summary=f"{said}{_texts.of(labels)}",
        value=silent,
        threshold=threshold,
        window=_texts.duration(rule.baseline),
        links=_texts.links(labels, window),
    )


def _health(rule: HealthRule, data: RuleData, at_ns: int) -> list[Finding]:
    limit = f"({rule.compare} {rule.threshold:g})"
    return [
        Finding(
            rule=rule.name,
            owner="",
            labels=reading.labels,
            active=_COMPARE[rule.compare](reading.value, rule.threshold),
            at_ns=at_ns,
            severity=rule.severity,
            summary=f"{reading.name} {reading.value:,.4g} {limit}{_texts.of(reading.labels)}",
            value=reading.value,
            threshold=rule.threshold,
        )
        for reading in data.readings()
        if reading.name == rule.reading
    ]
