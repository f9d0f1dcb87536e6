"""Options of each kind of panel."""

from collections.abc import Callable
from typing import Any, Final

from spanledger_dashboards.panels import UNITS, PanelSpec, Viz

Json = dict[str, Any]

_LAST: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_CHANGE: Final = {"up": "standard", "down": "inverted", "": "same_as_value"}
_NO_LEGEND: Final = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False}

TYPES: Final[dict[Viz, str]] = {
    "stat": "stat",
    "timeseries": "timeseries",
    "bars": "timeseries",
    "table": "table",
    "bargauge": "bargauge",
    "heatmap": "heatmap",
    "state": "state-timeline",
}
"""Grafana's names of the kinds of panels."""


def options(panel: PanelSpec) -> Json:
    """Return the options of a panel."""
    return _BY_KIND[panel.viz](panel)


def _stat(panel: PanelSpec) -> Json:
    return {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": _CHANGE[panel.good_is],
        "reduceOptions": _LAST,
        "showPercentChange": panel.compares,
        "textMode": "value",
        "wideLayout": True,
    }


def _legend(calcs: list[str], sort_by: str) -> Json:
    return {
        "calcs": calcs,
        "displayMode": "table",
        "placement": "right",
        "showLegend": True,
        "sortBy": sort_by,
        "sortDesc": True,
    }


def _timeseries(_panel: PanelSpec) -> Json:
    return {"legend": _legend(["lastNotNull", "max"], "Max"), "tooltip": {"mode": "multi", "sort": "desc"}}


def _bars(_panel: PanelSpec) -> Json:
    return {"legend": _legend(["sum"], "Total"), "tooltip": {"mode": "multi", "sort": "desc"}}


def _table(_panel: PanelSpec) -> Json:
    return {"cellHeight": "sm", "frameIndex": 0, "showHeader": True}


def _bargauge(_panel: PanelSpec) -> Json:
    return {
        "displayMode": "basic",
        "legend": _NO_LEGEND,
        "maxVizHeight": 60,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "limit": 25, "values": True},
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }


def _heatmap(panel: PanelSpec) -> Json:
    return {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scale": "exponential",
            "scheme": "Blues",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "le"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": UNITS[panel.unit]},
    }


def _state(_panel: PanelSpec) -> Json:
    return {
        "alignValue": "left",
        "legend": _NO_LEGEND,
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    }


_BY_KIND: Final[dict[Viz, Callable[[PanelSpec], Json]]] = {
    "stat": _stat,
    "timeseries": _timeseries,
    "bars": _bars,
    "table": _table,
    "bargauge": _bargauge,
    "heatmap": _heatmap,
    "state": _state,
}
