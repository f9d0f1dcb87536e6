"""What panels over budgets, alerts, anomalies and scores have in common: what fills them, and how they are shown."""

from typing import Final

from spanledger_dashboards.boards._sql import TENANT
from spanledger_dashboards.panels import Field, Meaning

ALERTS_FILL: Final = "Filled by alert rules and budgets once one of them fires."
ANOMALIES_FILL: Final = "Filled by the detector once it finds an anomaly; it first learns from some days of calls."
BUDGETS_FILL: Final = "Filled once a budget is set (spanledger budgets, or the [budgets] part of the configuration)."
SCORES_FILL: Final = "Filled by the scorers, by feedback and by spanledger.record_score."
DELIVERIES_FILL: Final = "Filled once an alert is sent to a receiver."
ERRORS_FILL: Final = "Filled by calls that fail; empty is good."
REJECTIONS_FILL: Final = "Filled when something sent is refused; empty is good."

SEVERITIES: Final = (
    Meaning("info", "info", "blue"),
    Meaning("warning", "warning", "orange"),
    Meaning("critical", "critical", "red"),
)
LABELS: Final = (
    Meaning("pass", "pass", "green"),
    Meaning("warn", "warn", "orange"),
    Meaning("fail", "fail", "red"),
    Meaning("not_evaluable", "not judged", "grey"),
)
STATES: Final = (
    Meaning("pending", "pending", "yellow"),
    Meaning("firing", "firing", "red"),
    Meaning("resolved", "resolved", "green"),
    Meaning("no_data", "no data", "grey"),
    Meaning("ok", "ok", "green"),
    Meaning("warning", "warning", "orange"),
    Meaning("exceeded", "exceeded", "red"),
)


def alert_fields() -> tuple[Field, ...]:
    """Return the columns of a list of alerts."""
    return (
        Field(name="started", label="Since", unit="time"),
        TENANT,
        Field(name="rule", label="Rule"),
        Field(name="severity", label="Severity", look="colour", meanings=SEVERITIES),
        Field(name="state", label="State", look="colour", meanings=STATES),
        Field(name="summary", label="What happened", width=320),
        Field(name="impact_usd", label="Impact", unit="usd"),
        Field(name="resolved", label="Until", unit="time"),
    )
