"""Board 3: whether calls succeed, how long they take, how answers stream, and how good providers are at it."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import ERRORS_FILL
from spanledger_dashboards.panels import Board, Field, PanelSpec, Threshold

_OBJECTIVE: Final = 0.99
_PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_LIMITED: Final = "count(*) FILTER (http_status = 429)"
_CLASSES: Final = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000)
"""Upper ends of the classes of durations, ms."""
_FIRST_TOKEN: Final = (Threshold(None, "green"), Threshold(200, "yellow"), Threshold(500, "red"))
"""A reader notices from about 200 ms on and waits from about 500 ms on."""

_FIGURES: Final = (
    parts.errors("reliability"),
    parts.stat(
        "reliability-burn",
        "Burn of the 99 % objective",
        "How many times faster than a 99 % objective allows do calls fail? Above 1 the objective is missed.",
        sql.compared(f"({sql.ERROR_SHARE}) / {1 - _OBJECTIVE:g}"),
        "number",
        thresholds=(Threshold(None, "green"), Threshold(1, "orange"), Threshold(6, "red")),
        good_is="down",
    ),
    parts.bad_share(
        "reliability-limited",
        "Rate limited",
        "Which part of the calls was refused because of a rate limit (HTTP 429)?",
        f"{_LIMITED} / nullif(count(*), 0)",
        thresholds=sql.ERROR_LEVELS,
    ),
    parts.duration("reliability"),
    parts.stat(
        "reliability-ttft",
        "Time to first token, p95",
        "How long does a reader wait for the first word of a streamed answer, but for the slowest twentieth?",
        sql.compared("quantile_cont(ttft_ms, 0.95)"),
        "ms",
        good_is="down",
        no_data="No streamed call told when its first token came",
        fills_when="Filled by streamed calls.",
    ),
    parts.stat(
        "reliability-speed",
        "Output speed, median",
        "How fast does the middle one of the answers come, after its first token?",
        sql.compared(f"quantile_cont({sql.SPEED}, 0.5) FILTER (status = 'ok' AND output_tokens > 0)"),
        "tokens/s",
        good_is="up",
    ),
)

_LATENCY: Final = (
    PanelSpec(
        id="reliability-duration",
        row="Latency and streaming",
        title="Duration of calls",
        question="How long do calls take: half of them, all but a twentieth, all but a hundredth?",
        sql=sql.quantiles("duration_ms", _PERCENTILES),
        viz="timeseries",
        unit="ms",
    ),
    PanelSpec(
        id="reliability-heatmap",
        title="Spread of durations",
        question="How many calls took how long? Each column of cells is a step in time; names are upper ends in ms.",
        sql=sql.over_time(
            ", ".join(
                [
                    f'count(*) FILTER (duration_ms > {low} AND duration_ms <= {high}) AS "{high}"'
                    for low, high in zip((-1, *_CLASSES), _CLASSES, strict=False)
                ]
                + [f'count(*) FILTER (duration_ms > {_CLASSES[-1]}) AS "inf"']
            )
        ),
        viz="heatmap",
        unit="ms",
        points=80,
    ),
    PanelSpec(
        id="reliability-first-token",
        title="Time to first token",
        question="How long does a reader wait for the first word of a streamed answer? 200 to 500 ms is where waiting "
        "begins to be noticed.",
        sql=sql.quantiles("ttft_ms", _PERCENTILES, where=f"{sql.CALLS} AND ttft_ms IS NOT NULL"),
        viz="timeseries",
        unit="ms",
        thresholds=_FIRST_TOKEN,
        no_data="No streamed call told when its first token came",
        fills_when="Filled by streamed calls.",
    ),
    PanelSpec(
        id="reliability-speed-by-model",
        title="Output speed by model, median",
        question="How fast do the models that are called most write?",
        sql=sql.of_busiest(
            "model",
            f"quantile_cont({sql.SPEED}, 0.5)",
            where=f"{sql.CALLS} AND status = 'ok' AND output_tokens > 0",
        ),
        viz="timeseries",
        unit="tokens/s",
        no_data="No answer with output tokens in this period",
    ),
)

_ERRORS: Final = (
    PanelSpec(
        id="reliability-error-types",
        row="Errors, ends and retries",
        title="Failed calls by error",
        question="By which errors do calls fail, and when?",
        sql=sql.top_over_time("error_type", "count(*)", where=f"{sql.CALLS} AND status = 'error'"),
        viz="bars",
        unit="calls",
        no_data="No call failed in this period",
        fills_when=ERRORS_FILL,
    ),
    PanelSpec(
        id="reliability-error-share",
        title="Error share by provider",
        question="Which provider's calls fail more than those of others?",
        sql=sql.of_busiest("provider", sql.ERROR_SHARE),
        viz="timeseries",
        unit="share",
        thresholds=sql.ERROR_LEVELS,
    ),
    PanelSpec(
        id="reliability-ends",
        title="How answers end",
        question="Do answers end by themselves, with a tool call, at the token limit, at a filter, or with an error?",
        sql=sql.top_over_time("finish_reason", "count(*)"),
        viz="bars",
        unit="calls",
        fields=parts.OUTCOMES,
    ),
    PanelSpec(
        id="reliability-retries",
        title="What became of failed calls",
        question="Was a failed call tried again under the same parent, and did the next attempt succeed?",
        sql=f"""WITH failures AS (
  SELECT trace_id, parent_span_id, span_id, time FROM llm_calls WHERE {sql.CALLS} AND status = 'error'
), attempts AS (
  SELECT failures.time, failures.span_id, arg_min(later.status, later.time) AS next
  FROM failures LEFT JOIN llm_calls AS later
    ON later.trace_id = failures.trace_id AND later.time > failures.time
    AND later.parent_span_id IS NOT DISTINCT FROM failures.parent_span_id
    AND $__timeFilter(later.time) AND later.billable
  GROUP BY ALL
)
SELECT {sql.STEP_FROM_ZERO}, count(*) FILTER (next = 'ok') AS "answered on retry",
  count(*) FILTER (next = 'error') AS "failed again", count(*) FILTER (next IS NULL) AS "not tried again"
FROM attempts GROUP BY 1 ORDER BY 1""",
        viz="bars",
        unit="calls",
        fields=(
            Field(name="answered on retry", colour="green"),
            Field(name="failed again", colour="orange"),
            Field(name="not tried again", colour="red"),
        ),
        no_data="No call failed in this period",
        fills_when=ERRORS_FILL,
    ),
    PanelSpec(
        id="reliability-waste",
        title="Paid for nothing",
        question="What did failed, cut-off and blocked answers cost? The line is the part of the failed calls whose "
        "cost is not known.",
        sql=sql.over_time(
            f"""coalesce(sum(cost_usd) FILTER ({sql.UNUSABLE}), 0) AS "wasted",
  coalesce(count(*) FILTER (status = 'error' AND cost_usd IS NULL) / nullif({sql.FAILED}, 0), 0)
    AS "{sql.UNPRICED_NAME}\"""",
            step=sql.STEP_FROM_ZERO,
        ),
        viz="bars",
        unit="usd",
        fields=(Field(name="wasted", colour="red"), sql.UNPRICED_FIELD),
    ),
    PanelSpec(
        id="reliability-providers",
        title="Health of providers",
        question="When did which part of a provider's calls fail?",
        sql=sql.of_busiest("provider", sql.ERROR_SHARE, most=12),
        viz="state",
        unit="share",
        thresholds=sql.ERROR_LEVELS,
        points=60,
    ),
)

_SCORED: Final = f"""count(*) AS calls, {sql.ERROR_SHARE} AS error_share,
  {_LIMITED} / nullif(count(*), 0) AS limited_share, quantile_cont(duration_ms, [0.5, 0.95, 0.99]) AS durations,
  quantile_cont(ttft_ms, 0.95) AS ttft_p95,
  quantile_cont({sql.SPEED}, 0.5) FILTER (status = 'ok' AND output_tokens > 0) AS speed,
  {parts.CUT_SHARE} AS cut_share,
  1000000 * sum(cost_usd)::DOUBLE / nullif({sql.TOKENS} FILTER (cost_usd IS NOT NULL), 0) AS per_million,
  {sql.UNPRICED_SHARE} AS unpriced_share"""

_TABLES: Final = (
    parts.table(
        "reliability-scorecard",
        "Scorecard of providers",
        "Which provider and model is how reliable, how fast, and at which price?",
        f"""SELECT provider, model, calls, error_share, limited_share, durations[1] AS p50, durations[2] AS p95,
  durations[3] AS p99, ttft_p95, speed, cut_share, per_million, unpriced_share
FROM (
  SELECT {sql.shown("provider")} AS provider, {sql.shown("model")} AS model, {_SCORED}
  FROM llm_calls WHERE {sql.CALLS} GROUP BY 1, 2
) AS cards
ORDER BY calls DESC, 1, 2 LIMIT 30""",
        parts.PROVIDER,
        sql.MODEL,
        parts.CALLS,
        parts.ERRORS,
        Field(name="limited_share", label="Rate limited", unit="share"),
        parts.P50,
        parts.P95,
        parts.P99,
        parts.TTFT,
        Field(name="speed", label="Speed, median", unit="tokens/s"),
        parts.CUT,
        Field(name="per_million", label="Per million tokens", unit="usd"),
        sql.UNPRICED_COLUMN,
        row="Who and which",
        width=24,
    ),
    parts.table(
        "reliability-slowest",
        "Slowest calls",
        "Which single calls took longest?",
        f"""SELECT time, trace_id, {sql.shown("tenant_id")} AS tenant, {sql.shown("model")} AS model, duration_ms,
  ttft_ms, output_tokens, {sql.shown("finish_reason")} AS ended
FROM llm_calls WHERE {sql.CALLS} ORDER BY duration_ms DESC NULLS LAST, trace_id, span_id LIMIT 20""",
        Field(name="time", label="When", unit="time"),
        sql.TRACE,
        sql.TENANT,
        sql.MODEL,
        Field(name="duration_ms", label="Duration", unit="ms", look="gauge"),
        Field(name="ttft_ms", label="First token", unit="ms"),
        Field(name="output_tokens", label="Output", unit="tokens"),
        Field(name="ended", label="Ended"),
    ),
    parts.table(
        "reliability-errors-list",
        "Latest failed calls",
        "Which calls failed last, and where?",
        f"""SELECT time, trace_id, {sql.shown("tenant_id")} AS tenant, {sql.shown("service_name")} AS service,
  {sql.shown("model")} AS model, {sql.shown("error_type")} AS error, http_status, duration_ms
FROM llm_calls WHERE {sql.CALLS} AND status = 'error' ORDER BY time DESC, trace_id, span_id LIMIT 30""",
        Field(name="time", label="When", unit="time"),
        sql.TRACE,
        sql.TENANT,
        parts.SERVICE,
        sql.MODEL,
        Field(name="error", label="Error"),
        Field(name="http_status", label="HTTP status", unit="text"),
        Field(name="duration_ms", label="Duration", unit="ms"),
        no_data="No call failed in this period",
        fills_when=ERRORS_FILL,
    ),
)

RELIABILITY: Final = Board(
    id="reliability",
    title="Spanledger: reliability, latency and streaming",
    description="Errors, retries and what they cost, latency and streaming, and a scorecard of the providers.",
    panels=(*_FIGURES, *_LATENCY, *_ERRORS, *_TABLES),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
