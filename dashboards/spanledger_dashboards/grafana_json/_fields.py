"""Field configuration: units, colours, thresholds, and what is special about single columns."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from spanledger_dashboards.grafana_json._links import links
from spanledger_dashboards.grafana_json._target import Target
from spanledger_dashboards.panels import UNITS, Colour, Field, Look, Meaning, PanelSpec, Threshold, Viz

Json = dict[str, Any]

_COUNTED: Final = ("calls", "events", "rows", "spans")
_LEAST_AXIS: Final = 4
"""Else Grafana divides a single call into thousandths."""
_TIME_WIDTH: Final = 165
_GAUGE_WIDTH: Final = 160
"""Pixels; a narrower gauge shows no figure."""
_GREY: Final = "#8e8e8e"
_PLAIN: Final = (Threshold(None, "blue"),)
_HIDDEN: Final = {"legend": True, "tooltip": False, "viz": False}
_CHARTED: Final[dict[Viz, Json]] = {
    "timeseries": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 5, "showPoints": "auto", "spanNulls": False},
    "bars": {
        "drawStyle": "bars",
        "lineWidth": 0,
        "fillOpacity": 80,
        "showPoints": "never",
        "barAlignment": 1,
        "stacking": {"mode": "normal", "group": "A"},
    },
}
_CUSTOM: Final[dict[Viz, Json]] = {
    "stat": {},
    "bargauge": {},
    "table": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True, "minWidth": 70},
    "heatmap": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}},
    "state": {"fillOpacity": 75, "lineWidth": 0},
    **_CHARTED,
}


_EMPTY_CELLS: Final = (
    {"matcher": {"id": "byRegexp", "options": ".*"}, "properties": [{"id": "noValue", "value": "\u2013"}]},
)
"""A cell without a value says so itself; what the panel says without data is about all of it."""


def colour(name: Colour) -> str:
    """Return Grafana's name of a colour."""
    return _GREY if name == "grey" else name


def field_config(panel: PanelSpec, target: Target) -> Json:
    """Return the field configuration of a panel."""
    overrides = [*_EMPTY_CELLS] if panel.viz == "table" else []
    overrides += [
        {
            "matcher": {"id": "byName", "options": field.name},
            "properties": [{"id": name, "value": value} for name, value in _properties(panel, field, target)],
        }
        for field in panel.fields
    ]
    return {"defaults": _defaults(panel, target), "overrides": [one for one in overrides if one["properties"]]}


def _defaults(panel: PanelSpec, target: Target) -> Json:
    charted = panel.viz in _CHARTED
    palette = "palette-classic" if target.is_old else "palette-classic-by-name"
    found: Json = {
        "unit": UNITS[panel.unit],
        "noValue": panel.no_data,
        "color": {"mode": palette if charted else "thresholds"},
        "thresholds": steps(panel.thresholds or _PLAIN),
        "mappings": [],
        "custom": dict(_CUSTOM[panel.viz]),
    }
    if charted:
        found["min"] = 0
        if panel.unit in _COUNTED:
            found["custom"]["axisSoftMax"] = _LEAST_AXIS
        found["custom"]["thresholdsStyle"] = {"mode": "dashed" if panel.thresholds else "off"}
    if panel.viz == "bargauge":
        # Without a name of its own, a bar has that of its row's text.
        found["min"] = 0
    if panel.maximum is not None:
        found["max"] = panel.maximum
    if panel.decimals is not None:
        found["decimals"] = panel.decimals
    return found


def steps(thresholds: Sequence[Threshold]) -> Json:
    """Return thresholds."""
    return {"mode": "absolute", "steps": [{"color": colour(one.colour), "value": one.at} for one in thresholds]}


def _mappings(meanings: Sequence[Meaning]) -> list[Json]:
    options = {
        one.value: {"text": one.text, "color": colour(one.colour), "index": place} for place, one in enumerate(meanings)
    }
    return [{"type": "value", "options": options}]


def _properties(panel: PanelSpec, field: Field, target: Target) -> Iterator[tuple[str, Any]]:
    if field.label:
        yield "displayName", field.label
    if field.unit is not None:
        yield "unit", UNITS[field.unit]
    if field.decimals is not None:
        yield "decimals", field.decimals
    if field.thresholds:
        yield "thresholds", steps(field.thresholds)
    if field.meanings:
        yield "mappings", _mappings(field.meanings)
    if field.link is not None:
        yield "links", links(field.link, target)
    if field.width or (panel.viz == "table" and field.unit == "time"):
        yield "custom.width", field.width or _TIME_WIDTH
    elif field.look == "gauge":
        yield "custom.minWidth", _GAUGE_WIDTH
    yield from _look(panel, field, target)


def _look(panel: PanelSpec, field: Field, target: Target) -> Iterator[tuple[str, Any]]:
    if field.colour is not None:
        yield "color", {"mode": "fixed", "fixedColor": colour(field.colour)}
    if panel.viz == "table":
        yield from _old_cell(field) if target.is_old else _cell(field)
    else:
        yield from _LINES.get(field.look, ())
        if field.look == "band":
            yield "custom.fillBelowTo", _before(panel, field)
    if field.right_axis:
        yield "custom.axisPlacement", "right"
        yield "custom.axisLabel", field.label or field.name
        yield "custom.hideFrom", _HIDDEN
        if field.unit == "share":
            yield "max", 1


def _old_cell(field: Field) -> Iterator[tuple[str, Any]]:
    for name, value in _cell(field):
        if name != "custom.cellOptions":
            yield name, value
        else:
            yield "custom.displayMode", "basic" if value["type"] == "gauge" else "color-background-solid"


def _cell(field: Field) -> Iterator[tuple[str, Any]]:
    if field.look == "colour":
        yield "custom.cellOptions", {"type": "color-background", "mode": "basic"}
    if field.look == "gauge":
        yield "custom.cellOptions", {"type": "gauge", "mode": "basic"}
        yield "min", 0
        if field.unit == "share":
            yield "max", 1
        if not field.thresholds:
            yield "color", {"mode": "fixed", "fixedColor": "blue"}
        if field.unit != "share":
            # Else the longest bar of all columns is the measure of this one.
            yield "fieldMinMax", True


_LINE: Final = (
    ("custom.drawStyle", "line"),
    ("custom.lineWidth", 2),
    ("custom.fillOpacity", 0),
    ("custom.stacking", {"mode": "none", "group": "A"}),
)
_LINES: Final[dict[Look, tuple[tuple[str, Any], ...]]] = {
    "line": _LINE,
    "dashes": (*_LINE, ("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})),
    "bars": (("custom.drawStyle", "bars"), ("custom.fillOpacity", 80)),
    "points": (("custom.drawStyle", "points"), ("custom.pointSize", 8)),
    "hidden": (("custom.lineWidth", 0), ("custom.fillOpacity", 0), ("custom.hideFrom", _HIDDEN)),
    "band": (("custom.lineWidth", 0), ("custom.fillOpacity", 15)),
}


def _before(panel: PanelSpec, field: Field) -> str:
    """Return the column down to which a band is filled: the one named before it."""
    return panel.fields[panel.fields.index(field) - 1].name
