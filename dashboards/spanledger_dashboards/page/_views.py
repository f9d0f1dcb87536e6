"""What the pages are made of: values that templates show, without a thought of where they come from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import urlencode

from spanledger_dashboards.page._answer import Answer
from spanledger_dashboards.page._cells import (
    Bar,
    Figure,
    Grid,
    Lanes,
    bars_of,
    board_path,
    figure_of,
    grid_of,
    heat_of,
    lanes_of,
)
from spanledger_dashboards.page._chart import Chart, Mark, chart_of
from spanledger_dashboards.page._state import REFRESHES, State
from spanledger_dashboards.panels import Board, PanelSpec

Kind: TypeAlias = Literal["figure", "grid", "bars", "lanes", "heat", "chart"]
Body: TypeAlias = Figure | Grid | Sequence[Bar] | Lanes | Chart | None

_KINDS: Mapping[str, Kind] = {
    "stat": "figure",
    "table": "grid",
    "bargauge": "bars",
    "state": "lanes",
    "heatmap": "heat",
    "timeseries": "chart",
    "bars": "chart",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nav:
    """A link to a page."""

    title: str
    href: str
    current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """The reader."""

    label: str
    detail: str
    form_token: str = ""
    """For the form that logs out; empty where there is no session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A field of a filter; ``options`` are values and texts, ``None`` for free text."""

    name: str
    label: str
    value: str
    options: Sequence[tuple[str, str]] | None
    hint: str = ""
    pattern: str = ""
    every: str = "All"
    """What no choice is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What surrounds every page."""

    title: str
    version: str
    path: str = "/"
    state: State | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    """Filters of this page alone that are set."""
    links: Sequence[Nav] = ()
    who: Who | None = None

    @property
    def home(self) -> str:
        """The address of the overview."""
        return self.state.to("/") if self.state else "/"

    @property
    def kept(self) -> Mapping[str, str]:
        """What another stretch of time leaves as it is."""
        if self.state is None:
            return self.extra
        times = self.state.period.parameters
        return {name: text for name, text in self.state.parameters.items() if name not in times} | dict(self.extra)

    @property
    def chosen(self) -> int:
        """How many filters are set."""
        return len(self.extra) + (len(self.state.choices) if self.state else 0)

    @property
    def bare(self) -> str:
        """The address of this page without filters."""
        return f"{self.path}?{urlencode(self.state.period.parameters)}" if self.state else self.path

    @property
    def refreshes(self) -> list[tuple[int, str]]:
        """Seconds and addresses of this page."""
        every = (0, *REFRESHES)
        return [(seconds, self._here(refresh=str(seconds) if seconds else "")) for seconds in every]

    def within(self, preset: str) -> str:
        """Return the address of this page with another stretch of time."""
        return f"{self.path}?{urlencode({'range': preset, **self.kept})}"

    def _here(self, **more: str) -> str:
        return self.state.to(self.path, **self.extra, **more) if self.state else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel with its content."""

    spec: PanelSpec
    kind: Kind
    body: Body
    error: str
    marks: Sequence[Mark] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return self.body is None

    @property
    def description(self) -> str:
        """What the panel answers."""
        return self.spec.description

    @property
    def drawing(self) -> Mapping[str, Any]:
        """What the script draws."""
        return self.body.drawing(self.marks) if isinstance(self.body, Chart) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Why a page is empty, and what to do."""

    endpoint: str
    needs_key: bool
    latest: datetime | None = None
    """When the latest call that the reader may see began."""
    href: str = ""
    """This page at that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """A row of the table of calls."""

    at: datetime
    trace_id: str
    href: str
    tenant: str
    use_case: str
    service: str
    model: str
    provider: str
    ending: str
    colour: str
    cost: str
    """The amount, or why that is unknown."""
    exact_cost: str
    cost_unknown: bool
    taken: str
    given: str
    duration: str
    ttft: str
    billing_text: str
    """Why it is not billed, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Whether text is shown in a trace, and how to ask for it."""

    state: Literal["offered", "forbidden", "shown"]
    needs_reason: bool = False
    form_token: str = ""
    message: str = ""
    count: int = 0


def panel_of(answer: Answer, state: State, step: float, marks: Iterable[Mark] = ()) -> Panel:
    """Return the panel of an answer; ``step`` is the interval it was asked for, in seconds."""
    kind = _KINDS[answer.spec.viz]
    body = None if answer.error or _is_empty(answer) else _body(answer, kind, state, step)
    return Panel(spec=answer.spec, kind=kind, body=body, error=answer.error, marks=tuple(marks))


def _is_empty(answer: Answer) -> bool:
    if answer.spec.viz == "stat":
        return not answer.rows or answer.rows[-1][answer.column("value", len(answer.columns) - 1)] is None
    return not answer.rows


def _body(answer: Answer, kind: Kind, state: State, step: float) -> Body:
    if kind == "figure":
        return figure_of(answer)
    if kind == "grid":
        return grid_of(answer, state)
    if kind == "bars":
        return bars_of(answer)
    if kind == "heat":
        return heat_of(answer, state.period, step)
    return lanes_of(answer, state.period, step) if kind == "lanes" else chart_of(answer, state.period, step)


def links_of(boards: Iterable[Board], state: State, current: str) -> list[Nav]:
    """Return the links to every page; ``current`` is the id of a board, or ``calls``."""
    found = [
        Nav(title=board.id.capitalize(), href=state.to(board_path(board.id)), current=board.id == current)
        for board in boards
    ]
    return [*found, Nav(title="Calls", href=state.to("/calls"), current=current == "calls")]
