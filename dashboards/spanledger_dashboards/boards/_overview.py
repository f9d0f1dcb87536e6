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
        name="overview-calls",
        title="Calls",
        question="How many model calls were made, and how many in the period before?",
        sql=sql.compared("count(*)", empty="0"),
        unit="calls",
    ),
    parts.stat(
        name="overview-cost",
        title="Cost",
        question="What did the calls cost whose price is known? The unpriced share stands beside it.",
        sql=sql.compared("sum(cost_usd)"),
        unit="usd",
        good_is="down",
    ),
    parts.stat(
        name="overview-unpriced",
        title="Unpriced share",
        question="Which part of the answered calls has no known cost, and is missing in every sum of money?",
        sql=sql.compared(sql.UNPRICED_SHARE),
        unit="share",
        thresholds=sql.ANY_IS_BAD,
        good_is="down",
    ),
    parts.stat(
        name="overview-errors",
        title="Error share",
        question="Which part of the calls failed?",
        sql=sql.compared(sql.ERROR_SHARE),
        unit="share",
        thresholds=sql.ERROR_LEVELS,
        good_is="down",
    ),
    parts.stat(
        name="overview-p95",
        title="Duration, p95",
        question="How long do all but the slowest twentieth of the calls take?",
        sql=sql.compared("quantile_cont(duration_ms, 0.95)"),
        unit="ms",
        good_is="down",
    ),
    parts.stat(
        name="overview-ttft",
        title="Time to first token, p95",
        question="How long does a reader of a streamed answer wait for its first word, but for the slowest twentieth?",
        sql=sql.compared("quantile_cont(ttft_ms, 0.95)"),
        unit="ms",
        good_is="down",
        no_data="No streamed call told when its first token came",
        fills_when="Filled by streamed calls.",
    ),
)

_STATES: Final = (
    parts.stat(
        name="overview-alerts",
        title="Alerts firing now",
        question="How many alerts fire at this moment?",
        sql=sql.figure("count(*)", "alerts", f"state = 'firing' AND {sql.chosen('tenant')}"),
        unit="events",
        width=6,
        thresholds=sql.ONE_IS_BAD,
        fills_when=ALERTS_FILL,
    ),
    parts.stat(
        name="overview-anomalies",
        title="Anomalies going on",
        question="How many anomalies of the shown period have not ended?",
        sql=sql.figure("count(*)", "anomalies", f"ended IS NULL AND started <= {sql.TO} AND {sql.chosen('tenant')}"),
        unit="events",
        width=6,
        thresholds=(Threshold(None, "green"), Threshold(1, "orange")),
        fills_when=ANOMALIES_FILL,
    ),
    parts.stat(
        name="overview-budget",
        title="Fullest budget",
        question="Which part of its limit has the budget spent that is nearest to it?",
        sql=sql.figure("max(spent_usd / nullif(limit_usd, 0))", "budgets", sql.chosen("tenant")),
        unit="share",
        width=6,
        thresholds=sql.BUDGET_LEVELS,
        no_data="No budget is set",
        fills_when=BUDGETS_FILL,
    ),
    parts.stat(
        name="overview-scored",
        title="Scored calls",
        question="How many calls of this period have a quality score?",
        sql=sql.figure("count(DISTINCT span_id)", "scores", sql.SCORES),
        unit="calls",
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
    PanelSpec(
        id="overview-tenants",
        title="Tenants by cost",
        question="Who spends most, and how well are they served?",
        sql=f"""SELECT {sql.shown("tenant_id")} AS tenant, count(*) AS calls, sum(cost_usd) AS cost,
  {sql.UNPRICED_SHARE} AS unpriced_share, {sql.ERROR_SHARE} AS error_share,
  quantile_cont(duration_ms, 0.95) AS p95
FROM llm_calls WHERE {sql.CALLS}
GROUP BY 1 ORDER BY cost DESC NULLS LAST, calls DESC, 1 LIMIT 15""",
        viz="table",
        unit="number",
        fields=(
            sql.TENANT,
            Field(name="calls", label="Calls", unit="calls"),
            Field(name="cost", label="Cost", unit="usd", look="gauge"),
            sql.UNPRICED_COLUMN,
            Field(name="error_share", label="Error share", unit="share", look="colour", thresholds=sql.ERROR_LEVELS),
            Field(name="p95", label="Duration, p95", unit="ms"),
        ),
    ),
    PanelSpec(
        id="overview-alert-list",
        title="Latest alerts",
        question="What were we alerted of in this period, and is it over?",
        sql=f"""SELECT started, {sql.shown("tenant_id")} AS tenant, rule, severity, state, summary, impact_usd, resolved
FROM alerts
WHERE started <= {sql.TO} AND coalesce(resolved, {sql.TO}) >= {sql.FROM} AND {sql.chosen("tenant")}
ORDER BY started DESC LIMIT 20""",
        viz="table",
        unit="text",
        fields=alert_fields(),
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
