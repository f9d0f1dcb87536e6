"""A database of budgets, and a clock that stands still until it is moved."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from spanledger_alerts import admission_tables, budget_tables
from spanledger_alerts.admission import Bound, Desk, Question
from spanledger_alerts.budgets import Definitions, PeriodRow, Spend, Tables, parse_budget

SECOND = 10**9
T0 = 1_795_514_400 * SECOND  # 2026-11-24 10:00 UTC


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Sqlite:
    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self._lock = threading.RLock()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self.connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            if self.connection.in_transaction:
                yield
                return
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.connection.rollback()
                raise
            self.connection.commit()


class Office:
    """Budgets, their ledger as the test writes it, and the desk, which may be made anew."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.database = Sqlite(path)
        for script in (budget_tables.TABLES, admission_tables.TABLES):
            self.database.connection.executescript(script)
        self.definitions = Definitions(self.database)
        self.tables = Tables(self.database)

    def budget(self, name: str = "all", **body: Any) -> None:
        budget = parse_budget(name, {"mode": "hard", "amount": 1, **body})
        self.definitions.put(budget, "rest", self.clock())
        self.tables.set_filled([budget.key], filled=True)

    def spend(self, nano: int, revision: int, name: str = "all", tenant: str = "") -> None:
        """Let the ledger of the month have so much more, at a revision."""
        found = {(row[1], row[2], row[3]): row[0] for row in self.tables.instances()}
        number = found.get(("", name, tenant)) or self.tables.add_instance("", name, tenant)
        budget = next(entry.budget for entry in self.definitions.entries() if entry.budget.name == name)
        period = budget.cycle.at(self.clock())
        old = self.tables.period(number, period.start_ns)
        spend = Spend() if old is None else old.spend
        row = PeriodRow(number, period.start_ns, period.end_ns, period.label, "1", 0, spend.plus(Spend(nano, 1)))
        self.tables.put_period(row)
        self.tables.set_revision(revision)

    def desk(self) -> Desk:
        return Desk(self.database, clock=self.clock)

    def question(self, cost: int = 10**8, tokens: int = 100, **more: Any) -> Question:
        """A call that costs ``cost`` nano-USD at most, all of it for output."""
        row = dict.fromkeys(("owner", "tenant", "model", "provider", "use_case", "service", "environment"), "")
        row |= more.pop("row", {})
        wanted = {"bound": Bound(0, cost * 1000 // tokens), "tokens": tokens, "start_ns": self.clock()}
        return Question(row=row, **{**wanted, "ttl_ns": 660 * SECOND, **more})


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "state.db")
    with closing(office.database.connection):
        yield office


@pytest.fixture
def new_office() -> Callable[[Path], Office]:
    return Office
