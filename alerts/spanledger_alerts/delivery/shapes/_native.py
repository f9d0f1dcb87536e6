"""Our own shape: one alert in each message, see docs/alerts.md."""

from collections.abc import Sequence

from spanledger_alerts.delivery.shapes._common import Body, Said, fitted, moment, number
from spanledger_alerts.records import Alert


def data(alert: Alert) -> Body:
    """Return what is said of an alert."""
    return {
        "id": alert.id,
        "rule": alert.rule,
        "severity": alert.severity,
        "tenant": alert.tenant,
        "labels": dict(alert.labels),
        "summary": alert.summary,
        "value": number(alert.value),
        "threshold": number(alert.threshold),
        "window": alert.window,
        "impact_usd": None if alert.impact_usd is None else format(alert.impact_usd, "f"),
        "links": dict(alert.links),
        "started_at": moment(alert.started_ns),
        "resolved_at": None if alert.resolved_ns is None else moment(alert.resolved_ns),
    }


def native(said: Said) -> bytes:
    """Return the body."""

    def build(alerts: Sequence[Alert], _left_out: int) -> Body:
        alert = alerts[0]
        time = moment(said.notification.created_ns)
        return {"type": f"alert.{alert.status}", "timestamp": time, "data": data(alert)}

    return fitted(said.alerts[:1], build)
