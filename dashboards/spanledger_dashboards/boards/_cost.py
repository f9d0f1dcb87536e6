"""Board 2: what the money is spent on, and the budgets."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import BUDGETS_FILL, STATES
from spanledger_dashboards.panels import Board, Field, PanelSpec, Threshold

_SECONDS: Final = f"(epoch({sql.TO}) - epoch({sql.FROM}))"
_COST_FIELDS: Final = (
    parts.CALLS,
    parts.COST,
    Field(name="share", label="Share of cost", unit="share"),
    Field(name="per_1000", label="Per 1,000 calls", unit="usd"),
    sql.UNPRICED_COLUMN,
    Field(name="tokens", label="Tokens", unit="tokens"),
)


def _spending(names: str) -> str:
    """Return what stands behind the names of a table of spending."""
    return f"""SELECT {names}, count(*) AS calls, sum(cost_usd) AS cost,
  sum(cost_usd)::DOUBLE / nullif(sum(sum(cost_usd)::DOUBLE) OVER (), 0) AS share,
  1000 * sum(cost_usd)::DOUBLE / count(*) AS per_1000,
  {sql.UNPRICED_SHARE} AS unpriced_share, {sql.TOKENS}::BIGINT AS tokens
FROM llm_calls WHERE {sql.CALLS}
GROUP BY ALL ORDER BY cost DESC NULLS LAST, calls DESC, 1, 2 LIMIT 30"""


_FIGURES: Final = (
    parts.stat(
        "cost-total",
        "Cost",
        "What did the calls of this period cost, as far as their price is known?",
        sql.compared("sum(cost_usd)"),
        "usd",
        good_is="down",
    ),
    parts.bad_share(
        "cost-unpriced",
        "Unpriced share",
        "Which part of the answered calls has no known cost? It is missing in all sums on this page.",
        sql.UNPRICED_SHARE,
        thresholds=sql.ANY_IS_BAD,
    ),
    parts.stat(
        "cost-pace",
        "30 days at this pace",
        "What would 30 days cost if they went on like this period?",
        sql.compared(f"sum(cost_usd)::DOUBLE / nullif({_SECONDS}, 0) * 2592000"),
        "usd",
        good_is="down",
    ),
    parts.stat(
        "cost-per-answer",
        "Cost of 1,000 answers",
        "What do 1,000 answered calls cost, failed attempts included?",
        sql.compared(f"1000 * sum(cost_usd)::DOUBLE / nullif({sql.ANSWERED}, 0)"),
        "usd",
        good_is="down",
    ),
    parts.stat(
        "cost-cached",
        "Input read from cache",
        "Which part of the input tokens came from a provider's cache, which is billed at a fraction?",
        sql.compared("coalesce(sum(cache_read_tokens), 0)::DOUBLE / nullif(sum(input_tokens), 0)"),
        "share",
        good_is="up",
    ),
    parts.stat(
        "cost-wasted",
        "Paid for nothing",
        "What did failed, cut-off and blocked answers cost?",
        sql.compared(f"coalesce(sum(cost_usd) FILTER ({sql.UNUSABLE}), 0)"),
        "usd",
        good_is="down",
    ),
)


def _cost_chart(what: str, column: str, plural: str) -> PanelSpec:
    return PanelSpec(
        id=f"cost-by-{what}",
        title=f"Cost by {what.replace('-', ' ')}",
        question=f"Which {plural} is the money spent on, and when? The line is the unpriced share.",
        sql=sql.cost_over_time(column),
        viz="bars",
        unit="usd",
        fields=(sql.UNPRICED_FIELD,),
    )


_CHARTS: Final = (
    _cost_chart("model", "model", "models"),
    _cost_chart("tenant", "tenant_id", "tenants"),
    _cost_chart("use-case", "use_case", "use cases"),
    _cost_chart("service", "service_name", "services"),
    PanelSpec(
        id="cost-tokens",
        title="Tokens by class",
        question="Which classes of tokens are used? Each is counted once, whatever the provider nests.",
        sql=sql.over_time(
            """greatest(sum(coalesce(input_tokens, 0) - coalesce(cache_read_tokens, 0)
    - coalesce(cache_write_tokens, 0)), 0)::BIGINT AS "fresh input",
  sum(coalesce(cache_read_tokens, 0))::BIGINT AS "cache read", sum(coalesce(cache_write_tokens, 0))::BIGINT
    AS "cache write",
  greatest(sum(coalesce(output_tokens, 0) - coalesce(reasoning_tokens, 0)), 0)::BIGINT AS "output",
  sum(coalesce(reasoning_tokens, 0))::BIGINT AS "reasoning\"""",
            step=sql.STEP_FROM_ZERO,
        ),
        viz="bars",
        unit="tokens",
    ),
    PanelSpec(
        id="cost-waste-over-time",
        title="Paid for nothing, by reason",
        question="What did answers cost that failed, were cut off at the token limit, or were blocked by a filter? "
        "The line is the unpriced share of all calls.",
        sql=sql.over_time(
            """coalesce(sum(cost_usd) FILTER (status = 'error'), 0) AS "failed",
  coalesce(sum(cost_usd) FILTER (status = 'ok' AND finish_reason = 'length'), 0) AS "cut off",
  coalesce(sum(cost_usd) FILTER (status = 'ok' AND finish_reason = 'content_filter'), 0) AS "blocked",
  """
            f'{sql.UNPRICED_SHARE} AS "{sql.UNPRICED_NAME}"',
            step=sql.STEP_FROM_ZERO,
        ),
        viz="bars",
        unit="usd",
        fields=(
            Field(name="failed", colour="red"),
            Field(name="cut off", colour="orange"),
            Field(name="blocked", colour="purple"),
            sql.UNPRICED_FIELD,
        ),
    ),
)

_TABLES: Final = (
    parts.table(
        "cost-table-models",
        "Spending by tenant and model",
        "Whose calls of which model cost how much?",
        _spending(f"{sql.shown('tenant_id')} AS tenant, {sql.shown('model')} AS model"),
        sql.TENANT,
        sql.MODEL,
        *_COST_FIELDS,
    ),
    parts.table(
        "cost-table-prompts",
        "Spending by use case and prompt",
        "Which use case and version of a prompt costs how much, in all and for a call?",
        _spending(
            f"{sql.shown('use_case')} AS use_case, {sql.shown('prompt_name')} AS prompt, "
            f"{sql.shown('prompt_version')} AS version"
        ),
        parts.USE_CASE,
        Field(name="prompt", label="Prompt"),
        Field(name="version", label="Version"),
        *_COST_FIELDS,
    ),
    parts.table(
        "cost-table-traces",
        "Most expensive traces",
        "Which single requests cost most?",
        f"""WITH dearest AS (
  SELECT hash(trace_id) AS key, sum(cost_usd) AS cost FROM llm_calls WHERE {sql.CALLS} AND cost_usd > 0
  GROUP BY 1 ORDER BY cost DESC, key LIMIT 20
)
SELECT trace_id, min(time) AS began, {sql.shown("min(tenant_id)")} AS tenant,
  {sql.shown("min(use_case)")} AS use_case, count(*) AS calls, sum(cost_usd) AS cost,
  {sql.UNPRICED_SHARE} AS unpriced_share, sum(coalesce(input_tokens, 0))::BIGINT AS input,
  sum(coalesce(output_tokens, 0))::BIGINT AS output
FROM llm_calls SEMI JOIN dearest ON dearest.key = hash(llm_calls.trace_id)
WHERE {sql.CALLS}
GROUP BY trace_id ORDER BY cost DESC, trace_id LIMIT 20""",
        sql.TRACE,
        Field(name="began", label="Began", unit="time"),
        sql.TENANT,
        parts.USE_CASE,
        parts.CALLS,
        parts.COST,
        sql.UNPRICED_COLUMN,
        Field(name="input", label="Input", unit="tokens"),
        Field(name="output", label="Output", unit="tokens"),
        no_data="No call with a known cost in this period",
    ),
    parts.table(
        "cost-table-users",
        "Spending by user",
        "Which users of which tenant cost most?",
        _spending(f"{sql.shown('tenant_id')} AS tenant, {sql.shown('user_id')} AS user_id"),
        sql.TENANT,
        Field(name="user_id", label="User"),
        *_COST_FIELDS,
    ),
    parts.table(
        "cost-table-unpriced",
        "Calls without a known cost",
        "Which answered calls are missing in the sums, and why?",
        f"""SELECT {sql.shown("provider")} AS provider, {sql.shown("model")} AS model, cost_status AS reason,
  usage_source AS usage, count(*) AS calls,
  {sql.TOKENS}::BIGINT AS tokens, max(time) AS last
FROM llm_calls WHERE {sql.CALLS} AND status = 'ok' AND cost_usd IS NULL
GROUP BY ALL ORDER BY calls DESC, 1, 2 LIMIT 30""",
        parts.PROVIDER,
        sql.MODEL,
        Field(name="reason", label="Why"),
        Field(name="usage", label="Tokens told by"),
        parts.CALLS,
        Field(name="tokens", label="Tokens", unit="tokens"),
        Field(name="last", label="Last", unit="time"),
        width=12,
        no_data="Every answered call has a known cost",
        fills_when="Filled by models that the price book does not know, and by answers without token counts.",
    ),
)

_BUDGETS: Final = (
    PanelSpec(
        id="cost-budget-use",
        row="Budgets",
        title="Budgets used",
        question="Which part of its limit has each budget spent in its running period?",
        sql=f"""SELECT concat_ws(' / ', {sql.shown("tenant_id")}, name) AS label,
  spent_usd::DOUBLE / nullif(limit_usd, 0) AS value
FROM budgets WHERE {sql.chosen("tenant")}
ORDER BY value DESC NULLS LAST, label LIMIT 20""",
        viz="bargauge",
        unit="share",
        width=8,
        thresholds=sql.BUDGET_LEVELS,
        maximum=1,
        no_data="No budget is set",
        fills_when=BUDGETS_FILL,
    ),
    parts.table(
        "cost-budget-list",
        "Budgets",
        "How far is each budget, and where will it be at the end of its period?",
        f"""SELECT name, {sql.shown("tenant_id")} AS tenant, state, spent_usd, limit_usd,
  spent_usd::DOUBLE / nullif(limit_usd, 0) AS used, forecast_usd, period, period_end, dimensions
FROM budgets WHERE {sql.chosen("tenant")}
ORDER BY used DESC NULLS LAST, name LIMIT 100""",
        Field(name="name", label="Budget"),
        sql.TENANT,
        Field(name="state", label="State", look="colour", meanings=STATES),
        Field(name="spent_usd", label="Spent", unit="usd"),
        Field(name="limit_usd", label="Limit", unit="usd"),
        Field(name="used", label="Used", unit="share", look="gauge", thresholds=sql.BUDGET_LEVELS),
        Field(name="forecast_usd", label="Forecast", unit="usd"),
        Field(name="period", label="Period"),
        Field(name="period_end", label="Ends", unit="time"),
        Field(name="dimensions", label="Of"),
        no_data="No budget is set",
        fills_when=BUDGETS_FILL,
    ),
    parts.table(
        "cost-budget-events",
        "What happened to budgets",
        "When did which budget pass a threshold, and how much was spent then?",
        f"""SELECT time, budget, {sql.shown("tenant_id")} AS tenant, kind, threshold, spent_usd, limit_usd, detail
FROM budget_events WHERE $__timeFilter(time) AND {sql.chosen("tenant")}
ORDER BY time DESC, budget LIMIT 50""",
        Field(name="time", label="When", unit="time"),
        Field(name="budget", label="Budget"),
        sql.TENANT,
        Field(name="kind", label="What"),
        Field(name="threshold", label="Threshold", unit="share", thresholds=(Threshold(None, "green"),)),
        Field(name="spent_usd", label="Spent", unit="usd"),
        Field(name="limit_usd", label="Limit", unit="usd"),
        Field(name="detail", label="Detail", width=320),
        no_data="No budget passed a threshold in this period",
        fills_when=BUDGETS_FILL,
    ),
)

COST: Final = Board(
    id="cost",
    title="Spanledger: cost and budgets",
    description="What the money is spent on, by whom, what was paid for nothing, and how far the budgets are.",
    panels=(*_FIGURES, *_CHARTS, *_TABLES, *_BUDGETS),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
