"""Random lives of a ledger, with late, repeated, replaced and re-priced calls, crashes and restarts, against an oracle.

Seeded, so that a failure can be seen again. ``SPANLEDGER_FULL=1`` makes it 10,000 lives.
"""

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from spanledger_alerts.budgets import Budget, parse_budget

FULL = os.environ.get("SPANLEDGER_FULL") == "1"
LIVES = 10_000 if FULL else 600
PARTS = 10
NOW = 1_795_478_400 * 10**9  # 2026-11-24 00:00 UTC, a Tuesday
HOUR = 3600 * 10**9
DAY = 24 * HOUR
USD = 10**9
LATE = 3 * DAY
"""How late a call may be, and how far the calls of one life are apart."""

BUDGETS: dict[tuple[str, str], dict[str, Any]] = {
    ("", "all"): {"amount": 40, "timezone": "America/Sao_Paulo"},
    ("", "daily"): {"amount": 12, "period": "day", "timezone": "Asia/Kathmandu", "model": ["a", "b"]},
    ("", "tenants"): {"amount": "7.5", "period": "day", "each": "tenant", "overrides": {"acme": 15}},
    ("", "euro"): {"amount": 30, "currency": "EUR", "rate": "1.0837", "period": "week", "week_start": "sunday"},
    ("acme", "mine"): {"amount": 20, "period": "total", "use_case": "support", "thresholds": [10, 33.333, 100]},
}
Key = tuple[str, str, str, str]
"""Owner, budget, tenant and period."""


class Oracle:
    """Knows every call, and what had to be told."""

    def __init__(self) -> None:
        self.budgets: dict[tuple[str, str], Budget] = {}
        self.limits: dict[Key, int] = {}
        self.ends: dict[Key, int] = {}
        self.latched: set[tuple[Key, int]] = set()
        self.told: list[tuple[Key, int, bool]] = []

    def define(self, budget: Budget, calls: Any, now: int) -> None:
        old = self.budgets.get(budget.key)
        self.budgets[budget.key] = budget
        sums = self.sums(calls)
        for key in [key for key in self.limits if key[:2] == budget.key and self.ends[key] > now]:
            spent = sums.get(key, 0)
            self.limits[key] = limit = budget.limit(key[2], budget.rates[0][1])
            unmet = {threshold for threshold in budget.thresholds if spent * 100_000 < limit * threshold}
            if old is not None and budget.amount_for(key[2]) > old.amount_for(key[2]):
                self.latched -= {(key, threshold) for threshold in unmet}

    def sums(self, calls: Any) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for call in calls.rows.values():
            for budget in self.budgets.values():
                if call.billable and self._counts(budget, call):
                    tenant = call.tenant if budget.each_tenant else ""
                    period = budget.cycle.at(call.start_ns)
                    key = (*budget.key, tenant, period.label)
                    self.ends[key] = period.end_ns
                    found[key] = found.get(key, 0) + (call.cost or 0)
        return found

    @staticmethod
    def _counts(budget: Budget, call: Any) -> bool:
        inside = all(getattr(call, name) in values for name, values in budget.scope.items())
        return inside and budget.owner in ("", call.owner)

    def settle(self, calls: Any, now: int) -> None:
        for key, spent in sorted(self.sums(calls).items()):
            budget = self.budgets[key[0], key[1]]
            end = self.ends[key]
            limit = self.limits.setdefault(key, budget.limit(key[2], budget.rates[0][1]))
            if end <= NOW:
                continue  # it was over before there was a budget
            crossed = [
                threshold
                for threshold in budget.thresholds
                if spent * 100_000 >= limit * threshold and (key, threshold) not in self.latched
            ]
            self.latched |= {(key, threshold) for threshold in crossed}
            if crossed:
                self.told.append((key, max(crossed), end <= now))


class Life:
    """One ledger and everything that happens to it."""

    def __init__(self, world: Any, a_call: Any, died: type[Exception], seed: int) -> None:
        self.world, self.a_call, self.died = world, a_call, died
        self.random = random.Random(seed)  # noqa: S311 - a test
        self.oracle = Oracle()
        self.known: list[int] = []
        for (owner, name), body in BUDGETS.items():
            self.define(name, owner, body)

    def define(self, name: str, owner: str, body: dict[str, Any]) -> None:
        budget = parse_budget(name, {"burn": [], "unpriced": 0, **body}, owner=owner)
        self.world.definitions.put(budget, "rest", self.world.now)
        self.oracle.define(budget, self.world.calls, self.world.now)

    def new_call(self) -> Any:
        start = self.world.now - int(LATE * self.random.random() ** 3)
        return self.a_call(
            start,
            cost=None if self.random.random() < 0.1 else int(USD * self.random.expovariate(0.5)),
            owner=self.random.choice(["acme", "zeta"]),
            tenant=self.random.choice(["acme", "zeta", "omega"]),
            model=self.random.choice("abc"),
            use_case=self.random.choice(["support", "sales", None]),
            billable=self.random.random() < 0.9,
        )

    def put_calls(self) -> None:
        for _ in range(self.random.randrange(1, 6)):
            number = self.random.randrange(60)
            self.known.append(number)
            self.world.calls.put(number, self.new_call())  # sometimes in the place of one that was there

    def repeat(self) -> None:
        if self.known:
            number = self.random.choice(self.known)
            self.world.calls.put(number, self.world.calls.rows[number])

    def reprice(self) -> None:
        factor = self.random.choice([0, 0.5, 2])
        for number in self.random.sample(self.known, k=min(len(self.known), 4)):
            call = self.world.calls.rows[number]
            changed = self.a_call(**{**vars(call), "cost": int((call.cost or USD) * factor)})
            self.world.calls.put(number, changed)

    def forget_feed(self) -> None:
        if self.world.calls.log:
            self.world.calls.floor = self.world.calls.log[-1][0]
            self.put_calls()

    def change_amount(self) -> None:
        owner, name = self.random.choice(list(BUDGETS))
        self.settle()  # an amount is judged by what is known when it changes
        self.define(name, owner, BUDGETS[owner, name] | {"amount": self.random.randrange(5, 60)})

    def pass_time(self) -> None:
        self.world.now += self.random.randrange(1, 12) * HOUR

    def crash(self) -> None:
        self.world.database.die_after = self.random.randrange(60)
        try:
            for _ in range(3):
                self.world.ledger.step()
        except self.died:
            self.world.restart()
        self.world.database.die_after = None
        self.settle()

    def merge(self) -> None:
        self.world.ledger.merge()

    def settle(self) -> None:
        self.world.settle()
        self.oracle.settle(self.world.calls, self.world.now)

    def live(self) -> None:
        acts: list[Callable[[], None]] = [self.put_calls] * 5
        acts += [self.repeat, self.reprice, self.pass_time, self.change_amount, self.crash, self.world.restart]
        acts += [self.merge, self.forget_feed]
        for _ in range(self.random.randrange(5, 20)):
            self.random.choice(acts)()
            if self.random.random() < 0.6:
                self.settle()
        self.settle()

    def told(self) -> list[tuple[Key, int, bool]]:
        """Return what was told, as the oracle has it."""
        owners = {event.name: event.owner for _, event in self.world.tables.events(0, 10_000)}
        found = []
        for row in self.world.told():
            labels, name = row["labels"], row["labels"]["budget"]
            tenant = labels["tenant"] if name == "tenants" else ""
            key = (owners[name], name, tenant, labels["period"])
            found.append((key, int(float(labels["threshold"]) * 1000 + 0.5), labels.get("late") == "true"))
        return found


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1800 if FULL else 120)
def test_every_life_ends_with_exact_sums_and_every_event_once(
    part: int, new_world: Callable[[], Any], a_call: Any, died: type[Exception]
) -> None:
    for seed in range(part, LIVES, PARTS):
        life = Life(new_world(), a_call, died, seed)
        life.live()
        totals = {key: spend[0] for key, spend in life.world.totals().items() if spend[0]}
        sums = {key: nano for key, nano in life.oracle.sums(life.world.calls).items() if nano}
        assert totals == sums, f"seed {seed}"
        assert sorted(life.told()) == sorted(life.oracle.told), f"seed {seed}"
        again = new_world()
        again.calls, again.now = life.world.calls, life.world.now
        again.restart()
        for budget in life.oracle.budgets.values():
            again.definitions.put(budget, "rest", again.now)
        again.settle()
        assert again.totals() == life.world.totals(), f"seed {seed}: begun anew"
        for one in (life.world, again):
            one.database.connection.close()


def test_bodies_are_kept_as_they_were_written(world: Any) -> None:
    budget = world.define("all", amount="1.50", timezone="Europe/Berlin")
    (row,) = world.tables.definitions()
    assert json.loads(row.body) == {"amount": "1.50", "timezone": "Europe/Berlin"}
    assert parse_budget("all", json.loads(row.body)) == budget
