"""Judges what was spent: thresholds, calls without a price, burn rates. Runs inside the transaction of the ledger."""

from collections.abc import Iterable, Iterator
from typing import Final

from spanledger_alerts.budgets._book import Book, Entry
from spanledger_alerts.budgets._calendar import MINUTE_NS
from spanledger_alerts.budgets._definition import Budget, BurnPair
from spanledger_alerts.budgets._findings import Basis, burn_finding, ended, text_of, threshold_finding, unpriced_finding
from spanledger_alerts.budgets._money import converted, reaches
from spanledger_alerts.budgets._tables import EventRow, PeriodRow, Tables
from spanledger_alerts.records import Finding

HYSTERESIS: Final = 5_000
"""Thousandths of a percent below a threshold at which a rolling window arms it again."""


class Judge:
    """Knows what was told, and tells what is new."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.book: Book | None = None
        self._fresh = True
        self._minute = -1
        self._moved: set[int] = set()
        """Instances in which something was spent since their burn rates were looked at."""

    def adopt(self, book: Book) -> None:
        """Take new definitions; whatever is open is judged anew."""
        self.book = book
        self._fresh = True
        self._moved = {number for number, (key, _) in book.owners.items() if book.entries[key].budget.burn}
        self._minute = -1

    def forget(self) -> None:
        """Know nothing until definitions are adopted."""
        self.book = None
        self._fresh = True

    def is_due(self, now: int) -> bool:
        """Tell whether there is something to judge although nothing was spent: windows move on with the time."""
        return self._fresh or now // MINUTE_NS != self._minute

    def judge(self, touched: Iterable[tuple[int, int]], now: int) -> list[Finding]:
        """Record what was crossed and return what there is to tell."""
        book = self.book
        if book is None:
            return []
        places = {*touched, *self._by_time(book, now)}
        self._moved.update(instance for instance, _ in places)
        findings = [finding for place in sorted(places) for finding in self._place(book, place, now)]
        if now // MINUTE_NS != self._minute:
            findings += self._burning(book, now)
        self._fresh = False
        self._minute = now // MINUTE_NS
        return findings

    def _by_time(self, book: Book, now: int) -> Iterator[tuple[int, int]]:
        """Yield what is to be judged although nothing was spent."""
        if self._fresh:
            yield from ((row.instance, row.start_ns) for row in self._tables.open_periods(now))
        elif now // MINUTE_NS != self._minute:
            rolling = {key for key, entry in book.entries.items() if entry.budget.cycle.unit == "rolling"}
            yield from ((number, 0) for number, (key, _) in book.owners.items() if key in rolling)

    def _place(self, book: Book, place: tuple[int, int], now: int) -> Iterator[Finding]:
        row = self._tables.period(*place)
        key, tenant = book.owners[place[0]]
        entry = book.entries[key]
        if row is None or not entry.filled or row.end_ns <= entry.created_ns:
            return  # what ended before there was a budget is counted, and no news
        if entry.budget.cycle.unit == "rolling":
            row = self._roll(entry, row, now)
        yield from self._thresholds(entry.budget, tenant, row, now)

    def _roll(self, entry: Entry, row: PeriodRow, now: int) -> PeriodRow:
        """Return a rolling window as it is now, with those thresholds armed that it has fallen well below."""
        spend = self._tables.spent_between(row.instance, *entry.budget.cycle.window(now))
        if spend != row.spend:
            row = row._replace(spend=spend)
            self._tables.put_period(row)
        for basis, threshold in self._tables.latched(row.instance, row.start_ns):
            below = basis == "actual" and not reaches(spend.nano, row.limit, max(threshold - HYSTERESIS, 1))
            if below or (basis == "unpriced" and not spend.unpriced):
                self._tables.rearm(row.instance, row.start_ns, basis, threshold, now)
        return row

    def _thresholds(self, budget: Budget, tenant: str, row: PeriodRow, now: int) -> Iterator[Finding]:
        latched = self._tables.latched(row.instance, row.start_ns)
        met = [threshold for threshold in budget.thresholds if reaches(row.spend.nano, row.limit, threshold)]
        crossed = [threshold for threshold in met if ("actual", threshold) not in latched]
        if crossed:
            record(self._tables, budget, tenant, row, "actual", crossed, now)
            yield threshold_finding(budget, tenant, row, "actual", crossed, now)
        if 0 < budget.unpriced <= row.spend.unpriced and ("unpriced", 0) not in latched:
            record(self._tables, budget, tenant, row, "unpriced", [0], now)
            yield unpriced_finding(budget, tenant, row, now)

    def _burning(self, book: Book, now: int) -> Iterator[Finding]:
        told = self._tables.burning()
        gone = {(instance, name) for instance, name in told if instance not in book.owners}
        burning = {
            (instance, pair.name): pair
            for instance in self._moved | {instance for instance, _ in told.keys() - gone}
            for pair in self._burning_pairs(book, instance, now)
        }
        for place in sorted(told.keys() - burning.keys()):
            self._tables.clear_burning(*place)
            yield ended(told[place], now)
        for instance, name in sorted(burning.keys() - told.keys()):
            key, tenant = book.owners[instance]
            finding = burn_finding(book.entries[key].budget, tenant, burning[instance, name], now)
            self._tables.set_burning(instance, name, text_of(finding))
            yield finding
        self._moved.clear()

    def _burning_pairs(self, book: Book, instance: int, now: int) -> Iterator[BurnPair]:
        key, tenant = book.owners[instance]
        entry = book.entries[key]
        if entry.filled:
            for pair in entry.budget.burn_pairs():
                if self._burns(entry.budget, pair, instance, tenant, now):
                    yield pair

    def _burns(self, budget: Budget, pair: BurnPair, instance: int, tenant: str, now: int) -> bool:
        """Tell whether both windows were spent in at ``factor`` times the pace that uses up a whole period."""
        period = budget.cycle.at(now)
        length = budget.cycle.length_ns if budget.cycle.unit == "rolling" else period.end_ns - period.start_ns
        row = self._tables.period(instance, period.start_ns)
        limit = row.limit if row is not None else budget.limit(tenant, budget.rate_at(period.start_ns or now))
        end = now // MINUTE_NS * MINUTE_NS + MINUTE_NS
        for window in (pair.short_ns, pair.long_ns):
            spent = self._tables.spent_between(instance, end - window, end).nano
            floor = budget.burn_floor if window == pair.long_ns else 1
            if spent < floor or spent * (length or 0) < converted(limit * window, pair.factor):
                return False
        return True


def record(
    tables: Tables, budget: Budget, tenant: str, row: PeriodRow, basis: Basis, crossed: Iterable[int], now: int
) -> None:
    """Write an event for each threshold: once for a budget, period, threshold and basis, until it is armed again."""
    crossed = sorted(crossed)
    for threshold in crossed:
        latest = tables.latest(row.instance, row.start_ns, basis, threshold)
        detail = "" if threshold == crossed[-1] else "told with a higher one"
        event = EventRow(
            row.instance,
            row.start_ns,
            basis,
            threshold,
            0 if latest is None else latest[0] + 1,
            budget.owner,
            budget.name,
            tenant,
            row.label,
            now,
            str(row.spend.nano),
            row.limit,
            int(row.end_ns <= now),
            detail,
        )
        tables.add_event(event)
