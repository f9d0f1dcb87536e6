"""Variables and annotations, the same on every board."""
# ruff: noqa: S608 - the SQL is made of constants

from typing import Final

from spanledger_dashboards.boards._sql import COLUMNS, FROM, TO, chosen, shown
from spanledger_dashboards.panels import Annotation, Variable

_LABELS: Final = {
    "tenant": "Tenant",
    "model": "Model",
    "provider": "Provider",
    "use_case": "Use case",
    "service": "Service",
}

VARIABLES: Final = tuple(
    Variable(
        name=name,
        label=_LABELS[name],
        sql=f"SELECT {shown(column)} FROM llm_calls WHERE $__timeFilter(time) GROUP BY 1 "
        "ORDER BY count(*) DESC, 1 LIMIT 300",
    )
    for name, column in COLUMNS.items()
)

ANNOTATIONS: Final = (
    Annotation(
        name="Anomalies",
        colour="purple",
        sql=f"""SELECT started AS time, ended AS timeend, concat_ws(' ', kind, 'of', metric, '-', cause) AS text,
  concat_ws(',', 'anomaly', severity) AS tags
FROM anomalies
WHERE started <= {TO} AND coalesce(ended, {TO}) >= {FROM} AND {chosen("tenant")}
ORDER BY started DESC LIMIT 100""",
    ),
    Annotation(
        name="Alerts",
        colour="red",
        sql=f"""SELECT started AS time, resolved AS timeend, concat_ws(': ', rule, summary) AS text,
  concat_ws(',', 'alert', severity, state) AS tags
FROM alerts
WHERE started <= {TO} AND coalesce(resolved, {TO}) >= {FROM} AND {chosen("tenant")}
ORDER BY started DESC LIMIT 100""",
    ),
    Annotation(
        name="New models",
        colour="blue",
        sql=f"""SELECT min(time) AS time, NULL::TIMESTAMPTZ AS timeend, concat('first call of ', model) AS text,
  'model' AS tags
FROM llm_calls
WHERE time BETWEEN {FROM} - INTERVAL 7 DAYS AND {TO} AND billable AND model IS NOT NULL AND {chosen("tenant")}
GROUP BY model
HAVING min(time) >= {FROM} AND min(time) > (
  SELECT min(time) + INTERVAL 1 HOUR FROM llm_calls WHERE time >= {FROM} - INTERVAL 7 DAYS AND {chosen("tenant")})
ORDER BY 1 LIMIT 50""",
    ),
)
"""A model is new when it was not called in the seven days before; in the first hour of all data, none is."""
