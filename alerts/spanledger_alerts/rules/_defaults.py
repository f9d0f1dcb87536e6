"""The rules that hold unless the configuration says otherwise: few, and quiet on traffic that is in order."""

from functools import partial
from typing import Final

from spanledger_alerts.rules._model import (
    AT_ONCE,
    HOUR,
    MINUTE,
    AnomalyRule,
    AnyRule,
    BurnRateRule,
    EventRule,
    Grouping,
    HealthRule,
    MetricRule,
    SilenceRule,
)

BUDGET: Final = "budget"
"""Name of the rule under which budgets report."""

_QUALITY: Final = (
    "citation_accuracy",
    "completeness",
    "degeneration_risk",
    "groundedness",
    "hallucination_risk",
    "json_validity",
    "language_match",
    "refusal_risk",
)
"""Scores of the answer; what users write (their own data, attacks) says nothing about its quality."""

_SHARE_OF_AN_HOUR: Final = partial(MetricRule, window=HOUR, min_volume=100, keep_firing_for=30 * MINUTE, every=MINUTE)
"""What goes on for a while before somebody need know, and is judged by many calls."""

_EVERY_ANSWER: Final = partial(
    MetricRule,
    metric="score_failing",
    compare=">=",
    threshold=1,
    window=HOUR,
    by=("tenant", "use_case"),
    grouping=Grouping(wait=0),
)
"""One answer is told, at once. The window is an hour, because it counts from the start of a call, and scores come after
its end."""

_SERVICE: Final = partial(HealthRule, across_tenants=True)

DEFAULT_RULES: Final[tuple[AnyRule, ...]] = (
    EventRule(name=BUDGET, doc="a budget has reached one of its thresholds", grouping=AT_ONCE),
    MetricRule(
        name="error_burst",
        doc="many calls of a service fail",
        metric="error_rate",
        threshold=0.2,
        min_volume=20,
        window=5 * MINUTE,
        by=("tenant", "service"),
        for_=MINUTE,
        keep_firing_for=2 * MINUTE,
        severity="critical",
    ),
    MetricRule(
        name="provider_outage",
        doc="most calls to a provider fail, for everybody",
        metric="error_rate",
        threshold=0.5,
        min_volume=50,
        window=5 * MINUTE,
        by=("provider",),
        across_tenants=True,
        for_=MINUTE,
        keep_firing_for=5 * MINUTE,
        severity="critical",
    ),
    MetricRule(
        name="model_errors",
        doc="many calls to a model fail",
        metric="error_rate",
        threshold=0.3,
        min_volume=50,
        window=10 * MINUTE,
        by=("tenant", "provider", "model"),
        for_=2 * MINUTE,
        keep_firing_for=5 * MINUTE,
    ),
    BurnRateRule(
        name="error_budget",
        doc="more calls fail than 95 % availability allows",
        objective=0.95,
        min_volume=200,
        min_bad=40,
        every=MINUTE,
        keep_firing_for=5 * MINUTE,
    ),
    _SHARE_OF_AN_HOUR(
        name="unpriced_calls",
        doc="the cost of many calls is unknown: add prices (docs/pricing.md)",
        metric="unpriced_share",
        threshold=0.2,
        by=("tenant", "model"),
        for_=5 * MINUTE,
    ),
    _SHARE_OF_AN_HOUR(
        name="truncated_answers",
        doc="many answers end at the token limit",
        metric="truncation_share",
        threshold=0.5,
        by=("tenant", "use_case", "model"),
        for_=10 * MINUTE,
    ),
    _SHARE_OF_AN_HOUR(
        name="refused_answers",
        doc="a content filter stops many answers",
        metric="refusal_rate",
        threshold=0.2,
        by=("tenant", "use_case", "model"),
        for_=10 * MINUTE,
    ),
    _EVERY_ANSWER(
        name="pii_leak",
        doc="an answer gives personal data away that it was not given",
        scores=("pii_leak_risk",),
        severity="critical",
    ),
    _EVERY_ANSWER(
        name="prompt_injection",
        doc="somebody tries to take over a prompt",
        scores=("prompt_injection_risk",),
    ),
    MetricRule(
        name="failing_scores",
        doc="many answers fail a quality score",
        metric="score_failing_share",
        threshold=0.2,
        scores=_QUALITY,
        min_volume=200,
        min_coverage=0.05,
        window=6 * HOUR,
        by=("tenant", "model", "prompt", "score"),
        for_=10 * MINUTE,
        keep_firing_for=HOUR,
        every=MINUTE,
    ),
    AnomalyRule(name="anomaly", doc="the detector found something unusual"),
    MetricRule(
        name="rejected_spans",
        doc="spans could not be taken: GET /api/v1/ingest/rejected says why",
        metric="rejected",
        threshold=100,
        window=15 * MINUTE,
        by=("tenant", "service", "reason"),
        keep_firing_for=10 * MINUTE,
    ),
    SilenceRule(
        name="no_data",
        doc="a service that used to send calls sends none",
        every=5 * MINUTE,
    ),
    _SERVICE(
        name="ingest_lag",
        doc="what was received is not stored in time",
        reading="ingest_lag_seconds",
        threshold=60,
        for_=2 * MINUTE,
        severity="critical",
    ),
    _SERVICE(
        name="jobs_failing",
        doc="periodic work of the service does not come to its end",
        reading="job_lag_seconds",
        threshold=3600,
        for_=5 * MINUTE,
    ),
    _SERVICE(
        name="rules_failing",
        doc="alert rules cannot be evaluated",
        reading="rule_failing",
        compare=">=",
        threshold=3,
        for_=5 * MINUTE,
    ),
    _SERVICE(
        name="too_many_alerts",
        doc="a rule fires for more sets of labels than it may; the rest is not told",
        reading="rule_dropped",
        compare=">=",
        threshold=1,
    ),
)
