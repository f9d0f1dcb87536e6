"""Board 7: whether the records would stand an audit, computed from the records themselves."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final, NamedTuple

from spanledger_dashboards.boards import _parts as parts
from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.boards._choices import ANNOTATIONS, VARIABLES
from spanledger_dashboards.boards._later import REJECTIONS_FILL, SCORES_FILL
from spanledger_dashboards.panels import Board, Field, Meaning, PanelSpec, Threshold


class _Check(NamedTuple):
    """One row of the readiness list: of the rows that ``of`` names, those that ``met`` names are as they should be."""

    area: str
    title: str
    met: str
    of: str
    mend: str


_ALL: Final = "true"
_OK: Final = "status = 'ok'"
_CHECKS: Final = (
    _Check("Who", "Calls name their tenant", "tenant_id IS NOT NULL", _ALL, "a key for each tenant, or tenant.id"),
    _Check("Who", "Calls name their user", "user_id IS NOT NULL", _ALL, "spanledger.context(user=...)"),
    _Check("Who", "Calls name their session", "session_id IS NOT NULL", _ALL, "spanledger.context(session=...)"),
    _Check("Why", "Calls name their use case", "use_case IS NOT NULL", _ALL, "spanledger.context(use_case=...)"),
    _Check(
        "Why",
        "Prompts have name and version",
        "prompt_name IS NOT NULL AND prompt_version IS NOT NULL",
        _ALL,
        "spanledger.context(prompt='name@version')",
    ),
    _Check("Where", "The region of the data is known", "region IS NOT NULL", _ALL, "spanledger.context(region=...)"),
    _Check(
        "Where",
        "Environments are named",
        "environment IS NOT NULL",
        _ALL,
        "deployment.environment.name in OTEL_RESOURCE_ATTRIBUTES",
    ),
    _Check("Where", "Services are named", "service_name IS NOT NULL", _ALL, "OTEL_SERVICE_NAME"),
    _Check("What", "The model that answered is known", "response_model IS NOT NULL", _OK, "a current instrumentation"),
    _Check("What", "Answers carry the provider's id", "response_id IS NOT NULL", _OK, "a current instrumentation"),
    _Check(
        "What",
        "It is known how answers ended",
        "finish_reason IS NOT NULL",
        "status = 'ok' AND output_tokens > 0",
        "a current instrumentation",
    ),
    _Check(
        "Money",
        "Tokens are told by the provider",
        "usage_source = 'provider'",
        _OK,
        "stream_options include_usage, or import spanledger.auto",
    ),
    _Check("Money", "Answers have a known price", "cost_usd IS NOT NULL", _OK, "the [pricing] overrides"),
    _Check(
        "Service",
        "Streams tell when they began",
        "ttft_ms IS NOT NULL",
        "status = 'ok' AND stream",
        "import spanledger.auto",
    ),
    _Check("Service", "Errors have a type", "error_type IS NOT NULL", "status = 'error'", "a current instrumentation"),
)
_STATES: Final = (
    Meaning("met", "met", "green"),
    Meaning("mostly", "mostly", "yellow"),
    Meaning("not met", "not met", "red"),
    Meaning("nothing to check", "nothing to check", "grey"),
)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _readiness() -> str:
    """Return the list of checks; one pass over the calls counts for all of them."""
    columns = ",\n    ".join(
        f"count(*) FILTER ({check.of}) AS of_{number}, count(*) FILTER (({check.of}) AND {check.met}) AS met_{number}"
        for number, check in enumerate(_CHECKS)
    )
    rows = "\n  UNION ALL ".join(
        f"SELECT {number} AS place, {_literal(check.area)} AS area, {_literal(check.title)} AS title, "
        f"of_{number} AS looked_at, met_{number} AS met, {_literal(check.mend)} AS mend FROM counted"
        for number, check in enumerate(_CHECKS)
    )
    return f"""WITH counted AS (
  SELECT {columns}
  FROM llm_calls WHERE {sql.CALLS}
), checks AS (
  {rows}
)
SELECT area, title, CASE WHEN looked_at = 0 THEN 'nothing to check' WHEN met = looked_at THEN 'met'
    WHEN met >= 0.95 * looked_at THEN 'mostly' ELSE 'not met' END AS state,
  met / nullif(looked_at, 0) AS share, looked_at - met AS missing, mend
FROM checks ORDER BY place LIMIT 50"""


_FULL: Final = (Threshold(None, "red"), Threshold(0.95, "yellow"), Threshold(1, "green"))
_PII: Final = f"{sql.SCORES} AND name LIKE '%pii%'"

_FIGURES: Final = (
    parts.stat(
        "compliance-attributed",
        "Fully attributed",
        "Which part of the calls names tenant, user, session and use case?",
        sql.compared(
            "count(*) FILTER (tenant_id IS NOT NULL AND user_id IS NOT NULL AND session_id IS NOT NULL "
            "AND use_case IS NOT NULL) / nullif(count(*), 0)"
        ),
        "share",
        thresholds=_FULL,
        good_is="up",
    ),
    parts.stat(
        "compliance-pinned",
        "Answering model known",
        "For which part of the answers is it known which model gave them?",
        sql.compared(
            "count(*) FILTER (status = 'ok' AND response_model IS NOT NULL) / "
            "nullif(count(*) FILTER (status = 'ok'), 0)"
        ),
        "share",
        thresholds=_FULL,
        good_is="up",
    ),
    parts.stat(
        "compliance-measured",
        "Tokens told by the provider",
        "For which part of the answers did the provider itself say how many tokens it billed?",
        sql.compared(
            "count(*) FILTER (status = 'ok' AND usage_source = 'provider') / nullif(count(*) FILTER (status = 'ok'), 0)"
        ),
        "share",
        thresholds=_FULL,
        good_is="up",
    ),
    parts.stat(
        "compliance-regions",
        "Regions",
        "In how many regions of providers was data processed?",
        sql.compared("count(DISTINCT region)", empty="0"),
        "number",
    ),
    parts.stat(
        "compliance-pii",
        "Answers with personal data",
        "In how many calls did the recognisers find personal data, or a risk of it?",
        sql.figure("count(DISTINCT span_id) FILTER (label IN ('warn', 'fail'))", "scores", _PII),
        "calls",
        thresholds=sql.ONE_IS_BAD,
        fills_when=SCORES_FILL,
    ),
    parts.stat(
        "compliance-refused",
        "Refused items",
        "How many spans, logs or metrics were sent and not taken?",
        sql.figure(
            "coalesce(sum(count), 0)::BIGINT",
            "rejections",
            f"$__timeFilter(time) AND {sql.chosen('tenant', 'service')}",
        ),
        "rows",
        thresholds=sql.ONE_IS_BAD,
        fills_when=REJECTIONS_FILL,
    ),
)

_PANELS: Final = (
    parts.table(
        "compliance-readiness",
        "Readiness",
        "Is everything recorded that an audit, a bill or an incident needs, and what mends what is missing?",
        _readiness(),
        Field(name="area", label="Area", width=90),
        Field(name="title", label="Check"),
        Field(name="state", label="State", look="colour", meanings=_STATES, width=140),
        Field(name="share", label="Met by", unit="share", look="gauge", thresholds=_FULL),
        Field(name="missing", label="Calls that do not", unit="calls"),
        Field(name="mend", label="What mends it"),
        width=24,
        height=14,
    ),
    parts.table(
        "compliance-residency",
        "Where data is processed",
        "Which tenant's data went to which provider and region?",
        f"""SELECT {sql.shown("region")} AS region, {sql.shown("provider")} AS provider,
  {sql.shown("tenant_id")} AS tenant, count(*) AS calls,
  {sql.TOKENS}::BIGINT AS tokens, max(time) AS last
FROM llm_calls WHERE {sql.CALLS}
GROUP BY 1, 2, 3 ORDER BY calls DESC, 1, 2, 3 LIMIT 100""",
        Field(name="region", label="Region"),
        parts.PROVIDER,
        sql.TENANT,
        parts.CALLS,
        Field(name="tokens", label="Tokens", unit="tokens"),
        Field(name="last", label="Last", unit="time"),
        row="Inventories",
    ),
    parts.table(
        "compliance-models",
        "Models in use",
        "Which models were asked for, which versions answered, and since when in this period?",
        f"""SELECT {sql.shown("provider")} AS provider, {sql.shown("request_model")} AS asked,
  {sql.shown("response_model")} AS answered, count(*) AS calls, min(time) AS first, max(time) AS last
FROM llm_calls WHERE {sql.CALLS} AND status = 'ok'
GROUP BY 1, 2, 3 ORDER BY calls DESC, 1, 2, 3 LIMIT 100""",
        parts.PROVIDER,
        Field(name="asked", label="Asked for"),
        Field(name="answered", label="Answered"),
        parts.CALLS,
        Field(name="first", label="First", unit="time"),
        Field(name="last", label="Last", unit="time"),
        no_data="No call was answered in this period",
    ),
    PanelSpec(
        id="compliance-by-region",
        title="Calls by region",
        question="Does data suddenly go somewhere else?",
        sql=sql.top_over_time("region", "count(*)"),
        viz="bars",
        unit="calls",
    ),
    PanelSpec(
        id="compliance-filtered",
        title="Answers stopped by filters, by use case",
        question="Where do the providers' content filters step in?",
        sql=sql.top_over_time("use_case", "count(*)", where=f"{sql.CALLS} AND finish_reason = 'content_filter'"),
        viz="bars",
        unit="calls",
        no_data="No answer was stopped by a filter in this period",
        fills_when="Filled by answers that a provider's content filter stops; empty is good.",
    ),
    parts.table(
        "compliance-pii-list",
        "Personal data found",
        "Which recogniser found something, for whom, and how often?",
        f"""SELECT {sql.shown("tenant_id")} AS tenant, {sql.shown("use_case")} AS use_case, name,
  count(*) FILTER (label IN ('warn', 'fail')) AS found, count(*) AS looked_at, max(time) AS last
FROM scores WHERE {_PII}
GROUP BY 1, 2, 3 ORDER BY found DESC, 1, 2, 3 LIMIT 50""",
        sql.TENANT,
        parts.USE_CASE,
        Field(name="name", label="Recogniser"),
        Field(name="found", label="Found in", unit="calls"),
        Field(name="looked_at", label="Looked at", unit="calls"),
        Field(name="last", label="Last", unit="time"),
        no_data="No recogniser looked at a call in this period",
        fills_when=SCORES_FILL,
    ),
    parts.table(
        "compliance-kept",
        "What is kept",
        "How far back do the records of each tenant reach?",
        f"""SELECT {sql.shown("tenant_id")} AS tenant, min(time) AS oldest, max(time) AS newest, count(*) AS calls
FROM llm_calls WHERE billable AND {sql.chosen("tenant")}
GROUP BY 1 ORDER BY oldest, 1 LIMIT 100""",
        sql.TENANT,
        Field(name="oldest", label="Oldest call", unit="time"),
        Field(name="newest", label="Newest call", unit="time"),
        parts.CALLS,
        no_data="No call is kept",
    ),
)

COMPLIANCE: Final = Board(
    id="compliance",
    title="Spanledger: compliance and readiness",
    description="Whether the records would stand an audit: attribution, residency, model versions, personal data, "
    "retention. The numbers are computed from the stored calls; who read which text is in the audit trail of the API.",
    panels=(*_FIGURES, *_PANELS),
    variables=VARIABLES,
    annotations=ANNOTATIONS,
)
