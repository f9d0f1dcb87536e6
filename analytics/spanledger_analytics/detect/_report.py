"""From incidents to anomalies: kind, severity, money, and words."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from spanledger_analytics.detect._anomaly import Anomaly, Severity, Status
from spanledger_analytics.detect._cells import LOG_UNIT, MINUTE_NS, USER_BUCKETS
from spanledger_analytics.detect._incident import Evidence, Incident
from spanledger_analytics.detect._metrics import METRICS, NUMBER
from spanledger_analytics.detect._state import State
from spanledger_analytics.detect._wording import because, changed, money, sentence

_LEAST_SHARE: Final = 0.005
"""Part of the organisation's money or requests per hour from which on an incident is worth a message."""
_CRITICAL_SHARE: Final = 0.1
_LEAST_REQUESTS: Final = 6.0
"""Affected requests per hour, at least."""
_SUDDEN: Final = 1.8
_EVERYBODY: Final = ("all", "use_case", "region")
"""Levels at which several tenants fall silent at once: more likely their exporter or ours."""
_SLOW_MINUTES: Final = 240
_ORDER: Final = (
    "requests",
    *USER_BUCKETS,
    "unit_price",
    "cache_rate",
    "error_rate",
    "retry_rate",
    "length_rate",
    "filter_rate",
    "input_tokens",
    "output_tokens",
    "latency",
    "first_token",
)
"""Of several metrics of one incident, the first of these names it."""
_MONEY: Final = ("unit_price", "cache_rate", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Usual:
    """Of the whole organisation, per hour."""

    requests: float
    nano: float

    @classmethod
    def of(cls, state: State) -> "Usual":
        """Take it from the profiles of a state."""
        weights = np.repeat([5 / 7 / 24, 2 / 7 / 24], 24)
        known = state.seen[-48:] > 0
        weights = np.where(known, weights, 0.0)
        mean = (state.day * (weights / max(weights.sum(), 1e-9))[:, None]).sum(axis=0)
        base = state.base
        cost = base[NUMBER["unit_price"], 0] / np.maximum(base[NUMBER["input_tokens"], 1], 1e-9)
        return cls(float(mean.sum()), float((mean * cost).sum()))


def report(incident: Incident, state: State, end: int) -> Anomaly:
    """Describe an incident as of a minute."""
    name = min(incident.evidence, key=_ORDER.index)
    evidence = incident.evidence[name]
    shown = "one_user" if name in USER_BUCKETS else name
    hours = max(incident.summed - incident.onset, 1) / 60
    expected, observed = _values(name, evidence, incident, hours)
    impact, requests = _impact(name, evidence, incident)
    dimensions = incident.series.dimensions
    share = incident.shares[0][1] if incident.shares else 1.0
    cause = because(_facts(incident, name, evidence), dimensions, share)
    severity = _severity(name, evidence, (impact / hours, requests / hours), Usual.of(state))
    if incident.planned:
        severity = "info"
        cause = f"a change was planned: {incident.planned}"
    costs = money(impact / hours) if abs(impact / hours) >= 1e5 else f"{requests / hours:,.0f} requests/h"
    if name not in (*_MONEY, *USER_BUCKETS) and requests / hours >= 1:
        costs = f"{requests / hours:,.0f} requests/h affected"
    change = (
        f"rose to {evidence.x / max(evidence.n, 1):.0%} of the calls"
        if shown == "one_user"
        else changed(shown, expected, observed)
    )
    return Anomaly(
        id=incident.id,
        owner=incident.owner,
        tenant=dimensions.get("tenant") or None,
        kind=kind_of(name, evidence, incident),
        metric=shown,
        dimensions={key: value for key, value in dimensions.items() if value},
        started_ns=incident.onset * MINUTE_NS,
        detected_ns=(incident.confirmed + 1) * MINUTE_NS,
        ended_ns=None if incident.open else incident.ended * MINUTE_NS,
        severity=severity,
        status=_status(incident),
        summary=sentence(shown, dimensions, incident.onset, change, cause, costs),
        cause=cause,
        expected=expected,
        observed=observed,
        impact_nano=round(impact),
        impact_nano_per_hour=round(impact / hours),
        requests_per_hour=requests / hours,
        confidence=-evidence.log_p / float(np.log(10)),
        causes=[(series.dimensions, share) for series, share in incident.shares],
        ties=[series.dimensions for series in incident.ties],
        detail=_detail(incident, end),
    )


def _status(incident: Incident) -> Status:
    if incident.planned:
        return "planned"
    if incident.accepted:
        return "accepted"
    return "open" if incident.open else "ended"


def kind_of(name: str, evidence: Evidence, incident: Incident) -> str:
    """Return the kind of an incident that a metric names."""
    if name in USER_BUCKETS:
        return "cost_spike"
    if name in ("error_rate", "retry_rate"):
        more = incident.calls > 1.4 * max(incident.usual_calls, 1.0)
        return "retry_storm" if more and incident.series.level.startswith("tenant") else "error_burst"
    if name in ("input_tokens", "output_tokens"):
        if evidence.direction < 0:
            return "token_fall"
        return "cost_spike" if evidence.effect >= _SUDDEN and not _is_slow(incident) else "token_drift"
    if name == "requests" and incident.series.level in _EVERYBODY:
        return "no_telemetry"
    kinds = {"requests": "traffic_zero", "length_rate": "length_surge", "filter_rate": "filter_surge"}
    kinds |= {"cache_rate": "cache_collapse", "first_token": "latency"}
    return kinds.get(name, name)


def _is_slow(incident: Incident) -> bool:
    """Tell whether it grew for hours before it was large enough to be seen."""
    return incident.detected - incident.onset > _SLOW_MINUTES


def _values(name: str, evidence: Evidence, incident: Incident, hours: float) -> tuple[float, float]:
    """Return what was expected and what was observed, in the metric's own unit."""
    metric = METRICS[NUMBER[name]]
    if metric.kind == "count":
        return evidence.e / hours, evidence.x / hours
    calls = max(evidence.n, 1.0)
    if metric.kind == "mean":
        return float(np.exp(evidence.e / calls / LOG_UNIT)), float(np.exp(evidence.x / calls / LOG_UNIT))
    if metric.kind == "price":
        tokens = max(incident.tokens, 1.0)
        return evidence.e / tokens / 1e3, evidence.x / tokens / 1e3
    return evidence.e / calls, evidence.x / calls


def _impact(name: str, evidence: Evidence, incident: Incident) -> tuple[float, float]:
    """Return nano-USD and requests that it has cost so far."""
    metric = METRICS[NUMBER[name]]
    cost_of_one = incident.cost / max(incident.calls, 1.0)
    if name == "unit_price":
        return evidence.x - evidence.e, evidence.n
    if name in USER_BUCKETS:
        share = min(evidence.e / max(evidence.n, 1.0), 0.95)
        more = max(evidence.x - share * (evidence.n - evidence.x) / (1 - share), 0.0)
        return more * cost_of_one, more
    if name in _MONEY:
        return incident.cost - incident.usual_cost, evidence.n
    if metric.kind == "count":
        return 0.0, evidence.e - evidence.x
    if metric.kind == "mean":
        return 0.0, evidence.n
    extra = max(evidence.x - evidence.e, 0.0)
    retries = incident.evidence.get("retry_rate")
    return (max(retries.x - retries.e, 0.0) * cost_of_one if retries else 0.0), extra


def _severity(name: str, evidence: Evidence, per_hour: tuple[float, float], usual: Usual) -> Severity:
    nano, requests = per_hour
    if name in ("input_tokens", "output_tokens", "unit_price") and evidence.direction < 0:
        return "info"
    if name == "cache_rate" and nano <= 0:
        return "info"
    by_money = nano / max(usual.nano, 1.0)
    by_requests = requests / max(usual.requests, 1.0) if requests >= _LEAST_REQUESTS else 0.0
    share = by_money if name in ("input_tokens", "output_tokens", "unit_price") else max(by_money, by_requests)
    return "critical" if share >= _CRITICAL_SHARE else "warning" if share >= _LEAST_SHARE else "info"


def _facts(incident: Incident, name: str, evidence: Evidence) -> dict[str, Any]:
    facts = dict(incident.facts)
    if name in USER_BUCKETS:
        return {"user": evidence.x / max(evidence.n, 1.0)}
    if name not in ("error_rate", "retry_rate"):
        facts.pop("error", None)
    if name in ("error_rate", "retry_rate", "requests"):
        facts = {key: value for key, value in facts.items() if key == "error"}
    return facts


def _detail(incident: Incident, end: int) -> dict[str, Any]:
    evidence = {
        ("one_user" if name in USER_BUCKETS else name): {
            "factor": round(one.effect, 4),
            "z": round(one.z, 2),
            "windows": sorted(one.windows),
        }
        for name, one in incident.evidence.items()
    }
    requests = incident.calls / incident.usual_calls if incident.usual_calls >= 1 else None
    factors: dict[str, float | None] = {"requests": requests, **incident.factors}
    known = {name: round(value, 4) for name, value in factors.items() if value is not None}
    return {
        "evidence": evidence,
        "factors": known,
        "changes": dict(incident.facts),
        "minutes": (incident.ended or end) - incident.onset,
        "calls": round(incident.calls),
    }
