"""Which budgets a call counts for. The work per row grows with the number of kinds of scope, not of budgets."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Final, TypeAlias

from spanledger_alerts.budgets._definition import DIMENSIONS, Budget

Key: TypeAlias = tuple[str, str]
"""Owner and name of a budget."""

_OWNER: Final = "owner"


class Matcher:
    """Finds the budgets of a row by the values of the dimensions that their scopes name."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._kinds: dict[tuple[str, ...], dict[tuple[str, ...], list[Budget]]] = {}
        for budget in budgets:
            names, choices = _scope(budget)
            found = self._kinds.setdefault(names, {})
            for values in product(*choices):
                found.setdefault(values, []).append(budget)

    def of(self, row: Mapping[str, str | None]) -> Iterator[tuple[Key, str]]:
        """Yield the budgets that a call of these dimensions counts for, with the tenant where there is one for each."""
        for names, found in self._kinds.items():
            for budget in found.get(tuple([row[name] or "" for name in names]), ()):
                yield budget.key, (row["tenant"] or "") if budget.each_tenant else ""


def _scope(budget: Budget) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names = [name for name in DIMENSIONS if name in budget.scope]
    choices = [budget.scope[name] for name in names]
    if budget.owner:
        return (_OWNER, *names), [(budget.owner,), *choices]
    return tuple(names), choices
