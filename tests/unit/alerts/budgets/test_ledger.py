"""What the ledger says equals what the calls cost, and every threshold is told once."""

from dataclasses import replace
from typing import Any

NOW = 1_795_478_400 * 10**9  # 2026-11-24 00:00 UTC, a Tuesday
MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
USD = 10**9


def test_spend_is_counted_by_scope_and_period(world: Any, a_call: Any) -> None:
    world.define("all", amount=100)
    world.define("daily", amount=10, period="day", model="gpt-5")
    world.define("tenants", amount=5, period="week", each="tenant", overrides={"acme": "1"})
    world.define("acme", owner="acme", amount=3, period="total", use_case=["support", "sales"])
    world.calls.put(1, a_call(NOW, cost=3 * USD, owner="acme"))
    world.calls.put(2, a_call(NOW - DAY, cost=2 * USD + 1, model="gpt-5-mini", owner="acme"))
    world.calls.put(3, a_call(NOW, cost=None, tenant="zeta", owner="zeta"))
    world.calls.put(4, a_call(NOW, cost=7, billable=False))
    world.calls.put(5, a_call(NOW, cost=None, status="error"))
    world.settle()
    assert world.totals() == {
        ("", "all", "", "2026-11"): (5 * USD + 1, 4, 1),
        ("", "daily", "", "2026-11-24"): (3 * USD, 3, 1),
        ("", "tenants", "acme", "week of 2026-11-23"): (5 * USD + 1, 3, 0),
        ("", "tenants", "zeta", "week of 2026-11-23"): (0, 1, 1),
        ("acme", "acme", "", "total"): (5 * USD + 1, 2, 0),
    }


def test_a_cost_that_changes_replaces_what_was_counted(world: Any, a_call: Any) -> None:
    world.define("all", amount=100)
    call = a_call(NOW, cost=3 * USD)
    for cost in (3 * USD, 3 * USD, 1, 5 * USD):
        world.calls.put(1, replace(call, cost=cost))
        world.settle()
        assert world.totals() == {("", "all", "", "2026-11"): (cost, 1, 0)}
    world.calls.put(1, replace(call, start_ns=NOW - 30 * DAY))
    world.settle()
    assert world.totals() == {("", "all", "", "2026-10"): (3 * USD, 1, 0)}


def test_thresholds_jumped_at_once_are_all_recorded_and_told_as_one(world: Any, a_call: Any) -> None:
    world.define("all", amount=100, burn=[])
    world.calls.put(1, a_call(NOW, cost=55 * USD))
    world.settle()
    world.calls.put(2, a_call(NOW, cost=46 * USD))
    world.settle()
    world.settle()
    labels = [row["labels"] for row in world.told()]
    assert [(one["threshold"], one["period"], one["basis"]) for one in labels] == [
        ("50", "2026-11", "actual"),
        ("100", "2026-11", "actual"),
    ]
    assert world.told()[1]["summary"] == "Budget all 2026-11: passed 80 %, 100 %, 101.00 of 100.00 USD spent"
    assert [row["severity"] for row in world.told()] == ["info", "critical"]
    events = [(event.threshold, event.detail) for _, event in world.tables.events(0, 100)]
    assert events == [(50_000, ""), (80_000, "told with a higher one"), (100_000, "")]


def test_a_refund_does_not_arm_and_a_raise_arms_what_is_no_longer_met(world: Any, a_call: Any) -> None:
    world.define("all", amount=100, burn=[])
    world.calls.put(1, a_call(NOW, cost=100 * USD))
    world.settle()
    for cost in (10, 100, 49, 85):
        world.calls.put(1, a_call(NOW, cost=cost * USD))
        world.settle()
    assert len(world.told()) == 1
    world.define("all", amount=150, burn=[])  # 85 is 57 %
    world.settle()
    assert len(world.told()) == 1
    world.calls.put(2, a_call(NOW, cost=40 * USD))
    world.settle()
    world.define("all", amount=120, burn=[])
    world.settle()
    assert [row["labels"]["threshold"] for row in world.told()] == ["100", "80", "100"]


def test_late_charges_go_to_their_own_period_and_say_so(world: Any, a_call: Any) -> None:
    world.define("daily", amount=10, period="day", burn=[])
    world.settle()
    world.now = NOW + DAY + HOUR
    world.calls.put(1, a_call(NOW + DAY - 1, cost=9 * USD))
    world.calls.put(2, a_call(NOW + DAY, cost=9 * USD))
    world.settle()
    found = [(row["labels"]["period"], row["labels"].get("late")) for row in world.told()]
    assert found == [("2026-11-24", "true"), ("2026-11-25", None)]


def test_what_was_over_before_a_budget_was_made_is_counted_and_no_news(world: Any, a_call: Any) -> None:
    for day in range(40):
        world.calls.put(day, a_call(NOW - day * DAY, cost=USD))
    world.define("daily", amount=1, period="day", burn=[])
    world.settle()
    assert len(world.totals()) == 40
    assert [row["labels"]["period"] for row in world.told()] == ["2026-11-24"]


def test_calls_without_a_price_are_told_once_a_period(world: Any, a_call: Any) -> None:
    world.define("all", amount=100, unpriced=2)
    for number in range(5):
        world.calls.put(number, a_call(NOW + number, cost=None))
        world.settle()
    (told,) = world.told()
    assert told["labels"]["basis"] == "unpriced"
    assert "2 calls have no price" in told["summary"]


def test_an_amount_in_another_currency_is_measured_at_the_rate_of_its_period(world: Any, a_call: Any) -> None:
    rates = [{"from": "2026-01-01", "usd": "1.10"}, {"from": "2026-12-01", "usd": "2"}]
    world.define("euro", amount=10, currency="EUR", rates=rates, thresholds=[100], burn=[])
    world.calls.put(1, a_call(NOW, cost=11 * USD - 1))
    world.settle()
    assert world.told() == []
    world.calls.put(2, a_call(NOW, cost=1))
    world.settle()
    assert len(world.told()) == 1
    changed = [{"from": "2026-01-01", "usd": "9"}]
    world.define("euro", amount=10, currency="EUR", rates=changed, thresholds=[100], burn=[])
    world.settle()
    (row,) = world.tables.periods(world.tables.instances()[0][0])
    assert (row.rate, row.limit) == ("1.10", 11 * USD)


def test_a_rolling_window_forgets_and_arms_again_well_below(world: Any, a_call: Any) -> None:
    world.define("rolling", amount=10, period="rolling 2h", thresholds=[100], burn=[])
    world.settle()
    for hour in range(12):
        world.now = NOW + hour * HOUR
        if hour % 4 == 0:
            world.calls.put(hour, a_call(world.now, cost=11 * USD))
        world.settle()
    assert [row["at"] for row in world.told()] == [NOW, NOW + 4 * HOUR, NOW + 8 * HOUR]


def test_burning_too_fast_begins_and_ends(world: Any, a_call: Any) -> None:
    world.define("all", amount=30 * 24, thresholds=[], burn=[{"factor": 10, "long": "1h", "short": "5m"}])
    world.settle()
    world.calls.put(1, a_call(NOW, cost=11 * USD))
    world.settle()
    for minute in range(1, 10):
        world.now = NOW + minute * MINUTE
        world.settle()
    assert [(row["active"], row["at"]) for row in world.told()] == [(1, NOW), (0, NOW + 5 * MINUTE)]
    assert world.told()[0]["labels"] == world.told()[1]["labels"]


def test_what_burns_ends_with_its_budget(world: Any, a_call: Any) -> None:
    world.define("all", amount=30 * 24, thresholds=[], burn=[{"factor": 10, "long": "1h", "short": "5m"}])
    world.calls.put(1, a_call(NOW, cost=11 * USD))
    world.settle()
    assert world.definitions.delete("", "all", "rest")
    world.settle()
    assert [row["active"] for row in world.told()] == [1, 0]
    assert world.totals() == {}


def test_nothing_is_written_while_nothing_changes(world: Any, a_call: Any) -> None:
    world.define("all", amount=100)
    world.define("daily", amount=100, period="day")
    world.calls.put(1, a_call(NOW, cost=USD))
    world.settle()
    before = world.database.transactions
    for second in range(30):
        world.now = NOW + second * 10**9
        world.settle()
    assert world.database.transactions == before


def test_old_cells_become_longer_and_stay_exact(world: Any, a_call: Any) -> None:
    world.define("daily", amount=100, period="day", timezone="Asia/Kathmandu")
    for minute in range(60):
        world.calls.put(minute, a_call(NOW - 10 * DAY + minute * MINUTE, cost=USD + minute))
    world.settle()
    before = world.totals()
    while world.ledger.merge():
        pass
    count = world.database.connection.execute("SELECT count(*) FROM budget_cells").fetchall()[0][0]
    assert count == 4
    world.restart()
    world.settle()
    assert world.totals() == before
    world.calls.put(7, a_call(NOW - 10 * DAY + 7 * MINUTE, cost=3 * USD))
    world.calls.put(99, a_call(NOW - 10 * DAY + 7 * MINUTE, cost=5 * USD))
    world.settle()
    ((nano, calls, _),) = world.totals().values()
    assert (nano, calls) == (59 * USD + sum(range(60)) - 7 + 8 * USD, 61)


def test_what_retention_deleted_stays_counted(world: Any, a_call: Any) -> None:
    world.define("all", amount=100, period="total")
    for number in range(3):
        world.calls.put(number, a_call(NOW - 10 * DAY + number, cost=USD))
    world.calls.put(3, a_call(NOW, cost=USD))
    world.settle()
    world.kept_since = lambda _owner, now: now - 5 * DAY
    world.calls.drop(0)
    world.calls.put(4, a_call(NOW - 10 * DAY, cost=USD))  # far too late, and soon to be deleted
    world.settle()
    assert world.totals() == {("", "all", "", "total"): (4 * USD, 4, 0)}
    world.calls.floor = 10**6  # the feed forgot
    world.calls.log.append((10**6 + 5, "", NOW))
    world.settle()
    assert world.totals() == {("", "all", "", "total"): (4 * USD, 4, 0)}


def test_amounts_beyond_64_bits_are_exact(world: Any, a_call: Any) -> None:
    world.define("all", amount=100, burn=[])
    huge = 999_999_999 * 10**9 + 999_999_999
    for number in range(25):
        world.calls.put(number, a_call(NOW, cost=huge))
    world.settle()
    assert world.totals() == {("", "all", "", "2026-11"): (25 * huge, 25, 0)}


def test_what_is_written_while_a_budget_catches_up_is_not_missed(world: Any, a_call: Any) -> None:
    world.define("old", amount=100, burn=[])
    for day in range(4):
        world.calls.put(day, a_call(NOW - day * DAY, cost=USD))
    world.settle()
    world.define("new", amount=50, burn=[])
    for number in range(5):
        world.ledger.step()
        world.calls.put(10 + number, a_call(NOW - number % 4 * DAY, cost=USD))
    world.settle()
    assert {nano for nano, _, _ in world.totals().values()} == {9 * USD}


def test_late_charges_are_told_even_if_the_feed_was_lost_meanwhile(world: Any, a_call: Any) -> None:
    world.define("daily", amount=10, period="day", burn=[])
    world.calls.put(1, a_call(NOW, cost=USD))
    world.settle()
    world.now = NOW + 3 * DAY
    world.calls.put(2, a_call(NOW + HOUR, cost=20 * USD))
    world.calls.floor = world.calls.log[-1][0] - 1
    world.settle()
    assert [row["labels"].get("late") for row in world.told()] == ["true"]
