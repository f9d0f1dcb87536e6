"""What is drawn without a script: figures, tables, bars, heat maps and lanes of states."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from spanledger_dashboards.page._answer import Answer, seconds_of
from spanledger_dashboards.page._format import in_words, shown
from spanledger_dashboards.page._state import CHOICES, Period, State
from spanledger_dashboards.panels import Field, Link, PanelSpec, Threshold, Unit

_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_HEAT_LEVELS: Final = 8
_ID_CHARS: Final = 8
_COUNTED: Final[frozenset[Unit]] = frozenset({"calls", "spans", "rows", "events", "tokens"})
"""Units that a table says once, in the head of the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number, and the same for the period before."""

    text: str
    unit: str = ""
    colour: str = ""
    before: str = ""
    change: str = ""
    tone: str = ""
    """``good``, ``bad`` or neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table."""

    text: str
    more: str = ""
    """The rest of a long id, for those who copy it."""
    href: str = ""
    at: datetime | None = None
    gauge: float | None = None
    """Length of the bar behind it, 0 to 100."""
    colour: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table."""

    label: str
    unit: str
    numeric: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of a bar gauge; ``length`` is 0 to 100."""

    label: str
    text: str
    length: float
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A rectangle of a heat map or lane; ``x`` and ``width`` are per cent of the period."""

    x: float
    width: float
    style: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A row of rectangles."""

    label: str
    stretches: Sequence[Stretch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Rows of rectangles over time."""

    lanes: Sequence[Lane]
    period: Period
    legend: Sequence[Stretch] = ()
    """What the colours mean."""


def figure_of(answer: Answer) -> Figure:
    """Return the figure of a stat: its last row; of two, the first is the period before."""
    spec, place = answer.spec, answer.column("value", len(answer.columns) - 1)
    values = [row[place] for row in answer.rows]
    now = values[-1]
    figure, _, unit = shown(now, spec.unit, spec.decimals).partition(" ")
    colour = _colour(now, spec.thresholds)
    if len(values) < 2 or values[0] is None or now is None:
        return Figure(text=figure, unit=unit, colour=colour)
    before, change = float(values[0]), float(now) - float(values[0])
    return Figure(
        text=figure,
        unit=unit,
        colour=colour,
        before=shown(values[0], spec.unit, spec.decimals),
        change=_change(before, change, spec.unit),
        tone=_tone(change, spec.good_is),
    )


def _change(before: float, change: float, unit: Unit) -> str:
    if abs(change) < 1e-12:
        return "unchanged"
    arrow = "▲" if change > 0 else "▼"
    if unit == "share":
        return f"{arrow} {abs(change) * 100:.1f} points"
    return f"{arrow} {min(abs(change / before) * 100, 9999):.0f} %" if before else f"{arrow} from nothing"


def _tone(change: float, good_is: str) -> str:
    if not good_is or abs(change) < 1e-12:
        return ""
    return "good" if (change > 0) is (good_is == "up") else "bad"


def grid_of(answer: Answer, state: State) -> Grid:
    """Return the table of an answer."""
    spec = answer.spec
    fields = {one.name: one for one in spec.fields}
    styles = [fields.get(name, Field(name=name)) for name in answer.columns]
    kept = [place for place, style in enumerate(styles) if style.look != "hidden"]
    most = {place: _most(spec, [row[place] for row in answer.rows]) for place in kept}
    columns = [_column(answer, styles[place], place) for place in kept]
    rows = [[_cell(row[place], styles[place], most[place], state) for place in kept] for row in answer.rows]
    return Grid(columns=columns, rows=rows)


def _column(answer: Answer, style: Field, place: int) -> Column:
    values = (row[place] for row in answer.rows if row[place] is not None)
    numeric = style.unit not in ("text", "time") and isinstance(next(values, None), int | float | Decimal)
    label = style.label or style.name.replace("_", " ").capitalize()
    named = style.unit is None or style.unit not in _COUNTED or style.unit in label.lower()
    return Column(label=label, unit="" if named else in_words(style.unit or "text"), numeric=numeric)


def _most(spec: PanelSpec, values: Sequence[Any]) -> float:
    numbers = [float(value) for value in values if isinstance(value, int | float | Decimal)]
    return spec.maximum or max(numbers, default=0.0) or 1.0


def _cell(value: Any, style: Field, most: float, state: State) -> Cell:
    meaning = next((one for one in style.meanings if one.value == str(value)), None)
    if meaning is not None:
        return Cell(text=meaning.text, colour=meaning.colour, href=_href(value, style.link, state))
    unit: Unit = style.unit or ("number" if isinstance(value, int | float | Decimal) else "text")
    number = isinstance(value, int | float | Decimal)
    text = _counted(value) if number and unit in _COUNTED else shown(value, unit, style.decimals)
    short = _ID_CHARS if style.link is not None and style.link.kind == "trace" and _TRACE.fullmatch(text) else len(text)
    return Cell(
        text=text[:short],
        more=text[short:],
        href=_href(value, style.link, state),
        at=value if isinstance(value, datetime) else None,
        gauge=min(max(float(value) / most * 100, 0), 100) if number and style.look == "gauge" else None,
        colour=_colour(value, style.thresholds) if style.look in ("colour", "gauge") else "",
    )


def _counted(value: Any) -> str:
    return f"{value:,}" if value == int(value) else f"{value:,.1f}"


def _href(value: Any, link: Link | None, state: State) -> str:
    if link is None or not isinstance(value, str) or not value:
        return ""
    if link.kind == "trace":
        return state.to(f"/traces/{value}") if _TRACE.fullmatch(value) else ""
    choice = {link.variable: value} if link.variable in CHOICES else {}
    return state.to(board_path(link.board), **choice)


def board_path(board: str) -> str:
    """Return where a board is."""
    return "/" if board == "overview" else f"/boards/{board}"


def bars_of(answer: Answer) -> list[Bar]:
    """Return the bars of a bar gauge."""
    spec = answer.spec
    label, value = answer.column("label", 0), answer.column("value", len(answer.columns) - 1)
    most = _most(spec, [row[value] for row in answer.rows])
    return [
        Bar(
            label="none" if row[label] is None else str(row[label]),
            text=shown(row[value], spec.unit, spec.decimals),
            length=0.0 if row[value] is None else round(min(max(float(row[value]) / most * 100, 0), 100), 2),
            colour=_colour(row[value], spec.thresholds) or "s1",
        )
        for row in answer.rows
    ]


def heat_of(answer: Answer, period: Period, step: float) -> Lanes:
    """Return a heat map: a lane for each class of values, the greatest on top."""
    time = answer.column("time", 0)
    places = [place for place in range(len(answer.columns)) if place != time]
    most = max((row[place] or 0 for row in answer.rows for place in places), default=0) or 1
    lanes = []
    for place in reversed(places):
        cells = ((row[time], row[place]) for row in answer.rows if row[place])
        name = _class_name(answer, places, place)
        stretches = [
            _stretch(at, step, period, f"h{_level(float(value), float(most))}", f"{name}: {shown(value, 'calls')}")
            for at, value in cells
        ]
        lanes.append(Lane(label=name, stretches=stretches))
    return Lanes(lanes=lanes, period=period, legend=_shades(float(most)))


def _shades(most: float) -> list[Stretch]:
    levels = (_HEAT_LEVELS // 2, _HEAT_LEVELS)
    names = [f"about {shown(round(most * (level / _HEAT_LEVELS) ** 2), 'calls')}" for level in levels]
    return [
        _key("f-s1 h1", "a few"),
        *(_key(f"f-s1 h{level}", name) for level, name in zip(levels, names, strict=True)),
    ]


def _key(style: str, title: str) -> Stretch:
    return Stretch(x=0, width=0, style=style, title=title)


def _class_name(answer: Answer, places: Sequence[int], place: int) -> str:
    spec, name = answer.spec, answer.columns[place]
    if name == "inf":
        return "> " + _end(answer.columns[places[-2]], spec) if len(places) > 1 else "all"
    return "≤ " + _end(name, spec)


def _end(name: str, spec: PanelSpec) -> str:
    try:
        return shown(float(name), spec.unit, 0 if spec.unit == "ms" else None)
    except ValueError:
        return name


def _level(value: float, most: float) -> int:
    """Return 1 to 8; the square root lets rare values be seen beside frequent ones."""
    return max(1, round(math.sqrt(value / most) * _HEAT_LEVELS))


def lanes_of(answer: Answer, period: Period, step: float) -> Lanes:
    """Return lanes of states; equal neighbours become one rectangle."""
    time, metric = answer.column("time", 0), answer.column("metric", 1)
    value = answer.column("value", len(answer.columns) - 1)
    by_lane: dict[str, list[tuple[Any, Any]]] = {}
    for row in answer.rows:
        by_lane.setdefault("none" if row[metric] is None else str(row[metric]), []).append((row[time], row[value]))
    lanes = [
        Lane(label=name, stretches=list(_states(points, answer.spec, period, step)))
        for name, points in sorted(by_lane.items())
    ]
    legend = [_key(f"c-{limit.colour}", _from(limit, answer.spec)) for limit in answer.spec.thresholds]
    return Lanes(lanes=lanes, period=period, legend=legend)


def _from(limit: Threshold, spec: PanelSpec) -> str:
    return "less" if limit.at is None else f"from {shown(limit.at, spec.unit, spec.decimals)}"


def _states(points: Sequence[tuple[Any, Any]], spec: PanelSpec, period: Period, step: float) -> Iterator[Stretch]:
    styled = [(seconds_of(at), _state_name(value, spec), value) for at, value in points if at is not None]
    runs = groupby(enumerate(styled), key=lambda item: (item[1][1], round(item[1][0] / step) - item[0]))
    for (style, _), run in runs:
        members = [item for _, item in run]
        first, last = members[0], members[-1]
        name = _meaning(first[2], spec)
        yield _stretch(first[0], last[0] - first[0] + step, period, style, name)


def _state_name(value: Any, spec: PanelSpec) -> str:
    return f"c-{_colour(value, spec.thresholds) or 'grey'}"


def _meaning(value: Any, spec: PanelSpec) -> str:
    meanings = {one.value: one.text for field in spec.fields for one in field.meanings}
    return meanings.get(str(value), shown(value, spec.unit, spec.decimals))


def _stretch(at: Any, seconds: float, period: Period, style: str, what: str) -> Stretch:
    start, whole = seconds_of(at), (period.to_ns - period.from_ns) / 1e9
    x = (start - period.from_ns / 1e9) / whole * 100
    end = min(x + seconds / whole * 100, 100)
    x = min(max(x, 0), 100)
    title = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M} UTC, {what}"
    return Stretch(x=round(x, 3), width=round(max(end - x, 0.1), 3), style=style, title=title)


def _colour(value: Any, thresholds: Sequence[Threshold]) -> str:
    if not thresholds or not isinstance(value, int | float | Decimal):
        return ""
    passed = [limit.colour for limit in thresholds if limit.at is None or float(value) >= limit.at]
    return passed[-1] if passed else ""
