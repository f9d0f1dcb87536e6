"""Panels and columns that many boards have."""

from typing import Any, Final

from spanledger_dashboards.boards._sql import ERROR_LEVELS, ERROR_SHARE, TwoPeriods, compared
from spanledger_dashboards.panels import Field, PanelSpec, Threshold, Unit

CALLS: Final = Field(name="calls", label="Calls", unit="calls")
COST: Final = Field(name="cost", label="Cost", unit="usd", look="gauge")
ERRORS: Final = Field(name="error_share", label="Error share", unit="share", look="colour", thresholds=ERROR_LEVELS)
P50: Final = Field(name="p50", label="Duration, p50", unit="ms")
P95: Final = Field(name="p95", label="Duration, p95", unit="ms")
P99: Final = Field(name="p99", label="Duration, p99", unit="ms")
TTFT: Final = Field(name="ttft_p95", label="First token, p95", unit="ms")
CUT: Final = Field(
    name="cut_share",
    label="Cut off",
    unit="share",
    look="colour",
    thresholds=(Threshold(None, "green"), Threshold(0.05, "yellow"), Threshold(0.2, "red")),
)
PROVIDER: Final = Field(name="provider", label="Provider")
USE_CASE: Final = Field(name="use_case", label="Use case")
SERVICE: Final = Field(name="service", label="Service")

CUT_SHARE: Final = "count(*) FILTER (finish_reason = 'length') / nullif(count(*) FILTER (status = 'ok'), 0)"
BLOCKED_SHARE: Final = "count(*) FILTER (finish_reason = 'content_filter') / nullif(count(*), 0)"
OUTCOMES: Final = (
    Field(name="stop", colour="green"),
    Field(name="tool_call", colour="blue"),
    Field(name="length", colour="orange"),
    Field(name="content_filter", colour="purple"),
    Field(name="error", colour="red"),
)


_NARROW: Final = 6
"""Columns that fit into half of the width."""


def stat(name: str, title: str, question: str, sql: str, unit: Unit, **more: Any) -> PanelSpec:
    """Return a figure."""
    shape = {"width": 4, "height": 4, "compares": isinstance(sql, TwoPeriods), **more}
    return PanelSpec(id=name, title=title, question=question, sql=sql, viz="stat", unit=unit, **shape)


def bad_share(name: str, title: str, question: str, value: str, **more: Any) -> PanelSpec:
    """Return a part of the calls, beside that of the period before; less of it is better."""
    return stat(name, title, question, compared(value), "share", good_is="down", **more)


def errors(board: str) -> PanelSpec:
    """Return the error share."""
    title, question = "Error share", "Which part of the calls failed?"
    return bad_share(f"{board}-errors", title, question, ERROR_SHARE, thresholds=ERROR_LEVELS)


def duration(board: str) -> PanelSpec:
    """Return the duration of all but the slowest calls."""
    question = "How long do all but the slowest twentieth of the calls take?"
    value = compared("quantile_cont(duration_ms, 0.95)")
    return stat(f"{board}-p95", "Duration, p95", question, value, "ms", good_is="down")


def table(name: str, title: str, question: str, sql: str, *fields: Field, **more: Any) -> PanelSpec:
    """Return a table; with many columns it needs the whole width to be read."""
    shape = {"unit": "number", "width": 24 if len(fields) > _NARROW else 12, **more}
    return PanelSpec(id=name, title=title, question=question, sql=sql, viz="table", **shape, fields=fields)
