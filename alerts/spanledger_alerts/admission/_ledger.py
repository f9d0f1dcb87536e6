"""What admission reads of budgets: the hard ones, their limits, and what the ledger counted."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from spanledger_alerts.admission._records import Cap, CapKey, Ledger
from spanledger_alerts.budgets import Book, Budget, Cycle, Matcher, Period, PeriodRow, Tables, read_book
from spanledger_alerts.database import Database

_GRACE_NS: Final = 600 * 10**9
"""Periods that ended so long ago still take calls that began in them."""
_HOUR_NS: Final = 3600 * 10**9
_MINUTE_NS: Final = 60 * 10**9


class Fresh(NamedTuple):
    """What one look at the database saw."""

    version: int
    book: Book
    ledger: Ledger


class LedgerReader:
    """Reads budgets; one thread reads, whoever has the lock of the desk asks."""

    def __init__(self, database: Database) -> None:
        self._tables = Tables(database)
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._matcher = Matcher(())
        self._created: dict[tuple[str, str], int] = {}
        self._version = -1
        self._book: Book | None = None
        self._periods: dict[Cycle, Period] = {}
        self._caps: Mapping[CapKey, Cap] = {}

    @property
    def is_needed(self) -> bool:
        """Whether any budget is hard."""
        return bool(self._budgets)

    def read(self, now_ns: int) -> Fresh:
        """Return the budgets, the ledger's watermark and its sums as they are together."""
        with self._tables.transaction():
            row = self._tables.ledger()
            book = self._book if self._book is not None and self._book.version == row.version else None
            if book is not None and not self._budgets:  # nothing to hold: what was spent does not matter here
                return Fresh(row.version, book, Ledger(row.revision, {}))
            rows = self._tables.open_periods(now_ns - _GRACE_NS)
            if book is None or any(row.instance not in book.owners for row in rows):
                book = read_book(self._tables)  # a tenant's first call makes an instance, without a new version
            caps = dict(self._spent(book, rows, now_ns))
            return Fresh(row.version, book, Ledger(row.revision, caps))

    def adopt(self, fresh: Fresh) -> bool:
        """Use what was read; tell whether the budgets are others than before."""
        changed = fresh.version != self._version
        self._book, self._version, self._caps = fresh.book, fresh.version, fresh.ledger.caps
        if changed:
            self._budgets = _hard(fresh.book)
            self._created = {key: fresh.book.entries[key].created_ns for key in self._budgets}
            self._matcher = Matcher(self._budgets.values())
        return changed

    def caps_of(self, row: Mapping[str, str | None], start_ns: int, now_ns: int) -> Iterator[Cap]:
        """Yield the caps that a call which began then counts for."""
        for key, tenant in self._matcher.of(row):
            budget = self._budgets[key]
            period = self._period(budget.cycle, start_ns)
            known = self._caps.get((*key, tenant, period.start_ns))
            yield known or self._cap(budget, tenant, period, now_ns)

    def _period(self, cycle: Cycle, moment_ns: int) -> Period:
        period = self._periods.get(cycle)
        if period is None or not period.start_ns <= moment_ns < period.end_ns:
            period = self._periods[cycle] = cycle.at(moment_ns)
        return period

    def _cap(self, budget: Budget, tenant: str, period: Period, now_ns: int) -> Cap:
        rate = budget.rate_at(period.start_ns or self._created.get(budget.key, now_ns))
        return _cap(budget, tenant, period.start_ns, period.end_ns, budget.limit(tenant, rate), 0)

    def _spent(self, book: Book, rows: list[PeriodRow], now_ns: int) -> Iterator[tuple[CapKey, Cap]]:
        hard = _hard(book)
        for row in rows:
            key, tenant = book.owners.get(row.instance, (("", ""), ""))
            budget = hard.get(key)
            if budget is None:
                continue
            spent = row.spend.nano
            if budget.cycle.unit == "rolling":
                spent = self._tables.spent_between(row.instance, *budget.cycle.window(now_ns)).nano
            limit = budget.limit(tenant, Decimal(row.rate))
            cap = _cap(budget, tenant, row.start_ns, row.end_ns, limit, spent)
            yield cap.key, cap


def _hard(book: Book) -> dict[tuple[str, str], Budget]:
    return {key: entry.budget for key, entry in book.entries.items() if entry.budget.mode == "hard"}


def _cap(budget: Budget, tenant: str, start_ns: int, end_ns: int, limit: int, spent: int) -> Cap:
    calendar = budget.cycle.unit not in ("rolling", "total")
    return Cap(
        key=(*budget.key, tenant, start_ns),
        limit=limit,
        spent=spent,
        ends_ns=end_ns,
        resets_ns=end_ns if calendar else None,
        estimate=budget.estimate,
        keeps_ns=budget.cycle.hours * _HOUR_NS + _MINUTE_NS if budget.cycle.unit == "rolling" else None,
    )
