"""What scores come to: rates with intervals, comparisons, calibration on people's labels, and what to label next."""

from spanledger_analytics.quality._calibration import (
    MIN_CLASS,
    MIN_LABELS,
    REFIT_LABELS,
    Calibration,
    Labelled,
    calibrate,
)
from spanledger_analytics.quality._compare import Comparison, compare
from spanledger_analytics.quality._rates import Agreement, Rate, Tally, rate_of
from spanledger_analytics.quality._review import inclusion

__all__ = [
    "MIN_CLASS",
    "MIN_LABELS",
    "REFIT_LABELS",
    "Agreement",
    "Calibration",
    "Comparison",
    "Labelled",
    "Rate",
    "Tally",
    "calibrate",
    "compare",
    "inclusion",
    "rate_of",
]
