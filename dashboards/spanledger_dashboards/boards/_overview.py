"""Board 1: how everything is, at a glance."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import ALERTS_FILL, ANOMALIES_FILL, BUDGETS_FILL, SCORES_FILL, alert_fields
from spanledger_dashboards.panels import Board, Field, PanelSpec, Threshold

_FIGURES: Final = (
    parts.stat(
        "overview-calls",
        "Calls",
        "How many model calls were made, and how many in the period before?",
        sql.compared("count(*)", empty="0"),
        "calls",
    ),
    parts.stat(
        "overview-cost",
        "Cost",
        "What did the calls cost whose price is known? The unpriced share stands beside it.",
        sql.compared("sum(cost_usd)"),
        "usd",
        good_is="down",
    ),
    parts.bad_share(
        "overview-unpriced",
        "Unpriced share",
        "Which part of the answered calls has no known cost, and is missing in every sum of money?",
        sql.UNPRICED_SHARE,
        thresholds=sql.ANY_IS_BAD,
    ),
    parts.errors("overview"),
    parts.duration("overview"),
    parts.stat(
        "overview-ttft",
        "Time to first token, p95",
        "How long does a reader of a streamed answer wait for its first word, but for the slowest twentieth?",
        sql.compared("quantile_cont(ttft_ms, 0.95)"),
        "ms",
        good_is="down",
        no_data="No streamed call told when its first token came",
        fills_when="Filled by streamed calls.",
    ),
)

_STATES: Final = (
    parts.stat(
        "overview-alerts",
        "Alerts firing now",
        "How many alerts fire at this moment?",
        sql.figure("count(*)", "alerts", f"state = 'firing' AND {sql.chosen('tenant')}"),
        "events",
        width=6,
        thresholds=sql.ONE_IS_BAD,
        fills_when=ALERTS_FILL,
    ),
    parts.stat(
        "overview-anomalies",
        "Anomalies going on",
        "How many anomalies of the shown period have not ended?",
        sql.figure("count(*)", "anomalies", f"ended IS NULL AND started <= {sql.TO} AND {sql.chosen('tenant')}"),
        "events",
        width=6,
        thresholds=(Threshold(None, "green"), Threshold(1, "orange")),
        fills_when=ANOMALIES_FILL,
    ),
    parts.stat(
        "overview-budget",
        "Fullest budget",
        "Which part of its limit has the budget spent that is nearest to it?",
        sql.figure("max(spent_usd / nullif(limit_usd, 0))", "budgets", sql.chosen("tenant")),
        "share",
        width=6,
        thresholds=sql.BUDGET_LEVELS,
        no_data="No budget is set",
        fills_when=BUDGETS_FILL,
    ),
    parts.stat(
        "overview-scored",
        "Scored calls",
        "How many calls of this period have a quality score?",
        sql.figure("count(DISTINCT span_id)", "scores", sql.SCORES),
        "calls",
        width=6,
        fills_when=SCORES_FILL,
    ),
)

_CHARTS: Final = (
    PanelSpec(
        id="overview-outcomes",
        title="Calls by outcome",
        question="How many calls were answered, and by which errors did the others fail?",
        sql=sql.top_over_time(
            "CASE WHEN status = 'ok' THEN 'answered' ELSE coalesce(error_type, 'error') END", "count(*)"
        ),
        viz="bars",
        unit="calls",
        fields=(Field(name="answered", colour="green"),),
    ),
    PanelSpec(
        id="overview-cost-by-model",
        title="Cost by model",
        question="Which models is the money spent on, and when?",
        sql=sql.cost_over_time("model"),
        viz="bars",
        unit="usd",
        fields=(sql.UNPRICED_FIELD,),
    ),
    PanelSpec(
        id="overview-duration",
        title="Duration of calls",
        question="How long do calls take: half of them, all but a twentieth, all but a hundredth?",
        sql=sql.quantiles("duration_ms", {"p50": 0.5, "p95": 0.95, "p99": 0.99}),
        viz="timeseries",
        unit="ms",
    ),
    PanelSpec(
        id="overview-providers",
        title="Health of providers",
        question="When did which part of a provider's calls fail?",
        sql=sql.of_busiest("provider", sql.ERROR_SHARE),
        viz="state",
        unit="share",
        thresholds=sql.ERROR_LEVELS,
        points=60,
    ),
)

_TABLES: Final = (
    parts.table(
        "overview-tenants",
        "Tenants by cost",
        "Who spends most, and how well are they served?",
        f"""SELECT {sql.shown("tenant_id")} AS tenant, count(*) AS calls, sum(cost_usd) AS cost,
  {sql.UNPRICED_SHARE} AS unpriced_share, {sql.ERROR_SHARE} AS error_share,
  quantile_cont(duration_ms, 0.95) AS p95
FROM llm_calls WHERE {sql.CALLS}
GROUP BY 1 ORDER BY cost DESC NULLS LAST, calls DESC, 1 LIMIT 15""",
        sql.TENANT,
        parts.CALLS,
        parts.COST,
        sql.UNPRICED_COLUMN,
        parts.ERRORS,
        parts.P95,
    ),
    parts.table(
        "overview-alert-list",
        "Latest alerts",
        "What were we alerted of in this period, and is it over?",
        f"""SELECT started, {sql.shown("tenant_id")} AS tenant, rule, severity, state, summary, impact_usd, resolved
FROM alerts
WHERE started <= {sql.TO} AND coalesce(resolved, {sql.TO}) >= {sql.FROM} AND {sql.chosen("tenant")}
ORDER BY started DESC LIMIT 20""",
        *alert_fields(),
        unit="text",
        width=12,
        no_data="No alert in this period",
        fills_when=ALERTS_FILL,
    ),
)

OVERVIEW: Final = Board(
    id="overview",
    title="Spanledger: overview",
    description="Calls, cost, errors and latency at a glance; what needs somebody now.",
    panels=(*_FIGURES, *_STATES, *_CHARTS, *_TABLES),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
