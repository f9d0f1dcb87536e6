"""What a panel, a variable, an annotation and a board are, whoever draws them.

A panel's SQL is written for Grafana's PostgreSQL data source (its macros and variables); :func:`expand` makes of it the
text that Grafana would send, for the built-in page and the tests. What the columns of an answer mean follows from the
kind of panel, see :data:`Viz`.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from spanledger_dashboards._expand import ALL, ALL_SQL, Value, auto_interval, expand

__all__ = [
    "ALL",
    "ALL_SQL",
    "UNITS",
    "Annotation",
    "Board",
    "Colour",
    "Field",
    "Link",
    "Look",
    "Meaning",
    "PanelSpec",
    "Threshold",
    "Unit",
    "Value",
    "Variable",
    "Viz",
    "auto_interval",
    "expand",
]

Viz: TypeAlias = Literal["stat", "timeseries", "bars", "table", "bargauge", "heatmap", "state"]
"""Kind of a panel, and what its SQL returns:

- ``stat``: columns ``time`` and ``value``. The last row is the figure; where there are two, the first is the same one
  for the period before.
- ``timeseries`` (lines) and ``bars`` (stacked): ``time``; then either ``metric`` (name of the series) and ``value``, or
  one column for each series. Rows are ordered by time.
- ``table``: any columns; ``fields`` says what they are.
- ``bargauge``: ``label`` and ``value``, a row for each bar.
- ``heatmap``: ``time``, then a column of counts for each class of values; its name is the upper end of the class in the
  panel's unit, ascending, the last one ``inf``.
- ``state``: ``time``, ``metric`` (name of the lane), ``value``; the thresholds give the colour.
"""

Unit: TypeAlias = Literal[
    "usd", "ms", "s", "share", "calls", "spans", "rows", "events", "tokens", "tokens/s", "calls/min", "bytes", "score",
    "number", "time", "text",
]  # fmt: skip
UNITS: Final[dict[Unit, str]] = {
    "usd": "currencyUSD",
    "ms": "ms",
    "s": "s",
    "share": "percentunit",
    "calls": "si: calls",
    "spans": "si: spans",
    "rows": "si: rows",
    "events": "si: events",
    "tokens": "si: tokens",
    "tokens/s": "si: tokens/s",
    "calls/min": "si: calls/min",
    "bytes": "bytes",
    "score": "none",
    "number": "short",
    "time": "dateTimeAsIso",
    "text": "string",
}
"""What Grafana calls them; ``si: calls`` makes "20.9 k calls".

``share`` is 0 to 1 and shown in per cent; ``time`` is a moment.
"""

Colour: TypeAlias = Literal["green", "blue", "yellow", "orange", "red", "purple", "grey"]
Look: TypeAlias = Literal["plain", "gauge", "colour", "line", "dashes", "bars", "points", "band", "hidden"]
"""How a column is drawn where it differs from its panel: in tables ``gauge`` and ``colour`` (of the cell, by its
thresholds or meanings); in charts the others; ``band`` fills the space down to the column before it."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From ``at`` upwards the colour is this one; the first of a list has no ``at``."""

    at: float | None
    colour: Colour


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a value is shown as."""

    value: str
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where a click on a cell leads.

    ``trace`` opens the trace whose id the cell holds. ``board`` opens another board with the variable set to the cell.
    """

    kind: Literal["trace", "board"]
    title: str
    board: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column of the answer, where it differs from the panel."""

    name: str
    label: str = ""
    unit: Unit | None = None
    look: Look = "plain"
    colour: Colour | None = None
    right_axis: bool = False
    decimals: int | None = None
    thresholds: tuple[Threshold, ...] = ()
    meanings: tuple[Meaning, ...] = ()
    link: Link | None = None
    width: int = 0
    """In a table, pixels; 0 as it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSpec:
    """One panel."""

    id: str
    """Unique over all boards; lower-case words joined by ``-``."""
    title: str
    question: str
    """What it answers, in plain words; the description shown with it."""
    sql: str
    viz: Viz
    unit: Unit
    width: int = 12
    """Of 24 columns."""
    height: int = 8
    thresholds: tuple[Threshold, ...] = ()
    fields: tuple[Field, ...] = ()
    no_data: str = "No calls in this period"
    fills_when: str = ""
    """For what a fresh installation does not have: what will fill it."""
    compares: bool = False
    """For a stat: whether the period before is the first row."""
    good_is: Literal["", "up", "down"] = ""
    """Which change from the period before is good news; empty for neither."""
    maximum: float | None = None
    """Of the axis or gauge."""
    decimals: int | None = None
    points: int = 200
    """About how many points in time are asked for."""
    least_interval: str = "1m"
    row: str = ""
    """Heading put above this panel."""

    @property
    def description(self) -> str:
        """The question, and what fills the panel."""
        return f"{self.question} {self.fills_when}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice above the board. All is the default; the SQL returns one column of texts."""

    name: str
    label: str
    sql: str
    multi: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """Marks over the charts. Columns ``time``, ``timeend`` (may be NULL), ``text``, ``tags`` (joined by commas)."""

    name: str
    sql: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One page of panels, in reading order."""

    id: str
    title: str
    description: str
    panels: tuple[PanelSpec, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    since: str = "now-24h"
    refresh: str = "1m"
    tags: tuple[str, ...] = field(default=("spanledger",))

    @property
    def uid(self) -> str:
        """Fixed name in Grafana."""
        return f"spanledger-{self.id}"
