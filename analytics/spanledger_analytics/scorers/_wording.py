"""Wordings as data: files of regular expressions beside this module, one a line."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple


class Wording(NamedTuple):
    """One way of saying something."""

    name: str
    weight: float
    pattern: re.Pattern[str]


def load(file: str) -> tuple[Wording, ...]:
    """Read ``name weight expression`` lines; ``{NAME} expression`` defines what may stand in later ones.

    A space in an expression is any white space.
    """
    text = (files(__package__) / file).read_text(encoding="utf-8")
    defined: dict[str, str] = {}
    found: list[Wording] = []
    for line in text.splitlines():
        if line.startswith("{"):
            name, expression = line.split(" ", 1)
            defined[name] = _filled(expression, defined)
        elif line and not line.startswith("#"):
            name, weight, expression = line.split(" ", 2)
            found.append(Wording(name, float(weight), re.compile(_filled(expression, defined).replace(" ", r"\s"))))
    return tuple(found)


def any_of(wordings: Sequence[Wording], name: str) -> re.Pattern[str]:
    """Return what matches any of the wordings of this name."""
    return re.compile("|".join(wording.pattern.pattern for wording in wordings if wording.name == name))


def _filled(expression: str, defined: dict[str, str]) -> str:
    for name, meaning in defined.items():
        expression = expression.replace(name, meaning)
    return expression
