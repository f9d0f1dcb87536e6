"""Board 6: every tenant beside the others, and who is loud at whose expense."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import BUDGETS_FILL
from spanledger_dashboards.panels import Board, Field, PanelSpec, Threshold

_BEFORE: Final = f"time < {sql.FROM}"
_NOW: Final = f"time >= {sql.FROM}"
_BOTH: Final = f"time BETWEEN {sql.FROM} - ({sql.TO} - {sql.FROM}) AND {sql.TO} AND billable AND {sql.chosen()}"

_FIGURES: Final = (
    parts.stat(
        "tenants-active",
        "Active tenants",
        "How many tenants made calls?",
        sql.compared("count(DISTINCT tenant_id)", empty="0"),
        "number",
        width=6,
    ),
    parts.stat(
        "tenants-users",
        "Active users",
        "How many users are named in the calls?",
        sql.compared("count(DISTINCT hash(tenant_id, user_id)) FILTER (user_id IS NOT NULL)", empty="0"),
        "number",
        width=6,
    ),
    parts.stat(
        "tenants-largest",
        "Share of the largest",
        "Which part of the cost does the tenant with the highest cost have? The unpriced share stands in the table.",
        f"""SELECT {sql.TO} AS time, max(cost)::DOUBLE / nullif(sum(cost), 0) AS value
FROM (SELECT sum(cost_usd) AS cost FROM llm_calls WHERE {sql.CALLS} GROUP BY tenant_id) AS tenants""",
        "share",
        width=6,
        no_data="No call with a known cost in this period",
    ),
    parts.bad_share(
        "tenants-unnamed",
        "Calls without tenant",
        "Which part of the calls names no tenant?",
        "count(*) FILTER (tenant_id IS NULL) / nullif(count(*), 0)",
        width=6,
        thresholds=sql.ANY_IS_BAD,
    ),
)

_TABLE: Final = parts.table(
    "tenants-table",
    "Tenants",
    "What does each tenant use, pay and get, and how does its cost compare with the period before?",
    f"""SELECT {sql.shown("tenant_id")} AS tenant, count(*) FILTER ({_NOW}) AS calls,
  sum(cost_usd) FILTER ({_NOW}) AS cost,
  (sum(cost_usd) FILTER ({_NOW}))::DOUBLE / nullif(sum(cost_usd) FILTER ({_BEFORE}), 0) - 1 AS change,
  coalesce(count(*) FILTER ({_NOW} AND status = 'ok' AND cost_usd IS NULL)
    / nullif(count(*) FILTER ({_NOW} AND status = 'ok'), 0), 0) AS unpriced_share,
  count(*) FILTER ({_NOW} AND status = 'error') / nullif(count(*) FILTER ({_NOW}), 0) AS error_share,
  quantile_cont(duration_ms, 0.95) FILTER ({_NOW}) AS p95, quantile_cont(ttft_ms, 0.95) FILTER ({_NOW}) AS ttft_p95,
  count(*) FILTER ({_NOW} AND finish_reason = 'length')
    / nullif(count(*) FILTER ({_NOW} AND status = 'ok'), 0) AS cut_share,
  count(DISTINCT user_id) FILTER ({_NOW}) AS users
FROM llm_calls WHERE {_BOTH}
GROUP BY 1 HAVING count(*) FILTER ({_NOW}) > 0
ORDER BY cost DESC NULLS LAST, calls DESC, 1 LIMIT 100""",
    sql.TENANT,
    Field(name="calls", label="Calls", unit="calls", look="gauge"),
    parts.COST,
    Field(
        name="change",
        label="Change of cost",
        unit="share",
        look="colour",
        thresholds=(Threshold(None, "green"), Threshold(0.25, "yellow"), Threshold(1, "red")),
    ),
    sql.UNPRICED_COLUMN,
    parts.ERRORS,
    parts.P95,
    parts.TTFT,
    parts.CUT,
    Field(name="users", label="Users", unit="number"),
    width=24,
    height=10,
)

_CHARTS: Final = (
    PanelSpec(
        id="tenants-cost",
        title="Cost by tenant",
        question="When did which tenant spend how much? The line is the unpriced share.",
        sql=sql.cost_over_time("tenant_id"),
        viz="bars",
        unit="usd",
        fields=(sql.UNPRICED_FIELD,),
    ),
    PanelSpec(
        id="tenants-calls",
        title="Calls by tenant",
        question="When did which tenant make how many calls?",
        sql=sql.top_over_time("tenant_id", "count(*)"),
        viz="bars",
        unit="calls",
    ),
    PanelSpec(
        id="tenants-errors",
        title="Error share by tenant",
        question="Whose calls fail, and when?",
        sql=sql.of_busiest("tenant_id", sql.ERROR_SHARE),
        viz="state",
        unit="share",
        thresholds=sql.ERROR_LEVELS,
        points=60,
    ),
    PanelSpec(
        id="tenants-duration",
        title="Duration by tenant, p95",
        question="Who waits longest, of the tenants that call most?",
        sql=sql.of_busiest("tenant_id", "quantile_cont(duration_ms, 0.95)"),
        viz="timeseries",
        unit="ms",
        points=100,
    ),
)

_NEIGHBOURS: Final = (
    parts.table(
        "tenants-neighbours",
        "Loud neighbours",
        "Who makes a large part of the calls, in how high a burst, and who is refused because of rate limits?",
        f"""WITH minutes AS (
  SELECT {sql.shown("tenant_id")} AS tenant, epoch(time) // 60 AS minute, count(*) AS calls,
    count(*) FILTER (http_status = 429) AS limited
  FROM llm_calls WHERE {sql.CALLS} GROUP BY 1, 2
)
SELECT tenant, sum(calls) / nullif(sum(sum(calls)) OVER (), 0) AS share, max(calls) AS peak,
  sum(calls) / count(*) AS mean, sum(limited) / nullif(sum(sum(limited)) OVER (), 0) AS limited_share,
  sum(limited)::BIGINT AS limited
FROM minutes GROUP BY 1 ORDER BY share DESC, 1 LIMIT 20""",
        sql.TENANT,
        Field(name="share", label="Share of calls", unit="share", look="gauge"),
        Field(name="peak", label="Most in a minute", unit="calls/min"),
        Field(name="mean", label="In a minute with calls", unit="calls/min", decimals=1),
        Field(name="limited_share", label="Share of rate limits", unit="share"),
        Field(name="limited", label="Rate limited", unit="calls"),
        row="Side by side",
        width=24,
    ),
    parts.table(
        "tenants-workloads",
        "Tenants and use cases",
        "What do tenants use models for, with how many models, and what does it cost?",
        f"""SELECT {sql.shown("tenant_id")} AS tenant, {sql.shown("use_case")} AS use_case,
  count(DISTINCT model) AS models, count(*) AS calls, sum(cost_usd) AS cost,
  {sql.UNPRICED_SHARE} AS unpriced_share, {sql.ERROR_SHARE} AS error_share
FROM llm_calls WHERE {sql.CALLS}
GROUP BY 1, 2 ORDER BY cost DESC NULLS LAST, calls DESC, 1, 2 LIMIT 50""",
        sql.TENANT,
        parts.USE_CASE,
        Field(name="models", label="Models", unit="number"),
        parts.CALLS,
        parts.COST,
        sql.UNPRICED_COLUMN,
        parts.ERRORS,
    ),
    PanelSpec(
        id="tenants-budgets",
        title="Budgets used, by tenant",
        question="Which part of its fullest budget has each tenant spent?",
        sql=f"""SELECT {sql.shown("tenant_id")} AS label, max(spent_usd::DOUBLE / nullif(limit_usd, 0)) AS value
FROM budgets WHERE {sql.chosen("tenant")}
GROUP BY 1 ORDER BY value DESC NULLS LAST, 1 LIMIT 20""",
        viz="bargauge",
        unit="share",
        thresholds=sql.BUDGET_LEVELS,
        maximum=1,
        no_data="No budget is set",
        fills_when=BUDGETS_FILL,
    ),
    parts.table(
        "tenants-new",
        "New tenants",
        "Which tenants made no call in the seven days before this period?",
        f"""SELECT {sql.shown("tenant_id")} AS tenant, min(time) AS first, count(*) AS calls, sum(cost_usd) AS cost,
  {sql.UNPRICED_SHARE} AS unpriced_share
FROM llm_calls
WHERE time BETWEEN {sql.FROM} - INTERVAL 7 DAYS AND {sql.TO} AND billable AND {sql.chosen()}
GROUP BY 1 HAVING min(time) >= {sql.FROM}
ORDER BY first DESC, 1 LIMIT 20""",
        sql.TENANT,
        Field(name="first", label="First call", unit="time"),
        parts.CALLS,
        parts.COST,
        sql.UNPRICED_COLUMN,
        no_data="No tenant is new",
        fills_when="Filled when a tenant calls for the first time in a week.",
    ),
)

TENANTS: Final = Board(
    id="tenants",
    title="Spanledger: tenants",
    description="Every tenant beside the others: use, cost, service, bursts and budgets.",
    panels=(*_FIGURES, _TABLE, *_CHARTS, *_NEIGHBOURS),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
