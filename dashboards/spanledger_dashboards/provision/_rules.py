"""Alert rules for Grafana's own alerting: a second channel, for when the first is what is broken.

Each is a query A that answers one row for each thing that may be wrong (its text columns become labels of the alert), a
reduction B, which leaves such rows as they are, and a threshold C.
"""
# ruff: noqa: S608 - the SQL is made of constants

from dataclasses import dataclass
from typing import Final, Literal

from spanledger_dashboards.boards import _sql as sql
from spanledger_dashboards.grafana_json import panel_number
from spanledger_dashboards.provision._model import ALERT_FOLDER, UID_PREFIX, Item, Json

GROUP: Final = "Spanledger"
_EXPRESSIONS: Final = "__expr__"
_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """One alert rule: it holds when the value of a row is above (or below) the threshold for so long."""

    id: str
    title: str
    summary: str
    sql: str
    threshold: float
    seconds: int
    """How far back the query looks."""
    for_: str = "5m"
    no_data: Literal["OK", "NoData"] = "OK"
    severity: Literal["warning", "critical"] = "warning"
    board: str
    panel: str
    """Where to look, and where Grafana marks the alert."""


RULES: Final = (
    RuleSpec(
        id="errors",
        title="Many calls fail",
        summary="More than a fifth of the calls of {{ $labels.service }} ({{ $labels.tenant }}) fail.",
        sql=f"""SELECT {sql.shown("tenant_id")} AS tenant, {sql.shown("service_name")} AS service,
  {sql.FAILED} / count(*) AS value
FROM llm_calls WHERE $__timeFilter(time) AND billable
GROUP BY 1, 2 HAVING count(*) >= 20 ORDER BY 1, 2""",
        threshold=0.2,
        seconds=600,
        severity="critical",
        board="reliability",
        panel="reliability-error-share",
    ),
    RuleSpec(
        id="budgets",
        title="A budget is exceeded",
        summary="Budget {{ $labels.budget }} of {{ $labels.tenant }} is exceeded.",
        sql="""SELECT name AS budget, coalesce(tenant_id, '(all)') AS tenant,
  max(spent_usd::DOUBLE / limit_usd) AS value
FROM budgets WHERE limit_usd > 0 AND spent_usd IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2""",
        threshold=1.0,
        seconds=_HOUR,
        for_="0s",
        severity="critical",
        board="cost",
        panel="cost-budget-use",
    ),
    RuleSpec(
        id="unpriced",
        title="Calls without a price",
        summary="The cost of a fifth of the calls of {{ $labels.model }} ({{ $labels.tenant }}) is not known.",
        sql=f"""SELECT {sql.shown("tenant_id")} AS tenant, {sql.shown("model")} AS model,
  {sql.UNPRICED_SHARE} AS value
FROM llm_calls WHERE $__timeFilter(time) AND billable
GROUP BY 1, 2 HAVING count(*) >= 50 ORDER BY 1, 2""",
        threshold=0.2,
        seconds=_HOUR,
        board="cost",
        panel="cost-table-unpriced",
    ),
    RuleSpec(
        id="silence",
        title="No calls arrive any more",
        summary="No call came in the last hour; there were some in the day before it.",
        sql=f"""SELECT CASE WHEN count(*) > 0 AND count(*) FILTER (time >= {sql.TO} - INTERVAL 1 HOUR) = 0
  THEN 1 ELSE 0 END AS value
FROM llm_calls WHERE $__timeFilter(time)""",
        threshold=0.5,
        seconds=_DAY,
        for_="15m",
        no_data="NoData",
        board="pipeline",
        panel="pipeline-silence",
    ),
    RuleSpec(
        id="deliveries",
        title="Alerts are not delivered",
        summary="Spanledger cannot deliver alerts to {{ $labels.endpoint }}.",
        sql="""SELECT coalesce(endpoint, '(none)') AS endpoint, count(*) FILTER (NOT ok) / count(*) AS value
FROM deliveries WHERE $__timeFilter(time) GROUP BY 1 HAVING count(*) >= 3 ORDER BY 1""",
        threshold=0.5,
        seconds=_HOUR,
        severity="critical",
        board="pipeline",
        panel="pipeline-deliveries",
    ),
)


def rule(spec: RuleSpec, source: Json, receiver: str) -> Item:
    """Return a rule on a data source, told to a contact point if one is named."""
    content: Json = {
        "annotations": {
            "__dashboardUid__": f"{UID_PREFIX}{spec.board}",
            "__panelId__": str(panel_number(spec.panel)),
            "summary": spec.summary,
        },
        "condition": "C",
        "data": [_query(spec, source), _reduce(), _threshold(spec.threshold)],
        "execErrState": "Error",
        "folderUID": ALERT_FOLDER,
        "for": spec.for_,
        "isPaused": False,
        "labels": {"severity": spec.severity, "source": "spanledger"},
        "noDataState": spec.no_data,
        "ruleGroup": GROUP,
        "title": spec.title,
    }
    if receiver:
        content["notification_settings"] = {"receiver": receiver}
    return Item("alert rule", f"{UID_PREFIX}rule-{spec.id}", spec.title, content)


def _query(spec: RuleSpec, source: Json) -> Json:
    model = {
        "datasource": source,
        "editorMode": "code",
        "format": "table",
        "intervalMs": 60_000,
        "maxDataPoints": 43_200,
        "rawQuery": True,
        "rawSql": spec.sql,
        "refId": "A",
    }
    return _node("A", source["uid"], model, spec.seconds)


def _reduce() -> Json:
    model = {"expression": "A", "reducer": "last", "settings": {"mode": "dropNN"}, "type": "reduce"}
    return _expression("B", model)


def _threshold(limit: float) -> Json:
    condition = {
        "evaluator": {"params": [limit], "type": "gt"},
        "operator": {"type": "and"},
        "query": {"params": ["C"]},
        "reducer": {"params": [], "type": "last"},
        "type": "query",
    }
    return _expression("C", {"conditions": [condition], "expression": "B", "type": "threshold"})


def _expression(name: str, model: Json) -> Json:
    source = {"type": _EXPRESSIONS, "uid": _EXPRESSIONS}
    fixed = {"datasource": source, "intervalMs": 1000, "maxDataPoints": 43_200, "refId": name}
    return _node(name, _EXPRESSIONS, fixed | model, 0)


def _node(name: str, source: str, model: Json, seconds: int) -> Json:
    return {
        "datasourceUid": source,
        "model": model,
        "queryType": "",
        "refId": name,
        "relativeTimeRange": {"from": seconds, "to": 0},
    }
