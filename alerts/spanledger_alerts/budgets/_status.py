"""How budgets stand: what was spent of what, and how it goes on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from spanledger_alerts.budgets._book import Book, Entry, read_book
from spanledger_alerts.budgets._calendar import Period
from spanledger_alerts.budgets._definition import Budget, Source
from spanledger_alerts.budgets._money import Spend, converted, reaches
from spanledger_alerts.budgets._tables import Tables
from spanledger_alerts.database import Database

State: TypeAlias = Literal["ok", "warning", "exceeded", "catching_up"]

_WARNING: Final = 80_000

_Forecasts: TypeAlias = Mapping[tuple[int, int], tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a period will probably end, nano-USD, with an 80 % interval; when the budget is used up, ns."""

    total: int
    low: int
    high: int
    exhausted: int | None = None
    exhausted_early: int | None = None
    exhausted_late: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """A budget, or one tenant's part of a template, in the period that is on."""

    budget: Budget
    source: Source
    tenant: str
    """Of a budget for each tenant; else ``""``."""
    period: Period
    limit: int
    """Nano-USD."""
    rate: Decimal
    spend: Spend
    state: State
    outcome: Outcome | None

    @property
    def share(self) -> float:
        """Part of the limit that is spent; 1 is all of it."""
        return self.spend.nano / self.limit


def statuses(database: Database, now_ns: int, owner: str | None = None) -> list[BudgetStatus]:
    """Return how every budget stands, or those of one owner, in order of owner, name and tenant."""
    tables = Tables(database)
    with tables.transaction():
        book, forecasts = read_book(tables), tables.forecasts()
        found = [
            _status(tables, entry, number, tenant, now_ns, forecasts)
            for entry in book.entries.values()
            if owner is None or entry.budget.owner == owner
            for number, tenant in _instances(book, entry)
        ]
    return sorted(found, key=lambda status: (*status.budget.key, status.tenant))


def _instances(book: Book, entry: Entry) -> Iterator[tuple[int, str]]:
    mine = [(number, tenant) for number, (key, tenant) in book.owners.items() if key == entry.budget.key]
    yield from mine
    if not mine and not entry.budget.each_tenant:
        yield 0, ""


def _status(tables: Tables, entry: Entry, instance: int, tenant: str, now: int, forecasts: _Forecasts) -> BudgetStatus:
    budget = entry.budget
    period = budget.cycle.at(now)
    row = tables.period(instance, period.start_ns)
    rate = budget.rate_at(period.start_ns or entry.created_ns) if row is None else Decimal(row.rate)
    limit = converted(budget.amount_for(tenant), rate)
    spend = Spend() if row is None else row.spend
    if budget.cycle.unit == "rolling":
        start, end = budget.cycle.window(now)
        period = Period(start, end, period.label)
        spend = tables.spent_between(instance, start, end)
    forecast = forecasts.get((instance, period.start_ns))
    return BudgetStatus(
        budget=budget,
        source=entry.source,
        tenant=tenant,
        period=period,
        limit=limit,
        rate=rate,
        spend=spend,
        state=_state(entry, spend.nano, limit),
        outcome=None if forecast is None else _outcome(forecast, spend.nano, limit, period.end_ns),
    )


def _state(entry: Entry, spent: int, limit: int) -> State:
    if not entry.filled:
        return "catching_up"
    if reaches(spent, limit, 100_000):
        return "exceeded"
    return "warning" if reaches(spent, limit, _WARNING) else "ok"


def _outcome(forecast: tuple[int, int, int, int], spent: int, limit: int, end: int) -> Outcome:
    made, total, low, high = forecast
    return Outcome(
        total,
        low,
        high,
        exhausted=_used_up(made, spent, total, limit, end),
        exhausted_early=_used_up(made, spent, high, limit, end),
        exhausted_late=_used_up(made, spent, low, limit, end),
    )


def _used_up(made: int, spent: int, total: int, limit: int, end: int) -> int | None:
    """Return when a budget is used up if the rest of what will be spent comes evenly."""
    if spent >= limit or total <= limit or total <= spent:
        return None
    return made + (end - made) * (limit - spent) // (total - spent)
