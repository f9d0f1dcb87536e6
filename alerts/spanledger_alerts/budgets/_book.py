"""The definitions in the database: kept, changed and read. The ledger follows them by their version."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from spanledger_alerts.budgets._definition import Budget, Source
from spanledger_alerts.budgets._match import Key, Matcher
from spanledger_alerts.budgets._money import reaches
from spanledger_alerts.budgets._parse import parse_budget
from spanledger_alerts.budgets._tables import DefinitionRow, PeriodRow, Tables
from spanledger_alerts.database import Database
from spanledger_alerts.errors import BudgetReadOnlyError


class Entry(NamedTuple):
    """A budget as it is kept."""

    budget: Budget
    source: Source
    created_ns: int
    updated_ns: int
    filled: bool
    """Whether the ledger holds all that was stored for it."""


@dataclass(frozen=True)
class Book:
    """All definitions at one version, and the instances that they have so far."""

    version: int
    entries: Mapping[Key, Entry]
    instances: dict[tuple[str, str, str], int]
    """Owner, name and tenant to id."""
    owners: dict[int, tuple[Key, str]]
    """Id to key and tenant."""
    matchers: Mapping[bool, Matcher]
    """Of the filled budgets, and of the others."""

    def budget_of(self, instance: int) -> Budget:
        """Return the budget of an instance."""
        return self.entries[self.owners[instance][0]].budget


def read_book(tables: Tables) -> Book:
    """Return the definitions as they are now."""
    entries = {(row.owner, row.name): _entry(row) for row in tables.definitions()}
    found = tables.instances()
    by_state = {
        filled: Matcher(entry.budget for entry in entries.values() if entry.filled is filled)
        for filled in (True, False)
    }
    return Book(
        version=tables.ledger().version,
        entries=entries,
        instances={(owner, name, tenant): number for number, owner, name, tenant in found},
        owners={number: ((owner, name), tenant) for number, owner, name, tenant in found},
        matchers=by_state,
    )


def _entry(row: DefinitionRow) -> Entry:
    budget = parse_budget(row.name, json.loads(row.body), owner=row.owner)
    source: Source = "config" if row.source == "config" else "rest"
    return Entry(budget, source, row.created_ns, row.updated_ns, bool(row.filled))


class Definitions:
    """Makes, changes and removes budgets, each in one transaction.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._tables = Tables(database)

    def entries(self, owner: str | None = None) -> list[Entry]:
        """Return all budgets, or those of one owner, in order of owner and name."""
        entries = map(_entry, self._tables.definitions())
        return [entry for entry in entries if owner is None or entry.budget.owner == owner]

    def put(self, budget: Budget, source: Source, now_ns: int) -> bool:
        """Make a budget, or change the one of its name; tell whether it is new.

        What was counted is kept as long as scope, period and currency stay the same. A raised amount arms those
        thresholds again that it leaves unmet.

        Raises:
            BudgetReadOnlyError: it stands in the configuration file, and ``source`` is another.
        """
        with self._tables.transaction():
            old = self._find(budget)
            if old is not None and old.source != source == "rest":
                raise BudgetReadOnlyError(
                    f"the budget {budget.name!r} stands in the configuration file: change it there"
                )
            if old is not None and old.source == source and _body(old.budget) == _body(budget):
                return False
            same = old is not None and old.budget.structure == budget.structure
            if old is not None and not same:
                self._tables.drop_instances(*old.budget.key)
            if old is not None and same:
                self._change(old.budget, budget, now_ns)
            self._write(budget, source, now_ns, old if same else None)
            return old is None

    def _write(self, budget: Budget, source: Source, now_ns: int, old: Entry | None) -> None:
        created, filled = (now_ns, False) if old is None else (old.created_ns, old.filled)
        row = DefinitionRow(*budget.key, source, _body(budget), budget.structure, created, now_ns, int(filled))
        self._tables.put_definition(row)
        self._tables.bump()

    def delete(self, owner: str, name: str, source: Source) -> bool:
        """Remove a budget; tell whether there was one. Its events stay.

        Raises:
            BudgetReadOnlyError: it stands in the configuration file, and ``source`` is another.
        """
        with self._tables.transaction():
            old = next((entry for entry in self.entries(owner) if entry.budget.name == name), None)
            if old is None:
                return False
            if old.source != source:
                raise BudgetReadOnlyError(f"the budget {name!r} stands in the configuration file: remove it there")
            self._tables.drop_instances(*old.budget.key)
            self._tables.delete_definition(owner, name)
            self._tables.bump()
            return True

    def _find(self, budget: Budget) -> Entry | None:
        return next((entry for entry in self.entries(budget.owner) if entry.budget.name == budget.name), None)

    def _change(self, old: Budget, new: Budget, now_ns: int) -> None:
        tenants = self._tenants(new)
        for row in self._tables.open_periods(now_ns):
            if row.instance in tenants:
                tenant = tenants[row.instance]
                raised = new.amount_for(tenant) > old.amount_for(tenant)
                self._change_period(row, new, tenant, raised=raised, now_ns=now_ns)

    def _tenants(self, budget: Budget) -> dict[int, str]:
        found = self._tables.instances()
        return {number: tenant for number, owner, name, tenant in found if (owner, name) == budget.key}

    def _change_period(self, row: PeriodRow, new: Budget, tenant: str, *, raised: bool, now_ns: int) -> None:
        limit = new.limit(tenant, Decimal(row.rate))
        self._tables.put_period(row._replace(limit=limit))
        for basis, threshold in self._tables.latched(row.instance, row.start_ns) if raised else ():
            if basis == "actual" and not reaches(row.spend.nano, limit, threshold):
                self._tables.rearm(row.instance, row.start_ns, basis, threshold, now_ns)


def _body(budget: Budget) -> str:
    return json.dumps(budget.body, sort_keys=True, default=str)
