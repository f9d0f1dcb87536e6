"""The budgets of the configuration file."""

from collections.abc import Mapping, Sequence
from typing import Any

from spanledger_alerts.budgets import Budget, Definitions, KnownNames, check_can_match, parse_budget
from spanledger_alerts.errors import BudgetError
from spanledger_ingest.settings import SettingsError


def configured_budgets(tables: Mapping[str, Mapping[str, Any]]) -> list[Budget]:
    """Return the budgets of ``[budgets.NAME]``.

    Raises:
        SettingsError: one of them cannot be meant.
    """
    try:
        return [parse_budget(name, table) for name, table in tables.items()]
    except BudgetError as error:
        raise SettingsError(str(error)) from error


def adopt_configured(definitions: Definitions, budgets: Sequence[Budget], names: KnownNames, now_ns: int) -> None:
    """Make the budgets of the file those that are kept; what is no longer in it goes.

    Whether a budget can match is judged when it is new or changed: names do not become wrong because their calls
    were deleted since.

    Raises:
        SettingsError: no call could ever count for one of them.
    """
    kept = {entry.budget.name: entry for entry in definitions.entries("") if entry.source == "config"}
    try:
        for budget in budgets:
            old = kept.get(budget.name)
            if old is None or dict(old.budget.scope) != dict(budget.scope):
                check_can_match(budget, names)
    except BudgetError as error:
        raise SettingsError(str(error)) from error
    for budget in budgets:
        definitions.put(budget, "config", now_ns)
    for name in kept.keys() - {budget.name for budget in budgets}:
        definitions.delete("", name, "config")
