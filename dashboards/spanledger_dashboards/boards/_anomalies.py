"""Board 5: what is not as usual, what it costs, and who causes it."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import ANOMALIES_FILL, SEVERITIES
from spanledger_dashboards.panels import Board, Field, PanelSpec, Threshold, Unit

_SHOWN: Final = f"started <= {sql.TO} AND coalesce(ended, {sql.TO}) >= {sql.FROM} AND {sql.chosen('tenant')}"
_EMPTY: Final = "No anomaly in this period"
_DAYS: Final = 7


def _usual(what: str, title: str, question: str, unit: Unit, value: str, *, unpriced: bool = False) -> PanelSpec:
    """Return a figure of each hour beside the same hour of the days before."""
    beside = f', any_value(now.unpriced) AS "{sql.UNPRICED_NAME}"' if unpriced else ""
    counted = f", {sql.UNPRICED_SHARE} AS unpriced" if unpriced else ""
    return PanelSpec(
        id=f"anomalies-{what}",
        title=title,
        question=f"{question} The band spans the same hour of the {_DAYS} days before, the dashes are its median; the "
        "running hour is not whole.",
        sql=f"""WITH hours AS (
  SELECT date_trunc('hour', time) AS hour, ({value})::DOUBLE AS value{counted}
  FROM llm_calls
  WHERE time BETWEEN {sql.FROM} - INTERVAL {_DAYS + 1} DAYS AND {sql.TO} AND billable AND {sql.chosen()}
  GROUP BY 1
)
SELECT now.hour AS time, min(before.value) AS lowest, max(before.value) AS highest,
  quantile_cont(before.value, 0.5) AS usual, any_value(now.value) AS actual{beside}
FROM hours AS now LEFT JOIN hours AS before
  ON epoch(before.hour) % 86400 = epoch(now.hour) % 86400
  AND before.hour < now.hour AND before.hour >= now.hour - INTERVAL {_DAYS} DAYS
WHERE now.hour >= {sql.FROM}
GROUP BY 1 ORDER BY 1""",
        viz="timeseries",
        unit=unit,
        fields=(
            Field(name="lowest", look="hidden", colour="grey"),
            Field(name="highest", look="band", colour="grey"),
            Field(name="usual", look="dashes", colour="blue"),
            Field(name="actual", look="line", colour="orange"),
            *((sql.UNPRICED_FIELD,) if unpriced else ()),
        ),
        least_interval="1h",
    )


_FIGURES: Final = (
    parts.stat(
        "anomalies-open",
        "Going on",
        "How many anomalies have not ended?",
        sql.figure("count(*)", "anomalies", f"{_SHOWN} AND ended IS NULL"),
        "events",
        width=6,
        thresholds=(Threshold(None, "green"), Threshold(1, "orange")),
        fills_when=ANOMALIES_FILL,
    ),
    parts.stat(
        "anomalies-found",
        "In this period",
        "How many anomalies touch this period?",
        sql.figure("count(*)", "anomalies", _SHOWN),
        "events",
        width=6,
        fills_when=ANOMALIES_FILL,
    ),
    parts.stat(
        "anomalies-critical",
        "Critical",
        "How many of them are critical?",
        sql.figure("count(*) FILTER (severity = 'critical')", "anomalies", _SHOWN),
        "events",
        width=6,
        thresholds=sql.ONE_IS_BAD,
        fills_when=ANOMALIES_FILL,
    ),
    parts.stat(
        "anomalies-impact",
        "Impact",
        "What did the anomalies of this period cost beyond what was expected?",
        sql.figure("coalesce(sum(impact_usd), 0)", "anomalies", _SHOWN),
        "usd",
        width=6,
        fills_when=ANOMALIES_FILL,
    ),
)

_CHARTS: Final = (
    _usual(
        "cost",
        "Cost of each hour, and what is usual",
        "Is as much spent as on other days?",
        "usd",
        "sum(cost_usd)",
        unpriced=True,
    ),
    _usual(
        "calls",
        "Calls of each hour, and what is usual",
        "Are as many calls made as on other days?",
        "calls",
        "count(*)",
    ),
    _usual(
        "errors",
        "Error share of each hour, and what is usual",
        "Do as many calls fail as on other days?",
        "share",
        sql.ERROR_SHARE,
    ),
    _usual(
        "tokens",
        "Output of a call, and what is usual",
        "Are answers as long as on other days, on average?",
        "tokens",
        "avg(output_tokens)",
    ),
)

_LISTS: Final = (
    PanelSpec(
        id="anomalies-by-kind",
        row="What was found",
        title="Anomalies by kind",
        question="When did which kind of anomaly begin?",
        sql=f"""SELECT $__timeGroupAlias(started,$__interval,0), {sql.shown("kind")} AS metric, count(*) AS value
FROM anomalies WHERE $__timeFilter(started) AND {sql.chosen("tenant")}
GROUP BY 1, 2 ORDER BY 1, 2""",
        viz="bars",
        unit="events",
        points=60,
        least_interval="1h",
        no_data=_EMPTY,
        fills_when=ANOMALIES_FILL,
    ),
    PanelSpec(
        id="anomalies-by-tenant",
        title="Impact by tenant",
        question="Whom do the anomalies of this period cost most?",
        sql=f"""SELECT {sql.shown("tenant_id")} AS label, sum(impact_usd) AS value
FROM anomalies WHERE {_SHOWN}
GROUP BY 1 ORDER BY value DESC NULLS LAST, 1 LIMIT 15""",
        viz="bargauge",
        unit="usd",
        no_data=_EMPTY,
        fills_when=ANOMALIES_FILL,
    ),
    parts.table(
        "anomalies-list",
        "Anomalies",
        "What was not as usual, since when, for whom, why, and what did it cost?",
        f"""SELECT started, ended, {sql.shown("tenant_id")} AS tenant, severity, coalesce(summary, cause) AS what,
  kind, impact_usd, requests_per_hour
FROM anomalies WHERE {_SHOWN}
ORDER BY severity = 'info', started DESC, id LIMIT 100""",
        Field(name="started", label="Since", unit="time"),
        Field(name="ended", label="Until", unit="time"),
        sql.TENANT,
        Field(name="severity", label="Severity", look="colour", meanings=SEVERITIES),
        Field(name="what", label="What happened", width=480),
        Field(name="kind", label="Kind"),
        Field(name="impact_usd", label="Impact", unit="usd"),
        Field(name="requests_per_hour", label="Worse off, 1/h", unit="number"),
        width=24,
        no_data=_EMPTY,
        fills_when=ANOMALIES_FILL,
    ),
)

ANOMALIES: Final = Board(
    id="anomalies",
    title="Spanledger: anomalies",
    description="What is not as usual, what it costs, and who causes it; each hour beside the same hour of other days.",
    panels=(*_FIGURES, *_CHARTS, *_LISTS),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
