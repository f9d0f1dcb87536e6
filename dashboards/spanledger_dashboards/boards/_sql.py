"""What the SQL of the panels has in common.

Calls are counted as ``/usage`` counts them: billable rows, so that a call that two instrumentations reported is one. A
choice of the reader narrows by the text shown, ``(none)`` where a row has none; "All" is the literal ``'*'``, which the
database folds away, so that it costs nothing and keeps rows without a value.
"""
# ruff: noqa: S608 - the SQL is made of the constants below; values come in as Grafana's variables

from typing import Final

from spanledger_dashboards.panels import Field, Link, Threshold

COLUMNS: Final = {
    "tenant": "tenant_id",
    "model": "model",
    "provider": "provider",
    "use_case": "use_case",
    "service": "service_name",
}
"""Variables and what they narrow in ``llm_calls``."""

FROM: Final = "$__timeFrom()::TIMESTAMPTZ"
TO: Final = "$__timeTo()::TIMESTAMPTZ"
STEP: Final = "$__timeGroupAlias(time,$__interval)"
STEP_FROM_ZERO: Final = "$__timeGroupAlias(time,$__interval,0)"
"""As above; Grafana shows steps without rows as 0."""

FAILED: Final = "count(*) FILTER (status = 'error')"
ANSWERED: Final = "count(*) FILTER (status = 'ok')"
UNPRICED: Final = "count(*) FILTER (status = 'ok' AND cost_usd IS NULL)"
ERROR_SHARE: Final = f"{FAILED} / nullif(count(*), 0)"
UNPRICED_SHARE: Final = f"coalesce({UNPRICED} / nullif({ANSWERED}, 0), 0)"
"""Of the calls that were answered: those whose cost is not known and so is missing in the sum."""
TOKENS: Final = "sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))"
UNUSABLE: Final = "status = 'error' OR finish_reason IN ('length', 'content_filter')"
"""Calls of which nobody had the whole answer."""
SPEED: Final = "output_tokens * 1000 / nullif(duration_ms - coalesce(ttft_ms, 0), 0)"
"""Output tokens a second, of one call, after the first one came."""

UNPRICED_NAME: Final = "unpriced share"
UNPRICED_FIELD: Final = Field(name=UNPRICED_NAME, unit="share", look="line", colour="grey", right_axis=True)
UNPRICED_COLUMN: Final = Field(
    name="unpriced_share",
    label="Unpriced share",
    unit="share",
    look="colour",
    thresholds=(Threshold(None, "green"), Threshold(0.0001, "yellow"), Threshold(0.05, "red")),
)
TRACE: Final = Field(name="trace_id", label="Trace", link=Link(kind="trace", title="Open the trace"), width=130)
TENANT: Final = Field(
    name="tenant", label="Tenant", link=Link(kind="board", title="This tenant", board="tenants", variable="tenant")
)
MODEL: Final = Field(
    name="model",
    label="Model",
    link=Link(kind="board", title="Reliability of this model", board="reliability", variable="model"),
)

ERROR_LEVELS: Final = (
    Threshold(None, "green"),
    Threshold(0.01, "yellow"),
    Threshold(0.05, "orange"),
    Threshold(0.2, "red"),
)
ANY_IS_BAD: Final = (Threshold(None, "green"), Threshold(0.0001, "yellow"), Threshold(0.05, "red"))
ONE_IS_BAD: Final = (Threshold(None, "green"), Threshold(1, "red"))
BUDGET_LEVELS: Final = (
    Threshold(None, "green"),
    Threshold(0.5, "yellow"),
    Threshold(0.8, "orange"),
    Threshold(1, "red"),
)


def shown(column: str) -> str:
    """Return a text that is never NULL."""
    return f"coalesce({column}, '(none)')"


def chosen(*names: str, prefix: str = "") -> str:
    """Return the condition that the reader's choices make; without names, of all variables."""
    return " AND ".join(
        f"('*' IN (${{{name}:sqlstring}}) OR {shown(prefix + COLUMNS[name])} IN (${{{name}:sqlstring}}))"
        for name in names or COLUMNS
    )


CALLS: Final = f"$__timeFilter(time) AND billable AND {chosen()}"
"""The billable calls of the shown period and the reader's choices."""
SCORES: Final = f"$__timeFilter(time) AND {chosen('tenant', 'model', 'use_case')}"
"""The scores of the shown period and the reader's choices, as far as scores know them."""
SPANS_OF_CALLS: Final = f"$__timeFilter(time) AND {chosen()}"
"""As above, with what was reported twice."""


class TwoPeriods(str):
    """SQL of a figure whose first row is the period before."""

    __slots__ = ()


def compared(value: str, *, empty: str = "NULL") -> TwoPeriods:
    """Return a figure over calls for the period before and for this one."""
    return TwoPeriods(f"""SELECT moment AS time, coalesce(value, {empty}) AS value
FROM (VALUES ({FROM}), ({TO})) AS periods(moment)
LEFT JOIN (
  SELECT CASE WHEN time < {FROM} THEN {FROM} ELSE {TO} END AS moment, {value} AS value
  FROM llm_calls
  WHERE time BETWEEN {FROM} - ({TO} - {FROM}) AND {TO} AND billable AND {chosen()}
  GROUP BY 1
) AS found USING (moment)
ORDER BY 1""")


def figure(value: str, source: str, where: str) -> str:
    """Return one figure, over any view."""
    return f"SELECT {TO} AS time, {value} AS value FROM {source} WHERE {where}"


def over_time(columns: str, *, where: str = CALLS, step: str = STEP, source: str = "llm_calls") -> str:
    """Return columns for each step in time."""
    return f"SELECT {step}, {columns}\nFROM {source}\nWHERE {where}\nGROUP BY 1 ORDER BY 1"


def quantiles(value: str, names: dict[str, float], *, where: str = CALLS) -> str:
    """Return exact quantiles for each step in time, computed in one go."""
    places = ", ".join(f'found[{place}] AS "{name}"' for place, name in enumerate(names, 1))
    return f"""SELECT time, {places}
FROM (
  SELECT {STEP}, quantile_cont({value}, {list(names.values())}) AS found
  FROM llm_calls WHERE {where} GROUP BY 1
) AS steps
WHERE found IS NOT NULL
ORDER BY 1"""


def top_over_time(name: str, value: str, *, where: str = CALLS, most: int = 9, source: str = "llm_calls") -> str:
    """Return sums for each step in time, of the largest names and of all others together."""
    return f"""WITH steps AS (
  SELECT {STEP_FROM_ZERO}, {shown(name)} AS name, {value} AS value
  FROM {source} WHERE {where} GROUP BY 1, 2
), places AS (
  SELECT name, row_number() OVER (ORDER BY sum(value) DESC NULLS LAST, name) AS place FROM steps GROUP BY name
)
SELECT time, CASE WHEN place <= {most} THEN name ELSE 'all others' END AS metric, sum(value) AS value
FROM steps JOIN places USING (name)
GROUP BY 1, 2 ORDER BY 1, 2"""


def cost_over_time(name: str, *, most: int = 9) -> str:
    """Return the cost for each step in time of the largest names and all others, and the unpriced share of all."""
    return f"""WITH steps AS (
  SELECT {STEP_FROM_ZERO}, {shown(name)} AS name, sum(cost_usd) AS cost, {UNPRICED} AS unpriced, {ANSWERED} AS answered
  FROM llm_calls WHERE {CALLS} GROUP BY 1, 2
), places AS (
  SELECT name, row_number() OVER (ORDER BY sum(cost) DESC NULLS LAST, name) AS place FROM steps GROUP BY name
)
SELECT time, CASE WHEN place <= {most} THEN name ELSE 'all others' END AS metric, sum(cost)::DOUBLE AS value
FROM steps JOIN places USING (name) GROUP BY 1, 2
UNION ALL
SELECT time, '{UNPRICED_NAME}', coalesce(sum(unpriced) / nullif(sum(answered), 0), 0) FROM steps GROUP BY 1
ORDER BY 1, 2"""


def of_busiest(column: str, value: str, *, where: str = CALLS, most: int = 8) -> str:
    """Return a figure for each step in time, of the models (providers...) that are called most."""
    return f"""WITH busiest AS (
  SELECT {column} FROM llm_calls WHERE {where} AND {column} IS NOT NULL
  GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {most}
)
SELECT time, metric, value
FROM (
  SELECT {STEP}, {column} AS metric, {value} AS value
  FROM llm_calls SEMI JOIN busiest USING ({column})
  WHERE {where} GROUP BY 1, 2
) AS steps
WHERE value IS NOT NULL
ORDER BY 1, 2"""
