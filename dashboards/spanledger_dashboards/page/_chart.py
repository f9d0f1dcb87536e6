"""Charts over time: what a browser draws, and the same numbers as a table."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from spanledger_dashboards.page._answer import Answer, seconds_of
from spanledger_dashboards.page._format import moment, shown
from spanledger_dashboards.page._state import Period
from spanledger_dashboards.panels import Field, PanelSpec, Unit

MOST_SERIES: Final = 24
_MOST_POINTS: Final = 2_000
_PALETTE: Final = 10
_REST: Final = "all others"
"""What boards call the small ones together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened, shown over every chart of a board."""

    start: float
    end: float | None
    text: str
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one colour of bars."""

    label: str
    values: Sequence[float | None]
    unit: Unit
    colour: str
    """A colour by name, or ``s1`` to ``s10``."""
    look: str = "plain"
    right: bool = False
    decimals: int | None = None
    stacked: bool = False
    """Whether it is a part of a whole, as bars on each other are."""

    @property
    def figure(self) -> str:
        """What stands in the legend: of a part its sum, else the latest value."""
        return self.total if self.stacked else self.last

    @property
    def total(self) -> str:
        """The sum, with its unit."""
        known = [value for value in self.values if value is not None]
        return shown(sum(known) if known else None, self.unit, self.decimals)

    @property
    def last(self) -> str:
        """The latest value there is, with its unit."""
        return shown(next((v for v in reversed(self.values) if v is not None), None), self.unit, self.decimals)

    @property
    def most(self) -> str:
        """The greatest value, with its unit."""
        return shown(max((v for v in self.values if v is not None), default=None), self.unit, self.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart over time."""

    spec: PanelSpec
    period: Period
    times: Sequence[float]
    """Seconds since the epoch, rising."""
    series: Sequence[Series]
    hidden: int = 0
    """How many series were left out."""

    @property
    def summary(self) -> str:
        """The chart in a sentence, for those who cannot see it."""
        parts = (f"{one.label} {'in total' if one.stacked else 'lately'} {one.figure}" for one in self.series)
        return f"{self.spec.title}. {', '.join(parts)}."

    def drawing(self, marks: Iterable[Mark] = ()) -> dict[str, Any]:
        """Return what the script of the page draws."""
        return {
            "kind": self.spec.viz,
            "unit": self.spec.unit,
            "decimals": self.spec.decimals,
            "from": self.period.from_ns / 1e9,
            "to": self.period.to_ns / 1e9,
            "max": self.spec.maximum,
            "x": list(self.times),
            "series": [
                {
                    "label": one.label,
                    "values": list(one.values),
                    "unit": one.unit,
                    "decimals": one.decimals,
                    "colour": one.colour,
                    "look": one.look,
                    "right": one.right,
                    "stacked": one.stacked,
                }
                for one in self.series
            ],
            "thresholds": [
                {"at": limit.at, "colour": limit.colour} for limit in self.spec.thresholds if limit.at is not None
            ],
            "marks": [{"from": mark.start, "to": mark.end, "text": mark.text, "colour": mark.colour} for mark in marks],
        }

    def numbers(self) -> Iterator[tuple[datetime, str, list[str]]]:
        """Yield the rows of the table: time, as text, and a value for each series, the latest first."""
        for place in range(len(self.times) - 1, -1, -1):
            values = [one.values[place] for one in self.series]
            if any(value is not None for value in values):
                at = datetime.fromtimestamp(self.times[place], UTC)
                yield at, moment(at), [shown(v, s.unit, s.decimals) for v, s in zip(values, self.series, strict=True)]


def chart_of(answer: Answer, period: Period, step: float) -> Chart:
    """Return the chart of an answer of the kinds ``timeseries`` and ``bars``; ``step`` is the interval asked for, s."""
    time = answer.column("time", 0)
    metric = answer.columns.index("metric") if "metric" in answer.columns else None
    columns = _wide(answer, time) if metric is None else _long(answer, time, metric)
    times = _filled(sorted({seconds_of(row[time]) for row in answer.rows if row[time] is not None}), step)
    series = list(_series(answer.spec, _ordered(answer.spec, columns), times))
    return Chart(
        spec=answer.spec,
        period=period,
        times=times,
        series=series[:MOST_SERIES],
        hidden=max(0, len(series) - MOST_SERIES),
    )


Columns = dict[str, dict[float, float | None]]


def _long(answer: Answer, time: int, metric: int) -> Columns:
    value = answer.column("value", next(i for i in range(len(answer.columns)) if i not in (time, metric)))
    found: Columns = {}
    for row in answer.rows:
        if row[time] is not None:
            name = "none" if row[metric] is None else str(row[metric])
            found.setdefault(name, {})[seconds_of(row[time])] = _number(row[value])
    return found


def _wide(answer: Answer, time: int) -> Columns:
    places = [place for place in range(len(answer.columns)) if place != time]
    return {
        answer.columns[place]: {
            seconds_of(row[time]): _number(row[place]) for row in answer.rows if row[time] is not None
        }
        for place in places
    }


def _ordered(spec: PanelSpec, columns: Columns) -> Columns:
    """Put the largest parts of a whole first, and what is left over last."""
    if spec.viz != "bars":
        return columns

    lines = {one.name for one in spec.fields if one.look not in ("plain", "bars")}

    def rank(name: str) -> tuple[bool, bool, float]:
        return name in lines, name == _REST, -sum(value or 0 for value in columns[name].values())

    return {name: columns[name] for name in sorted(columns, key=rank)}


def _series(spec: PanelSpec, columns: Columns, times: Sequence[float]) -> Iterator[Series]:
    fields = {one.name: one for one in spec.fields}
    places = iter(range(len(columns)))
    for name, values in columns.items():
        style = fields.get(name, Field(name=name))
        yield Series(
            label=style.label or name,
            values=[values.get(at) for at in times],
            unit=style.unit or spec.unit,
            colour=style.colour or ("grey" if name == _REST else f"s{next(places) % _PALETTE + 1}"),
            stacked=spec.viz == "bars" and style.look in ("plain", "bars"),
            look=style.look,
            right=style.right_axis,
            decimals=spec.decimals if style.decimals is None else style.decimals,
        )


def _filled(times: list[float], step: float) -> list[float]:
    """Put in the steps at which nothing happened, so that a line breaks there."""
    if len(times) < 2 or (times[-1] - times[0]) / step > _MOST_POINTS:
        return times
    filled = [times[0]]
    for at in times[1:]:
        while at - filled[-1] > 1.5 * step:
            filled.append(filled[-1] + step)
        filled.append(at)
    return filled


def _number(value: Any) -> float | None:
    number = float(value) if isinstance(value, int | float | Decimal) else math.nan
    return number if math.isfinite(number) else None
