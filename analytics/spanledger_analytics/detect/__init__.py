"""Finds what changed in the ledger: which numbers, since when, whose fault, how much money."""

from spanledger_analytics.detect._anomaly import Anomaly, Planned, Severity, Status
from spanledger_analytics.detect._cells import (
    AT,
    CALL_COLUMNS,
    MEASURES,
    MINUTE_NS,
    Cells,
    Facets,
    Leaf,
    cells_of,
    merge,
)
from spanledger_analytics.detect._detector import LedgerDetector, Options, Window
from spanledger_analytics.detect._series import LEVELS, Grouping, Series
from spanledger_analytics.detect._state import State

__all__ = [
    "AT",
    "CALL_COLUMNS",
    "LEVELS",
    "MEASURES",
    "MINUTE_NS",
    "Anomaly",
    "Cells",
    "Facets",
    "Grouping",
    "Leaf",
    "LedgerDetector",
    "Options",
    "Planned",
    "Series",
    "Severity",
    "State",
    "Status",
    "Window",
    "cells_of",
    "merge",
]
