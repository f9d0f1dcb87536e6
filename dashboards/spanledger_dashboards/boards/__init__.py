"""The eight boards."""

from typing import Final

from spanledger_dashboards.boards._cost import COST
from spanledger_dashboards.boards._overview import OVERVIEW
from spanledger_dashboards.boards._reliability import RELIABILITY
from spanledger_dashboards.panels import Board

__all__ = ["BOARDS"]

BOARDS: Final[tuple[Board, ...]] = (OVERVIEW, COST, RELIABILITY)
"""In the order in which they are listed."""
