"""What a page asks the database: the SQL of its panels, choices and marks."""
# ruff: noqa: S608 - made of the SQL of boards, in which values are quoted

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from spanledger_dashboards._expand import seconds
from spanledger_dashboards.page._chart import Mark
from spanledger_dashboards.page._state import CHOICES, State
from spanledger_dashboards.page._views import Choice
from spanledger_dashboards.panels import Annotation, PanelSpec, Variable, auto_interval, expand

NONE: Final = "(none)"
"""What boards call a missing value."""

_POINTS: Final = 120
"""A page is narrower than a wall: so many steps in time are enough, and quicker."""


@dataclass(frozen=True, slots=True)
class Question:
    """A statement, and the interval in it, in seconds."""

    sql: str
    step: float


def question_of(spec: PanelSpec, state: State) -> Question:
    """Return what a panel asks."""
    period = state.period
    interval = auto_interval(period.from_ns, period.to_ns, min(spec.points, _POINTS), spec.least_interval)
    return Question(_expanded(spec.sql, state, interval), seconds(interval))


def choices_sql(variables: Sequence[Variable], state: State) -> str:
    """Return one statement for the choices of every variable: columns ``name`` and ``value``."""
    parts = (
        f"SELECT '{variable.name}' AS name, value FROM ({_expanded(variable.sql, state)}) AS found(value)"
        for variable in variables
        if variable.name in CHOICES
    )
    return "\nUNION ALL\n".join(parts)


def choices_of(rows: Iterable[Sequence[Any]], state: State) -> list[Choice]:
    """Return the fields of the filters; what is chosen can stay chosen where it does not occur."""
    found: dict[str, list[str]] = {name: [] for name in CHOICES}
    for name, value in rows:
        found[name].append(str(value))
    for name, value in state.choices.items():
        if value not in found[name]:
            found[name].append(value)
    return [
        Choice(
            name=name,
            label=label,
            value=state.choices.get(name, ""),
            options=[(value, value) for value in found[name]],
        )
        for name, label in CHOICES.items()
    ]


def marks_sql(annotation: Annotation, state: State) -> str:
    """Return the statement for the marks of a board."""
    return _expanded(annotation.sql, state)


def marks_of(annotation: Annotation, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Mark]:
    """Return the marks over the charts of a board."""
    found = (dict(zip(columns, row, strict=True)) for row in rows)
    return [
        Mark(
            start=row["time"].timestamp(),
            end=row["timeend"].timestamp() if isinstance(row.get("timeend"), datetime) else None,
            text=str(row.get("text") or annotation.name),
            colour=annotation.colour,
        )
        for row in found
        if isinstance(row["time"], datetime)
    ]


def _expanded(sql: str, state: State, interval: str = "1m") -> str:
    period = state.period
    return expand(sql, from_ns=period.from_ns, to_ns=period.to_ns, interval=interval, variables={**state.choices})
