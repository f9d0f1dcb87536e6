"""A whole board: panels in their places, variables, annotations, links to the other boards."""

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from spanledger_dashboards.grafana_json._fields import colour, field_config
from spanledger_dashboards.grafana_json._options import TYPES, options
from spanledger_dashboards.grafana_json._target import Target
from spanledger_dashboards.panels import ALL, ALL_SQL, Annotation, Board, PanelSpec, Variable

Json = dict[str, Any]

SCHEMA_VERSION: Final = 41
_COLUMNS: Final = 24
_ON_TIME_RANGE_CHANGED: Final = 2
_ALPHABETICAL: Final = 1
_SHARED_CROSSHAIR: Final = 1


def dashboard(board: Board, target: Target | None = None) -> Json:
    """Return the model of a board, as ``POST /api/dashboards/db`` and file provisioning take it."""
    target = target or Target()
    return {
        "annotations": {"list": [_own_annotations(), *(_annotation(one, target) for one in board.annotations)]},
        "description": board.description,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": _SHARED_CROSSHAIR,
        "id": None,
        "links": [_to_the_others(board)],
        "panels": list(_panels(board, target)),
        "refresh": board.refresh,
        "schemaVersion": SCHEMA_VERSION,
        "tags": list(board.tags),
        "templating": {"list": [_variable(one, target) for one in board.variables]},
        "time": {"from": board.since, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": board.title,
        "uid": board.uid,
    }


def dumps(model: Mapping[str, Any]) -> str:
    """Return a model as text: sorted keys, so that equal models are equal texts."""
    return json.dumps(model, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _panels(board: Board, target: Target) -> Iterator[Json]:
    """Put panels in reading order, each as far left as it goes; a heading begins a new line."""
    x = y = line = 0
    for panel in board.panels:
        if panel.row or x + panel.width > _COLUMNS:
            x, y, line = 0, y + line, 0
        if panel.row:
            yield _heading(panel, y)
            y += 1
        yield _panel(panel, {"x": x, "y": y, "w": panel.width, "h": panel.height}, target)
        x, line = x + panel.width, max(line, panel.height)


def panel_number(name: str) -> int:
    """Return a panel's number: it stays when others come or go, so that links to it stay good."""
    return zlib.crc32(name.encode()) % 1_000_000_000 + 1


def _heading(panel: PanelSpec, y: int) -> Json:
    return {
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
        "id": panel_number(f"{panel.id} row"),
        "panels": [],
        "title": panel.row,
        "type": "row",
    }


def _panel(panel: PanelSpec, place: Json, target: Target) -> Json:
    return {
        "datasource": target.sql,
        "description": panel.description,
        "fieldConfig": field_config(panel, target),
        "gridPos": place,
        "id": panel_number(panel.id),
        "interval": panel.least_interval,
        "maxDataPoints": panel.points,
        "options": options(panel),
        "targets": [_query(panel.sql, target, "table" if panel.viz in ("table", "bargauge") else "time_series")],
        "title": panel.title,
        "type": TYPES[panel.viz],
    }


def _query(sql: str, target: Target, shape: str, name: str = "A") -> Json:
    return {
        "datasource": target.sql,
        "editorMode": "code",
        "format": shape,
        "rawQuery": True,
        "rawSql": sql,
        "refId": name,
    }


def _variable(variable: Variable, target: Target) -> Json:
    return {
        "allValue": ALL_SQL,
        "current": {"selected": True, "text": ["All"], "value": [ALL]},
        "datasource": target.sql,
        "hide": 0,
        "includeAll": True,
        "label": variable.label,
        "multi": variable.multi,
        "name": variable.name,
        "options": [],
        "query": variable.sql,
        "refresh": _ON_TIME_RANGE_CHANGED,
        "regex": "",
        "skipUrlSync": False,
        "sort": _ALPHABETICAL,
        "type": "query",
    }


def _annotation(annotation: Annotation, target: Target) -> Json:
    return {
        "datasource": target.sql,
        "enable": True,
        "hide": False,
        "iconColor": colour(annotation.colour),
        "name": annotation.name,
        "target": _query(annotation.sql, target, "table", "Anno"),
    }


def _own_annotations() -> Json:
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


def _to_the_others(board: Board) -> Json:
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": list(board.tags),
        "targetBlank": False,
        "title": "Spanledger",
        "tooltip": "The other boards, with the same choices",
        "type": "dashboards",
        "url": "",
    }
