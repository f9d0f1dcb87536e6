"""A store of calls in memory, a database in memory that can die, and the two put together."""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from spanledger_alerts import budget_tables
from spanledger_alerts.budgets import (
    SPEND,
    Budget,
    BudgetLedger,
    Definitions,
    Tables,
    parse_budget,
)
from spanledger_alerts.records import Finding
from spanledger_analytics.ports import Changes

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 1_795_478_400 * 10**9  # 2026-11-24 00:00 UTC, a Tuesday


class DiedError(Exception):
    """The process ended here."""


class Database:
    """SQLite in memory. ``die_after`` statements it raises, once, as a process that is killed."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript(budget_tables.TABLES)
        self.connection.execute("CREATE TABLE told (rule, labels, summary, severity, active, at)")
        self.die_after: int | None = None
        self.transactions = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN IMMEDIATE")
        self.transactions += 1
        try:
            yield
            self._perhaps_die()
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._perhaps_die()
        return self.connection.execute(sql, values).fetchall()

    def _perhaps_die(self) -> None:
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                self.die_after = None
                raise DiedError


@dataclass
class OneCall:
    start_ns: int
    cost: int | None = 0
    """Nano-USD."""
    owner: str = ""
    tenant: str = "acme"
    model: str = "gpt-5"
    provider: str = "openai"
    use_case: str | None = "support"
    service: str | None = "shop"
    environment: str | None = None
    status: str = "ok"
    billable: bool = True


@dataclass
class Calls:
    """Stored calls by id, and the minutes that were touched, by revision."""

    rows: dict[int, OneCall] = field(default_factory=dict)
    log: list[tuple[int, str, int]] = field(default_factory=list)
    floor: int = 0

    def put(self, number: int, call: OneCall) -> None:
        revision = self.log[-1][0] + 1 if self.log else 1
        for one in (self.rows.get(number), call):
            if one is not None:
                self.log.append((revision, one.owner, one.start_ns // MINUTE * MINUTE))
        self.rows[number] = call

    def drop(self, number: int) -> None:
        """As retention does: without a word."""
        del self.rows[number]

    def changes(self, after: int, limit: int = 50_000) -> Changes:
        del limit
        newest = self.log[-1][0] if self.log else 0
        whole = after <= self.floor or after > newest
        if whole:
            found = {(call.owner, call.start_ns // MINUTE * MINUTE) for call in self.rows.values()}
        else:
            found = {(owner, minute) for revision, owner, minute in self.log if revision > after}
        owners, minutes = [owner for owner, _ in sorted(found)], [minute for _, minute in sorted(found)]
        table = pa.table([pa.array(owners, pa.string()), pa.array(minutes, pa.int64())], names=["owner", "minute_ns"])
        return Changes(revision=newest, minutes=table, more=False, whole=whole)

    def spend_of(self, minutes: pa.Table) -> pa.Table:
        wanted = set(zip(minutes["owner"].to_pylist(), minutes["minute_ns"].to_pylist(), strict=True))
        rows = self.rows.values()
        return _sums([call for call in rows if (call.owner, call.start_ns // MINUTE * MINUTE) in wanted], MINUTE)

    def spend_between(self, from_ns: int, to_ns: int, grain_ns: int) -> pa.Table:
        return _sums([call for call in self.rows.values() if from_ns <= call.start_ns < to_ns], grain_ns)


def _sums(calls: Sequence[OneCall], grain: int) -> pa.Table:
    # A row for each call: whoever adds up must not care.
    rows = [
        {
            **{name: getattr(call, name) for name in SPEND.names if hasattr(call, name)},
            "start_ns": call.start_ns // grain * grain,
            "cost_usd": None if call.cost is None else Decimal(f"{call.cost}e-9"),
            "calls": 1,
            "unpriced": int(call.cost is None and call.status == "ok"),
        }
        for call in calls
        if call.billable
    ]
    return pa.Table.from_pylist(rows, schema=SPEND)


class World:
    """Budgets over calls, with a clock of its own."""

    def __init__(self, store: Any = None) -> None:
        self.database = Database()
        self.calls = Calls() if store is None else store
        self.now = NOW
        self.kept_since: Callable[[str, int], int] = lambda _owner, _now: 0
        self.restart()

    def restart(self) -> None:
        """Begin with new objects over the same data."""
        self.ledger = BudgetLedger(
            self.database,
            self.calls,
            self._tell,
            clock=lambda: self.now,
            kept_since=self._kept_since,
        )
        self.definitions = Definitions(self.database)
        self.tables = Tables(self.database)

    def _kept_since(self, owner: str, now: int) -> int:
        return self.kept_since(owner, now)

    def _tell(self, findings: Sequence[Finding]) -> None:
        for one in findings:
            values = (one.rule, repr(sorted(one.labels.items())), one.summary, one.severity, one.active, one.at_ns)
            self.database.execute("INSERT INTO told VALUES (?, ?, ?, ?, ?, ?)", values)

    def define(self, name: str, *, owner: str = "", **body: Any) -> Budget:
        budget = parse_budget(name, body, owner=owner)
        self.definitions.put(budget, "rest", self.now)
        return budget

    def settle(self) -> int:
        """Take steps until nothing is left; return how many."""
        for number in range(1, 10_000):
            if not self.ledger.step():
                return number
        raise AssertionError("the ledger finds no end")

    def told(self) -> list[dict[str, Any]]:
        """Return everything told, in order."""
        found = self.database.connection.execute("SELECT * FROM told").fetchall()
        names = ("rule", "labels", "summary", "severity", "active", "at")
        rows = [dict(zip(names, row, strict=True)) for row in found]
        return [{**row, "labels": dict(eval(row["labels"]))} for row in rows]  # noqa: S307 - our own repr

    def totals(self) -> dict[tuple[str, str, str, str], tuple[int, int, int]]:
        """Return owner, budget, tenant and period to nano-USD, calls, unpriced calls; without empty periods."""
        found = {}
        for number, owner, name, tenant in self.tables.instances():
            for row in self.tables.periods(number):
                if tuple(row.spend) != (0, 0, 0):
                    found[owner, name, tenant, row.label] = tuple(row.spend)
        return found  # type: ignore[return-value] # three numbers


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.database.connection.close()


@pytest.fixture
def new_world() -> Iterator[Callable[[], World]]:
    made: list[World] = []

    def make() -> World:
        made.append(World())
        return made[-1]

    yield make
    for one in made:
        one.database.connection.close()


@pytest.fixture
def a_call() -> type[OneCall]:
    return OneCall


@pytest.fixture
def died() -> type[Exception]:
    return DiedError


@pytest.fixture
def rng() -> type[random.Random]:
    return random.Random
