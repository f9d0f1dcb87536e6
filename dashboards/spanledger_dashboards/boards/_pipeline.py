"""Board 8: whether telemetry arrives and is understood, whether alerts are delivered, and the latest traces."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import ALERTS_FILL, DELIVERIES_FILL, REJECTIONS_FILL, alert_fields
from spanledger_dashboards.panels import Board, Field, Meaning, PanelSpec, Threshold

_REFUSED: Final = f"$__timeFilter(time) AND {sql.chosen('tenant', 'service')}"
_SENT: Final = f"$__timeFilter(time) AND {sql.chosen('tenant')}"
_SILENCE: Final = (Threshold(None, "green"), Threshold(900, "yellow"), Threshold(3600, "red"))

_FIGURES: Final = (
    parts.stat(
        "pipeline-silence",
        "Since the last call",
        "How long before the end of this period did the last call begin?",
        sql.figure(f"epoch({sql.TO}) - epoch(max(time))", "llm_calls", sql.SPANS_OF_CALLS),
        "s",
        thresholds=_SILENCE,
    ),
    parts.stat(
        "pipeline-rate",
        "Calls a minute",
        "How many calls came in a minute, on average?",
        sql.compared(f"count(*) * 60 / nullif(epoch({sql.TO}) - epoch({sql.FROM}), 0)", empty="0"),
        "calls/min",
        decimals=1,
    ),
    parts.stat(
        "pipeline-services",
        "Services that send",
        "From how many services did calls come?",
        sql.compared("count(DISTINCT service_name)", empty="0"),
        "number",
    ),
    parts.stat(
        "pipeline-refused",
        "Refused",
        "How many spans, logs or metrics were sent and not taken?",
        sql.figure("coalesce(sum(count), 0)::BIGINT", "rejections", _REFUSED),
        "rows",
        thresholds=sql.ONE_IS_BAD,
        fills_when=REJECTIONS_FILL,
    ),
    parts.stat(
        "pipeline-twice",
        "Told twice",
        "Which part of the reported calls repeats another report, and is not billed again?",
        sql.figure("count(*) FILTER (NOT billable) / nullif(count(*), 0)", "llm_calls", sql.SPANS_OF_CALLS),
        "share",
    ),
    parts.stat(
        "pipeline-undelivered",
        "Failed deliveries",
        "How many attempts to deliver an alert failed?",
        sql.figure("count(*) FILTER (NOT ok)", "deliveries", _SENT),
        "events",
        thresholds=sql.ONE_IS_BAD,
        fills_when=DELIVERIES_FILL,
    ),
)

_TRACES: Final = parts.table(
    "pipeline-traces",
    "Latest traces",
    "What happened last? A click opens the trace.",
    f"""WITH latest AS (
  SELECT * FROM llm_calls WHERE {sql.CALLS} ORDER BY time DESC, trace_id, span_id LIMIT 300
)
SELECT min(time) AS began, trace_id, {sql.shown("min(tenant_id)")} AS tenant,
  {sql.shown("min(service_name)")} AS service, {sql.shown("min(use_case)")} AS use_case, count(*) AS calls,
  epoch(max(time)) * 1000 - epoch(min(time)) * 1000 + arg_max(duration_ms, time) AS duration_ms,
  {sql.TOKENS}::BIGINT AS tokens, sum(cost_usd) AS cost, {sql.UNPRICED_SHARE} AS unpriced_share,
  {sql.ERROR_SHARE} AS error_share
FROM latest GROUP BY trace_id ORDER BY began DESC, trace_id LIMIT 50""",
    Field(name="began", label="Began", unit="time"),
    sql.TRACE,
    sql.TENANT,
    parts.SERVICE,
    parts.USE_CASE,
    parts.CALLS,
    Field(name="duration_ms", label="From first to last call", unit="ms"),
    Field(name="tokens", label="Tokens", unit="tokens"),
    Field(name="cost", label="Cost", unit="usd"),
    sql.UNPRICED_COLUMN,
    parts.ERRORS,
    width=24,
    height=10,
)

_CHARTS: Final = (
    PanelSpec(
        id="pipeline-by-service",
        row="What arrives",
        title="Calls by service",
        question="Does a service send more than before, or nothing any more?",
        sql=sql.top_over_time("service_name", "count(*)", where=sql.SPANS_OF_CALLS),
        viz="bars",
        unit="spans",
    ),
    PanelSpec(
        id="pipeline-by-dialect",
        title="Calls by instrumentation",
        question="Which families of instrumentation write the spans?",
        sql=sql.top_over_time("dialect", "count(*)", where=sql.SPANS_OF_CALLS),
        viz="bars",
        unit="spans",
    ),
    PanelSpec(
        id="pipeline-usage",
        title="Where token counts come from",
        question="Did the provider tell the tokens, were they estimated, or are they missing?",
        sql=sql.top_over_time("usage_source", "count(*)"),
        viz="bars",
        unit="calls",
        fields=(
            Field(name="provider", colour="green"),
            Field(name="estimated", colour="yellow"),
            Field(name="missing", colour="red"),
        ),
    ),
    PanelSpec(
        id="pipeline-rejections",
        title="Refused items by reason",
        question="Why is something that was sent not taken?",
        sql=sql.top_over_time("reason", "sum(count)::BIGINT", where=_REFUSED, source="rejections"),
        viz="bars",
        unit="rows",
        no_data="Nothing was refused in this period",
        fills_when=REJECTIONS_FILL,
    ),
)

_TABLES: Final = (
    parts.table(
        "pipeline-sources",
        "Sources",
        "Which service sends through which instrumentation, how much, and since when has it been silent?",
        f"""SELECT {sql.shown("service_name")} AS service, {sql.shown("dialect")} AS dialect,
  {sql.shown("scope_name")} AS scope, count(*) AS spans, count(*) FILTER (billable) AS calls,
  epoch({sql.TO}) - epoch(max(time)) AS silence, max(time) AS last
FROM llm_calls WHERE {sql.SPANS_OF_CALLS}
GROUP BY 1, 2, 3 ORDER BY silence DESC, 1, 2, 3 LIMIT 50""",
        parts.SERVICE,
        Field(name="dialect", label="Dialect"),
        Field(name="scope", label="Instrumentation"),
        Field(name="spans", label="Reports", unit="spans"),
        parts.CALLS,
        Field(name="silence", label="Silent for", unit="s", look="colour", thresholds=_SILENCE),
        Field(name="last", label="Last", unit="time"),
    ),
    parts.table(
        "pipeline-billing",
        "Why calls are billed or not",
        "By which rule was a report taken for a call of its own, or for a repetition?",
        f"""SELECT CASE WHEN billable THEN 'yes' ELSE 'no' END AS billed, {sql.shown("billing_reason")} AS reason,
  cost_status, count(*) AS spans, sum(cost_usd) AS cost, {sql.UNPRICED_SHARE} AS unpriced_share
FROM llm_calls WHERE {sql.SPANS_OF_CALLS}
GROUP BY 1, 2, 3 ORDER BY spans DESC, 1, 2, 3 LIMIT 50""",
        Field(
            name="billed",
            label="Billed",
            look="colour",
            meanings=(Meaning("yes", "yes", "green"), Meaning("no", "no", "grey")),
        ),
        Field(name="reason", label="Rule"),
        Field(name="cost_status", label="Price"),
        Field(name="spans", label="Reports", unit="spans"),
        Field(name="cost", label="Cost", unit="usd"),
        sql.UNPRICED_COLUMN,
        width=24,
    ),
    parts.table(
        "pipeline-refused-list",
        "Refused items",
        "What was refused, from whom, and why?",
        f"""SELECT {sql.shown("service_name")} AS service, signal, reason, sum(count)::BIGINT AS items,
  (sum(coalesce(size, 0) * count))::BIGINT AS bytes, min(time) AS first, max(time) AS last
FROM rejections WHERE {_REFUSED}
GROUP BY 1, 2, 3 ORDER BY last DESC, 1, 2, 3 LIMIT 50""",
        parts.SERVICE,
        Field(name="signal", label="Signal"),
        Field(name="reason", label="Why"),
        Field(name="items", label="Items", unit="rows"),
        Field(name="bytes", label="Size", unit="bytes"),
        Field(name="first", label="First", unit="time"),
        Field(name="last", label="Last", unit="time"),
        no_data="Nothing was refused in this period",
        fills_when=REJECTIONS_FILL,
    ),
    parts.table(
        "pipeline-deliveries",
        "Deliveries of alerts",
        "Were alerts delivered, where to, at which attempt, and with which answer?",
        f"""SELECT time, endpoint, {sql.shown("tenant_id")} AS tenant, attempt,
  CASE WHEN ok THEN 'yes' ELSE 'no' END AS delivered, http_status, detail, alert_id
FROM deliveries WHERE {_SENT} ORDER BY time DESC, id, attempt LIMIT 50""",
        Field(name="time", label="When", unit="time"),
        Field(name="endpoint", label="Receiver"),
        sql.TENANT,
        Field(name="attempt", label="Attempt", unit="number"),
        Field(
            name="delivered",
            label="Delivered",
            look="colour",
            meanings=(Meaning("yes", "yes", "green"), Meaning("no", "no", "red")),
        ),
        Field(name="http_status", label="HTTP status", unit="text"),
        Field(name="detail", label="Detail", width=240),
        Field(name="alert_id", label="Alert"),
        no_data="No alert was sent in this period",
        fills_when=DELIVERIES_FILL,
        row="Alerts on their way",
    ),
    parts.table(
        "pipeline-alerts",
        "Alerts by rule",
        "Which rules fire, how often, and do their alerts end?",
        f"""SELECT rule, severity, count(*) AS alerts, count(*) FILTER (state = 'firing') AS firing,
  avg(epoch(resolved) - epoch(started)) AS lasted, max(started) AS last
FROM alerts
WHERE started <= {sql.TO} AND coalesce(resolved, {sql.TO}) >= {sql.FROM} AND {sql.chosen("tenant")}
GROUP BY 1, 2 ORDER BY alerts DESC, 1, 2 LIMIT 50""",
        *(field for field in alert_fields() if field.name in ("rule", "severity")),
        Field(name="alerts", label="Alerts", unit="events"),
        Field(name="firing", label="Firing now", unit="events"),
        Field(name="lasted", label="Lasted, mean", unit="s"),
        Field(name="last", label="Last", unit="time"),
        no_data="No alert in this period",
        fills_when=ALERTS_FILL,
    ),
)

PIPELINE: Final = Board(
    id="pipeline",
    title="Spanledger: pipeline health and traces",
    description="Whether telemetry arrives and is understood, whether alerts are delivered, and the latest traces.",
    panels=(*_FIGURES, _TRACES, *_CHARTS, *_TABLES),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
