"""How numbers, stretches of time and label sets are said to people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from spanledger_alerts.rules._model import MetricRule
from spanledger_analytics.queries import Window
from spanledger_analytics.rule_metrics import RULE_METRICS

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_FILTERS: Final = ("tenant", "model", "provider", "use_case", "service")


def duration(nanoseconds: int) -> str:
    """Return ``5m``, ``36h``, ``3d`` or the like."""
    seconds = nanoseconds // 1_000_000_000
    size, unit = next((pair for pair in _UNITS if seconds and seconds % pair[0] == 0), (1, "s"))
    return f"{seconds // size}{unit}"


def metric(rule: MetricRule) -> str:
    """Return what a rule looks at, such as ``error rate``, with the one score it is about."""
    name = rule.metric.replace("_", " ")
    return f"{rule.scores[0].replace('_', ' ')}: {name}" if len(rule.scores) == 1 else name


def number(metric: str, value: float) -> str:
    """Return a value of a metric with its unit."""
    unit = RULE_METRICS[metric].unit if metric in RULE_METRICS else ""
    if unit == "share":
        return f"{100 * value:.3g} %"
    return f"{value:,.4g} {unit}".rstrip() if value < 10_000 else f"{value:,.0f} {unit}".rstrip()


def of(labels: Mapping[str, str]) -> str:
    """Return ``: tenant acme, model gpt-5``, or nothing without labels."""
    said = ", ".join(f"{name} {value}" for name, value in labels.items())
    return f": {said}" if said else ""


def links(labels: Mapping[str, str], window: Window) -> dict[str, str]:
    """Return where the calls of a finding are."""
    query = {name: labels[name] for name in _FILTERS if name in labels}
    return {"calls": f"/api/v1/calls?{urlencode({'from': _time(window.from_ns), 'to': _time(window.to_ns), **query})}"}


def anomaly_links(kind: str, window: Window) -> dict[str, str]:
    """Return where anomalies of a kind and a time are."""
    query = {"from": _time(window.from_ns), "to": _time(window.to_ns), "kind": kind}
    return {"anomalies": f"/api/v1/anomalies?{urlencode(query)}"}


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
