"""Match rules over model names, as the price table writes them.

``"gpt-4o"`` equals, ``"gpt-4o*"`` starts with, ``"*-latest"`` ends with, ``"*nova-pro*"`` contains, ``"re:^o[134]"``
searches a regular expression; a list matches if any of its rules does, ``{"all": [...]}`` if every one does. Names and
literals are lower case.
"""

import re
from collections.abc import Callable
from typing import Any

Matcher = Callable[[str], bool]


def matcher(rule: Any) -> Matcher:
    """Compile a rule. Raises ``ValueError`` for a rule that is none of the above."""
    if isinstance(rule, str):
        return _literal(rule)
    if isinstance(rule, list):
        return _any([matcher(part) for part in rule])
    if isinstance(rule, dict) and rule.keys() == {"all"}:
        return _all([matcher(part) for part in rule["all"]])
    raise ValueError(f"not a match rule: {rule!r}")


def _literal(rule: str) -> Matcher:
    if rule.startswith("re:"):
        found = re.compile(rule[3:]).search
        return lambda name: found(name) is not None
    text = rule.strip("*")
    if rule == f"*{text}*":
        return lambda name: text in name
    if rule.endswith("*"):
        return lambda name: name.startswith(text)
    if rule.startswith("*"):
        return lambda name: name.endswith(text)
    return lambda name: name == rule


def _any(matchers: list[Matcher]) -> Matcher:
    return lambda name: any(match(name) for match in matchers)


def _all(matchers: list[Matcher]) -> Matcher:
    return lambda name: all(match(name) for match in matchers)
