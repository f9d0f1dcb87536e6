"""The eight boards."""

from typing import Final

from spanledger_dashboards.boards._anomalies import ANOMALIES
from spanledger_dashboards.boards._compliance import COMPLIANCE
from spanledger_dashboards.boards._cost import COST
from spanledger_dashboards.boards._overview import OVERVIEW
from spanledger_dashboards.boards._pipeline import PIPELINE
from spanledger_dashboards.boards._quality import QUALITY
from spanledger_dashboards.boards._reliability import RELIABILITY
from spanledger_dashboards.boards._tenants import TENANTS
from spanledger_dashboards.panels import Board

__all__ = ["BOARDS"]

BOARDS: Final[tuple[Board, ...]] = (
    OVERVIEW,
    COST,
    RELIABILITY,
    QUALITY,
    ANOMALIES,
    TENANTS,
    COMPLIANCE,
    PIPELINE,
)
"""In the order in which they are listed."""
