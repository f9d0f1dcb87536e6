"""Boards as Grafana's classic dashboard JSON, the same bytes for the same board and target."""

from spanledger_dashboards.grafana_json._dashboard import SCHEMA_VERSION, dashboard, dumps, panel_number
from spanledger_dashboards.grafana_json._target import Target

__all__ = ["SCHEMA_VERSION", "Target", "dashboard", "dumps", "panel_number"]
