"""Matchers over labels, as Alertmanager's: ``name="value"``, ``!=``, ``=~`` and ``!~`` with a whole-value expression.

An absent label has the value ``""``. Expressions are kept small enough that none can take long: whoever may silence an
alert must not be able to stop them all.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spanledger_alerts.errors import MatcherError

_TEXT: Final = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_.]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_TOO_HARD: Final = re.compile(r"\)\s*[*+?{]|\(\?(?!:)|\\[0-9]")
_REPEATS: Final = re.compile(r"(?<!\\)[*+?{]")
_MAX_REPEATS: Final = 3
_MAX_LENGTH: Final = 256
_MAX_VALUE: Final = 200


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label."""

    name: str
    operator: str
    value: str
    _pattern: re.Pattern[str] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> "Matcher":
        """Read ``tenant="acme"`` or ``model=~"gpt-.*"``; the quotes may be left out.

        Raises:
            MatcherError: it is no matcher.
        """
        match = _TEXT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
        if match is None:
            raise MatcherError(f'{text[:80]!r} is no matcher; write tenant="acme", severity!="info" or model=~"gpt-.*"')
        name, operator, value = match.groups()
        value = _unquoted(text, value)
        pattern = _compiled(value) if "~" in operator else None
        return cls(name, operator, value, pattern)

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.operator}"{escaped}"'

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels satisfy it."""
        value = labels.get(self.name, "")
        if self._pattern is None:
            found = value == self.value
        else:
            found = self._pattern.fullmatch(value[:_MAX_VALUE]) is not None
        return found is not self.operator.startswith("!")


def parse_all(texts: Iterable[str]) -> tuple[Matcher, ...]:
    """Read several matchers.

    Raises:
        MatcherError: one of them is none.
    """
    return tuple(Matcher.parse(text) for text in texts)


def match_all(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Tell whether the labels satisfy every matcher."""
    return all(matcher.matches(labels) for matcher in matchers)


def _unquoted(text: str, value: str) -> str:
    if not value.startswith('"'):
        return value
    if re.fullmatch(r'"(?:[^"\\]|\\.)*"', value, re.DOTALL) is None:
        raise MatcherError(f"{text!r}: the quotes do not end")
    return re.sub(r'\\(["\\])', r"\1", value[1:-1])


def _compiled(pattern: str) -> re.Pattern[str]:
    if _TOO_HARD.search(pattern) or len(_REPEATS.findall(pattern)) > _MAX_REPEATS:
        raise MatcherError(
            f"{pattern!r}: at most {_MAX_REPEATS} of * + ? {{}}, none behind a group, no look-around, no back-reference"
        )
    try:
        return re.compile(pattern, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise MatcherError(f"{pattern!r} is no regular expression: {error}") from error
