"""The ledger: what each budget spent by minute and by period, kept in step with the stored calls.

A step asks the store which minutes of whom were written, sums those minutes anew and replaces what the ledger had of
them. Nothing is added twice or missed: late, repeated, replaced and re-priced calls all end in the same sums. Cells,
period totals, the events of thresholds, what is told and the watermark are one transaction.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from spanledger_alerts.budgets._book import Book, Entry, read_book
from spanledger_alerts.budgets._calendar import DAY_NS, HOUR_NS, MINUTE_NS
from spanledger_alerts.budgets._judge import Judge
from spanledger_alerts.budgets._match import Key, Matcher
from spanledger_alerts.budgets._money import Spend, nano_of
from spanledger_alerts.budgets._ports import SpendStore, Tell
from spanledger_alerts.budgets._tables import PeriodRow, Tables
from spanledger_alerts.database import Database
from spanledger_alerts.records import Finding

Place: TypeAlias = tuple[str, int]
"""Owner and start of a cell."""
Touched: TypeAlias = set[tuple[int, int]]
"""Instance and start of periods whose sums changed."""
KeptSince: TypeAlias = Callable[[str, int], int]
"""From when on calls of an owner are still all stored, at a time."""

COARSE_NS: Final = 15 * MINUTE_NS
"""Length of old cells. Every zone of today is a multiple of it away from UTC, so no edge of a period is inside."""
_MINUTES_KEPT_NS: Final = 4 * DAY_NS
"""Cells stay minutes for so long: the longest window of a burn rate is three days."""
_CHANGES: Final = 5_000
_MERGES: Final = 2_000


def everything(_owner: str, _now_ns: int) -> int:
    """Say that nothing was ever deleted."""
    return 0


class BudgetLedger:
    """Keeps the ledger. One thread takes steps; definitions may be changed by others meanwhile.

    Args:
        database: where it is kept.
        store: the calls.
        tell: takes what there is to say, inside the transaction of a step.
        clock: nanoseconds since the epoch.
        kept_since: where the retention has deleted, sums are no longer computed anew.
    """

    def __init__(
        self,
        database: Database,
        store: SpendStore,
        tell: Tell,
        *,
        clock: Callable[[], int] = time.time_ns,
        kept_since: KeptSince = everything,
    ) -> None:
        self._tables = Tables(database)
        self._store = store
        self._tell = tell
        self._clock = clock
        self._kept_since = kept_since
        self._judge = Judge(self._tables)
        self._fill: _Fill | None = None
        self._version = -1
        self.generation = 0
        """Rises with whatever there may be to show anew."""

    def step(self) -> bool:
        """Take in what changed, then a day of what new budgets have to catch up with; tell whether there is more."""
        book = self._judge.book
        if book is None or self._tables.ledger().version != self._version:
            book = read_book(self._tables)
        states = {entry.filled for entry in book.entries.values()}
        if not states:
            return self._follow_nothing(book)
        more = self._follow(book) if True in states else False
        return (self._catch_up() if False in states else False) or more

    def _follow_nothing(self, book: Book) -> bool:
        if book.version != self._version:
            with self._rollback_forgets(), self._tables.transaction():
                self._current_book()
                self._tell_all(self._judge.judge((), self._clock()))
        return False

    def _adopt(self, book: Book) -> None:
        self._version = book.version
        self._judge.adopt(book)
        self._fill = None
        self.generation += 1

    # Following the feed

    def _follow(self, book: Book) -> bool:
        ledger = self._tables.ledger()
        changes = self._store.changes(ledger.revision, _CHANGES)
        if changes.whole and (ledger.revision or changes.minutes.num_rows):
            self._begin_anew(book)
            return True
        places = _places(changes.minutes, ledger.coarse_before_ns)
        spend = self._store.spend_of(_minutes_of(places, ledger.coarse_before_ns)) if places else None
        now = self._clock()
        fresh = book.version != self._version
        if spend is None and not fresh and not self._judge.is_due(now):
            if changes.revision != ledger.revision:
                self._tables.set_revision(changes.revision)
            return changes.more
        with self._rollback_forgets(), self._tables.transaction():
            self._write(places, spend, now, changes.revision)
        self.generation += 1
        return changes.more

    def _write(self, places: set[Place], spend: pa.Table | None, now: int, revision: int) -> None:
        book = self._current_book()
        touched: Touched = set()
        if spend is not None:
            coarse = self._tables.ledger().coarse_before_ns
            found = _fold(spend, book.matchers[True], coarse)
            touched = self._replace(book, places, found, now, filled=True)
        self._tell_all(self._judge.judge(touched, now))
        self._tables.set_revision(revision)

    def _current_book(self) -> Book:
        """Return the definitions, read anew inside the transaction if another thread changed them."""
        book = self._judge.book
        if book is None or self._tables.ledger().version != self._version:
            book = read_book(self._tables)
            self._adopt(book)
        return book

    def _tell_all(self, findings: list[Finding]) -> None:
        if findings:
            self._tell(findings)

    def _begin_anew(self, book: Book) -> None:
        """The feed has lost the watermark: compute everything again, beside what is there."""
        with self._tables.transaction():
            self._tables.set_filled([key for key, entry in book.entries.items() if entry.filled], filled=False)
            self._tables.bump()

    # Catching up

    def _catch_up(self) -> bool:
        """Take in a day of stored calls for the budgets that lack them."""
        with self._rollback_forgets(), self._tables.transaction():
            book = self._current_book()
            waiting = {key: entry for key, entry in book.entries.items() if not entry.filled}
        if not waiting:
            return False
        if self._fill is None:
            self._fill = _Fill(self._store, self._places_known(book, waiting))
        fill = self._fill
        day = fill.days.pop() if fill.days else None
        if day is None:
            self._finish(fill, waiting)
        else:
            self._fill_day(day)
        self.generation += 1
        return True

    def _places_known(self, book: Book, waiting: Mapping[Key, Entry]) -> set[int]:
        mine = [number for number, (key, _) in book.owners.items() if key in waiting]
        return {start for _, start in self._tables.cell_places(0, 2**63 - 1, mine)}

    def _fill_day(self, day: int) -> None:
        coarse = self._tables.ledger().coarse_before_ns
        grain = COARSE_NS if day + DAY_NS <= coarse else MINUTE_NS
        spend = self._store.spend_between(day, day + DAY_NS, grain)
        with self._rollback_forgets(), self._tables.transaction():
            version = self._version
            book = self._current_book()
            if version != self._version:
                return  # begin again with what is asked for now
            mine = [number for number, (key, _) in book.owners.items() if not book.entries[key].filled]
            found = _fold(spend, book.matchers[False], coarse)
            places = set(found) | self._tables.cell_places(day, day + DAY_NS, mine)
            self._replace(book, places, found, self._clock(), filled=False)

    def _finish(self, fill: "_Fill", waiting: Mapping[Key, Entry]) -> None:
        """Let the budgets follow the feed, from where it was when catching up began."""
        with self._rollback_forgets(), self._tables.transaction():
            version = self._version
            book = self._current_book()
            if version != self._version:
                return
            following = any(entry.filled for entry in book.entries.values())
            revision = self._tables.ledger().revision
            self._tables.set_revision(min(revision, fill.revision) if following else fill.revision)
            self._tables.set_filled(waiting, filled=True)
            self._tables.bump()
            # All that was counted is judged, here: who dies after this goes on from changes alone.
            mine = [number for number, (key, _) in book.owners.items() if key in waiting]
            touched = {(number, row.start_ns) for number in mine for row in self._tables.periods(number)}
            self._current_book()
            self._tell_all(self._judge.judge(touched, self._clock()))

    # Cells

    def _replace(self, book: Book, places: set[Place], found: "Found", now: int, *, filled: bool) -> Touched:
        """Make what was found the cells of these places, for the budgets that are filled, or are not."""
        changes: dict[tuple[int, int], Spend] = {}
        for place in sorted(places):
            new = {self._instance(book, *name): spend for name, spend in found.get(place, {}).items()}
            old = {
                instance: spend
                for instance, spend in self._tables.cells(*place).items()
                if book.entries[book.owners[instance][0]].filled is filled
            }
            gone = place[1] < self._kept_since(place[0], now)
            for instance in old.keys() | new.keys():
                before, after = old.get(instance, Spend()), new.get(instance, Spend())
                if before == after or (gone and instance in old):
                    continue
                self._tables.put_cell(*place, instance, after)
                change = changes.get((instance, place[1]), Spend())
                changes[instance, place[1]] = change.plus(after).minus(before)
        return self._add_up(book, changes)

    def _instance(self, book: Book, key: Key, tenant: str) -> int:
        number = book.instances.get((*key, tenant))
        if number is None:
            number = self._tables.add_instance(*key, tenant)
            book.instances[*key, tenant] = number
            book.owners[number] = (key, tenant)
        return number

    def _add_up(self, book: Book, changes: Mapping[tuple[int, int], Spend]) -> Touched:
        rows: dict[tuple[int, int], PeriodRow] = {}
        for (instance, moment), change in changes.items():
            cycle = book.budget_of(instance).cycle
            place = instance, cycle.at(moment).start_ns
            row = rows.get(place) or self._tables.period(*place) or self._new_period(book, instance, moment)
            # What a rolling window holds is a matter of the time, too: it is summed up when it is judged.
            rows[place] = row if cycle.unit == "rolling" else row._replace(spend=row.spend.plus(change))
        for row in rows.values():
            self._tables.put_period(row)
        return set(rows)

    def _new_period(self, book: Book, instance: int, moment: int) -> PeriodRow:
        key, tenant = book.owners[instance]
        entry = book.entries[key]
        period = entry.budget.cycle.at(moment)
        rate = entry.budget.rate_at(period.start_ns or entry.created_ns)
        limit = entry.budget.limit(tenant, rate)
        return PeriodRow(instance, period.start_ns, period.end_ns, period.label, str(rate), limit, Spend())

    # Compaction

    def merge(self) -> bool:
        """Make cells of days ago longer; tell whether there is more to do."""
        with self._rollback_forgets(), self._tables.transaction():
            book = self._current_book()
            if any(not entry.filled for entry in book.entries.values()):
                return False
            longest = max([entry.budget.cycle.hours for entry in book.entries.values()], default=0)
            kept = max(_MINUTES_KEPT_NS, longest * HOUR_NS + DAY_NS)
            before = (self._clock() - kept) // DAY_NS * DAY_NS
            before = max(before, self._tables.ledger().coarse_before_ns)
            self._tables.set_coarse_before(before)
            return self._tables.merge_cells(before, COARSE_NS, _MERGES) == _MERGES

    def _rollback_forgets(self) -> "_Forgets":
        return _Forgets(self)

    def forget(self) -> None:
        """Read everything again from the database: the last transaction may not have happened."""
        self._version = -1
        self._fill = None
        self._judge.forget()


class _Forgets:
    """Makes the ledger read its database anew after an exception."""

    def __init__(self, ledger: BudgetLedger) -> None:
        self._ledger = ledger

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._ledger.forget()


class _Fill:
    """The days that are left to take in of the stored calls, and the watermark to go on from then."""

    def __init__(self, store: SpendStore, known: Iterable[int]) -> None:
        changes = store.changes(0)
        self.revision = changes.revision
        starts: list[Any] = pc.unique(changes.minutes["minute_ns"]).to_pylist()
        self.days = sorted({start // DAY_NS * DAY_NS for start in (*starts, *known)})


Found: TypeAlias = dict[Place, dict[tuple[Key, str], Spend]]
"""What budgets, by key and tenant, spent at places."""


def _fold(spend: pa.Table, matcher: Matcher, coarse_before_ns: int) -> Found:
    """Add up rows of ``SPEND`` by cell and budget."""
    found: Found = {}
    for row in spend.to_pylist():
        cost = row["cost_usd"]
        one = Spend(nano_of(cost if cost is not None else Decimal(0)), row["calls"], row["unpriced"])
        place = row["owner"], _start(row["start_ns"], coarse_before_ns)
        for key, tenant in matcher.of(row):
            cell = found.setdefault(place, {})
            cell[key, tenant] = cell.get((key, tenant), Spend()).plus(one)
    return found


def _start(moment: int, coarse_before_ns: int) -> int:
    grain = COARSE_NS if moment < coarse_before_ns else MINUTE_NS
    return moment // grain * grain


def _places(minutes: pa.Table, coarse_before_ns: int) -> set[Place]:
    owners: list[Any] = minutes["owner"].to_pylist()
    starts: list[Any] = minutes["minute_ns"].to_pylist()
    return {(owner, _start(start, coarse_before_ns)) for owner, start in zip(owners, starts, strict=True)}


def _minutes_of(places: set[Place], coarse_before_ns: int) -> pa.Table:
    """Return every minute that a cell at one of these places stands for."""
    owners, minutes = [], []
    for owner, start in sorted(places):
        length = COARSE_NS if start < coarse_before_ns else MINUTE_NS
        for minute in range(start, start + length, MINUTE_NS):
            owners.append(owner)
            minutes.append(minute)
    return pa.table([pa.array(owners, pa.string()), pa.array(minutes, pa.int64())], names=["owner", "minute_ns"])
