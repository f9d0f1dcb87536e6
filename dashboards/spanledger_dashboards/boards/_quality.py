"""Board 4: whether answers are good, and which prompt and model makes them better or worse."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import LABELS, SCORES_FILL
from spanledger_dashboards.panels import Board, Field, PanelSpec, Threshold

_EMPTY: Final = "No score in this period"
_FAILS: Final = "count(*) FILTER (label = 'fail')"
_JUDGED: Final = "count(*) FILTER (value IS NOT NULL)"
_FAIL_SHARE: Final = f"{_FAILS} / nullif({_JUDGED}, 0)"
_LEVELS: Final = (Threshold(None, "green"), Threshold(0.02, "yellow"), Threshold(0.1, "red"))
_TENTHS: Final = tuple(range(1, 11))
_FAILING: Final = Field(name="fail_share", label="Failing", unit="share", look="colour", thresholds=_LEVELS)
_MEAN: Final = Field(name="mean", label="Mean", unit="score", decimals=3)

_FIGURES: Final = (
    parts.stat(
        "quality-scored",
        "Scored calls",
        "How many calls of this period have a score? Provider and service are not known to scores.",
        sql.figure("count(DISTINCT span_id)", "scores", sql.SCORES),
        "calls",
        fills_when=SCORES_FILL,
    ),
    parts.stat(
        "quality-failing",
        "Failing verdicts",
        "Which part of the verdicts that could be given is fail?",
        sql.figure(_FAIL_SHARE, "scores", sql.SCORES),
        "share",
        thresholds=_LEVELS,
        no_data=_EMPTY,
        fills_when=SCORES_FILL,
    ),
    parts.stat(
        "quality-not-evaluable",
        "Could not be judged",
        "For which part of the verdicts was there nothing to go by, such as text that is not captured?",
        sql.figure("count(*) FILTER (value IS NULL) / nullif(count(*), 0)", "scores", sql.SCORES),
        "share",
        no_data=_EMPTY,
        fills_when=SCORES_FILL,
    ),
    parts.bad_share(
        "quality-cut",
        "Cut off",
        "Which part of the answers stopped at the token limit?",
        parts.CUT_SHARE,
        thresholds=parts.CUT.thresholds,
    ),
    parts.bad_share(
        "quality-blocked",
        "Blocked",
        "Which part of the calls ended at a content filter?",
        parts.BLOCKED_SHARE,
        thresholds=_LEVELS,
    ),
    parts.bad_share(
        "quality-unversioned",
        "Without prompt version",
        "Which part of the calls does not say which version of which prompt it used, so that none can be compared?",
        "count(*) FILTER (prompt_name IS NULL OR prompt_version IS NULL) / nullif(count(*), 0)",
    ),
)

_CHARTS: Final = (
    PanelSpec(
        id="quality-scores",
        row="Scores",
        title="Scores over time, mean",
        question="Do scores rise or fall? 1 is good, but for names that end in _risk, where 1 is bad.",
        sql=f"""WITH names AS (
  SELECT name FROM scores WHERE {sql.SCORES} AND value IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 12
)
SELECT {sql.STEP}, name AS metric, avg(value) AS value
FROM scores SEMI JOIN names USING (name) WHERE {sql.SCORES} AND value IS NOT NULL
GROUP BY 1, 2 ORDER BY 1, 2""",
        viz="timeseries",
        unit="score",
        no_data=_EMPTY,
        fills_when=SCORES_FILL,
        points=60,
        least_interval="5m",
    ),
    PanelSpec(
        id="quality-fails",
        title="Failing verdicts by name",
        question="What do answers fail at, and when?",
        sql=sql.top_over_time("name", "count(*)", where=f"{sql.SCORES} AND label = 'fail'", source="scores"),
        viz="bars",
        unit="events",
        no_data="No verdict is fail in this period",
        fills_when=SCORES_FILL,
    ),
    PanelSpec(
        id="quality-spread",
        title="Spread of scores",
        question="How many verdicts had which value? Names are the upper ends of tenths; risks are turned around, so "
        "that 1 is good everywhere.",
        sql=f"""SELECT time, {", ".join(f'count(*) FILTER (tenth = {tenth}) AS "{tenth / 10:g}"' for tenth in _TENTHS)}
FROM (
  SELECT {sql.STEP}, least(10, 1 + floor(10 * CASE WHEN name LIKE '%\\_risk' ESCAPE '\\' THEN 1 - value ELSE value END))
    AS tenth
  FROM scores WHERE {sql.SCORES} AND value BETWEEN 0 AND 1
) AS tenths
GROUP BY 1 ORDER BY 1""",
        viz="heatmap",
        unit="score",
        points=60,
        least_interval="5m",
        no_data=_EMPTY,
        fills_when=SCORES_FILL,
    ),
    PanelSpec(
        id="quality-ends",
        title="How answers end",
        question="Do answers end by themselves, with a tool call, at the token limit, or at a filter?",
        sql=sql.top_over_time("finish_reason", "count(*)", where=f"{sql.CALLS} AND status = 'ok'"),
        viz="bars",
        unit="calls",
        fields=parts.OUTCOMES,
    ),
)

_TABLES: Final = (
    parts.table(
        "quality-names",
        "Scores by name",
        "What is judged, how often, and with which result?",
        f"""SELECT name, n, mean, places[1] AS p10, places[2] AS median, places[3] AS p90, fail_share, warn_share,
  unjudged_share, last
FROM (
  SELECT name, count(*) AS n, avg(value) AS mean, quantile_cont(value, [0.1, 0.5, 0.9]) AS places,
    {_FAIL_SHARE} AS fail_share, count(*) FILTER (label = 'warn') / nullif({_JUDGED}, 0) AS warn_share,
    count(*) FILTER (value IS NULL) / count(*) AS unjudged_share, max(time) AS last
  FROM scores WHERE {sql.SCORES} GROUP BY name
) AS names
ORDER BY n DESC, name LIMIT 50""",
        Field(name="name", label="Score"),
        Field(name="n", label="Verdicts", unit="events"),
        _MEAN,
        Field(name="p10", label="p10", unit="score", decimals=2),
        Field(name="median", label="Median", unit="score", decimals=2),
        Field(name="p90", label="p90", unit="score", decimals=2),
        _FAILING,
        Field(name="warn_share", label="Warning", unit="share"),
        Field(name="unjudged_share", label="Not judged", unit="share"),
        Field(name="last", label="Last", unit="time"),
        no_data=_EMPTY,
        fills_when=SCORES_FILL,
    ),
    parts.table(
        "quality-models",
        "Scores by model",
        "Which model does better at what? The mean lies within plus or minus the margin, in 95 of 100 cases.",
        f"""SELECT {sql.shown("model")} AS model, name, {_JUDGED} AS n, avg(value) AS mean,
  1.96 * stddev_samp(value) / sqrt({_JUDGED}) AS margin, {_FAIL_SHARE} AS fail_share
FROM scores WHERE {sql.SCORES}
GROUP BY 1, 2 ORDER BY 2, n DESC, 1 LIMIT 60""",
        sql.MODEL,
        Field(name="name", label="Score"),
        Field(name="n", label="Verdicts", unit="events"),
        _MEAN,
        Field(name="margin", label="Margin", unit="score", decimals=3),
        _FAILING,
        no_data=_EMPTY,
        width=24,
        fills_when=SCORES_FILL,
    ),
    parts.table(
        "quality-prompts",
        "Versions of prompts",
        "Does a new version of a prompt make answers better, cheaper or slower?",
        f"""SELECT {sql.shown("prompt_name")} AS prompt, {sql.shown("prompt_version")} AS version, count(*) AS calls,
  min(time) AS first, {parts.CUT_SHARE} AS cut_share, {parts.BLOCKED_SHARE} AS blocked_share,
  {sql.ERROR_SHARE} AS error_share, quantile_cont(duration_ms, 0.95) AS p95,
  avg(input_tokens) AS input, avg(output_tokens) AS output,
  1000 * sum(cost_usd)::DOUBLE / count(*) AS per_1000, {sql.UNPRICED_SHARE} AS unpriced_share
FROM llm_calls WHERE {sql.CALLS}
GROUP BY 1, 2 ORDER BY 1, first DESC, 2 LIMIT 60""",
        Field(name="prompt", label="Prompt"),
        Field(name="version", label="Version"),
        parts.CALLS,
        Field(name="first", label="First", unit="time"),
        parts.CUT,
        Field(name="blocked_share", label="Blocked", unit="share", look="colour", thresholds=_LEVELS),
        parts.ERRORS,
        parts.P95,
        Field(name="input", label="Input, mean", unit="tokens"),
        Field(name="output", label="Output, mean", unit="tokens"),
        Field(name="per_1000", label="Per 1,000 calls", unit="usd"),
        sql.UNPRICED_COLUMN,
        width=24,
        row="Prompts",
    ),
    parts.table(
        "quality-prompt-scores",
        "Scores of versions of prompts",
        "Does a new version of a prompt score better? The mean lies within the margin, in 95 of 100 cases.",
        f"""SELECT {sql.shown("calls.prompt_name")} AS prompt, {sql.shown("calls.prompt_version")} AS version,
  judged.name, count(*) AS n, avg(judged.value) AS mean, 1.96 * stddev_samp(judged.value) / sqrt(count(*)) AS margin,
  count(*) FILTER (judged.label = 'fail') / count(*) AS fail_share
FROM (SELECT trace_id, span_id, name, value, label FROM scores WHERE {sql.SCORES} AND value IS NOT NULL) AS judged
JOIN (SELECT trace_id, span_id, prompt_name, prompt_version FROM llm_calls WHERE {sql.CALLS}) AS calls
  USING (trace_id, span_id)
GROUP BY 1, 2, 3 ORDER BY 1, 3, 2 DESC LIMIT 60""",
        Field(name="prompt", label="Prompt"),
        Field(name="version", label="Version"),
        Field(name="name", label="Score"),
        Field(name="n", label="Verdicts", unit="events"),
        _MEAN,
        Field(name="margin", label="Margin", unit="score", decimals=3),
        _FAILING,
        no_data=_EMPTY,
        fills_when=SCORES_FILL,
    ),
    parts.table(
        "quality-worst",
        "Worst answers",
        "Which answers failed most clearly?",
        f"""SELECT time, trace_id, {sql.shown("tenant_id")} AS tenant, {sql.shown("model")} AS model,
  {sql.shown("use_case")} AS use_case, name, value, label
FROM scores WHERE {sql.SCORES} AND label = 'fail'
ORDER BY CASE WHEN name LIKE '%\\_risk' ESCAPE '\\' THEN 1 - value ELSE value END, time DESC, trace_id, span_id, name
LIMIT 20""",
        Field(name="time", label="When", unit="time"),
        sql.TRACE,
        sql.TENANT,
        sql.MODEL,
        parts.USE_CASE,
        Field(name="name", label="Score"),
        Field(name="value", label="Value", unit="score", decimals=3),
        Field(name="label", label="Verdict", look="colour", meanings=LABELS),
        no_data="No verdict is fail in this period",
        fills_when=SCORES_FILL,
    ),
)

QUALITY: Final = Board(
    id="quality",
    title="Spanledger: quality",
    description="Scores, how answers end, and the versions of prompts beside each other.",
    panels=(*_FIGURES, *_CHARTS, *_TABLES),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
