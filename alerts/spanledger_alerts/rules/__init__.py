"""Rules: what is looked at, when it is worth an alert, and what they find."""

from spanledger_alerts.rules._data import Reading, RuleData
from spanledger_alerts.rules._defaults import BUDGET, DEFAULT_RULES
from spanledger_alerts.rules._evaluate import evaluate
from spanledger_alerts.rules._model import (
    AT_ONCE,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    SEVERITIES,
    AnomalyRule,
    AnyRule,
    BurnPair,
    BurnRateRule,
    EventRule,
    Grouping,
    HealthRule,
    MetricRule,
    Rule,
    SilenceRule,
    TenantOverride,
)
from spanledger_alerts.rules._parse import build_rules, grouping_values
from spanledger_alerts.rules._values import refuse_unknown

__all__ = [
    "AT_ONCE",
    "BUDGET",
    "DAY",
    "DEFAULT_RULES",
    "HOUR",
    "MINUTE",
    "SECOND",
    "SEVERITIES",
    "AnomalyRule",
    "AnyRule",
    "BurnPair",
    "BurnRateRule",
    "EventRule",
    "Grouping",
    "HealthRule",
    "MetricRule",
    "Reading",
    "Rule",
    "RuleData",
    "SilenceRule",
    "TenantOverride",
    "build_rules",
    "evaluate",
    "grouping_values",
    "refuse_unknown",
]
