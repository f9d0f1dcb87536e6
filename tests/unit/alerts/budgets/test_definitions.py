"""What a budget may say, and what is refused with which reason."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_alerts.budgets import (
    KnownNames,
    Outlook,
    amount_of,
    check_can_match,
    nano_of,
    parse_budget,
    statuses,
)
from spanledger_alerts.errors import BudgetError, BudgetReadOnlyError

NOW = 1_795_478_400 * 10**9  # 2026-11-24 00:00 UTC, a Tuesday
HOUR = 3600 * 10**9
USD = 10**9


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "amount: '' is no amount"),
        ({"amount": 0}, "more than zero"),
        ({"amount": -1}, "more than zero"),
        ({"amount": "NaN"}, "no amount"),
        ({"amount": True}, "no amount"),
        ({"amount": "1e999999"}, "no amount"),
        ({"amount": "0.0000000001"}, "more than nine places"),
        ({"amount": 1, "amuont": 2}, r"amuont: no such setting; did you mean 'amount'\?"),
        ({"amount": 1, "period": "year"}, "'year' is no period: day, week"),
        ({"amount": 1, "period": "rolling 745h"}, "N up to 744|up to 744 hours"),
        ({"amount": 1, "timezone": "Europe/Berln"}, r"did you mean 'Europe/Berlin'\?"),
        ({"amount": 1, "timezone": "../etc/passwd"}, "is no time zone"),
        ({"amount": 1, "timezone": ["UTC"]}, "is no time zone"),
        ({"amount": 1, "service": "\ud800"}, "neither a name nor a list of names"),
        ({"amount": 1, "\ud800": 1}, r"budgets.b.\\ud800: no such setting"),
        ({"amount": 1, "week_start": "munday"}, r"did you mean '(sun|mon)day'\?"),
        ({"amount": 1, "currency": "EUR"}, "what a EUR is worth is not known: give 'rate'"),
        ({"amount": 1, "currency": "euro"}, "three capital letters"),
        ({"amount": 1, "rate": 2}, "an amount in USD has no rate"),
        ({"amount": 1, "currency": "EUR", "rate": 0}, "no rate"),
        ({"amount": 1, "currency": "EUR", "rate": 1, "rates": []}, "keep one of the two"),
        ({"amount": 1, "currency": "EUR", "rates": [{"from": "x", "usd": 1}]}, "a day, written"),
        ({"amount": 10**9, "currency": "EUR", "rate": 10**9}, "too much"),
        ({"amount": 1, "tenant": []}, "neither a name nor a list"),
        ({"amount": 1, "each": "model"}, "is not 'tenant'"),
        ({"amount": 1, "each": "tenant", "tenant": "a"}, "keep one of the two"),
        ({"amount": 1, "overrides": {"a": 1}}, "only a budget for each tenant"),
        ({"amount": 1, "thresholds": [0]}, "list of percents"),
        ({"amount": 1, "thresholds": 50}, "list of percents"),
        ({"amount": 1, "burn": [{"factor": 2, "long": "5m", "short": "1h"}]}, "shorter than the long one"),
        ({"amount": 1, "period": "total", "burn": [{"factor": 2, "long": "2h", "short": "1h"}]}, "without an end"),
        ({"amount": 1, "mode": "block"}, "not one of notify, soft, hard"),
        ({"amount": 1, "unpriced": -1}, "no whole number"),
        ({"amount": 1, "allow_unseen": 1}, "neither true nor false"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(body: dict[str, Any], why: str) -> None:
    with pytest.raises(BudgetError, match=why) as caught:
        parse_budget("b", body)
    assert str(caught.value).startswith("budgets.b.")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "ä", "a/b"])
def test_names_that_no_path_could_hold_are_refused(name: str) -> None:
    with pytest.raises(BudgetError, match="cannot name a budget"):
        parse_budget(name, {"amount": 1})


def test_a_tenants_budget_is_about_that_tenant() -> None:
    assert parse_budget("b", {"amount": 1, "tenant": "acme"}, owner="acme").owner == "acme"
    for body in ({"tenant": "zeta"}, {"tenant": ["acme", "zeta"]}, {"each": "tenant"}):
        with pytest.raises(BudgetError, match="no other"):
            parse_budget("b", {"amount": 1, **body}, owner="acme")


def test_names_never_seen_are_refused_with_the_nearest_unless_that_is_wanted() -> None:
    names = KnownNames(
        seen={"tenant": {"acme"}, "model": {"own-model"}},
        known={"model": {"gpt-5"}},
        knows_model=lambda name: name.startswith("gpt-5"),
        contradicts=lambda _model, provider: provider == "anthropic",
    )
    for good in ({"model": "gpt-5-mini"}, {"model": "own-model"}, {"tenant": "acme"}, {"service": "unknown so far"}):
        check_can_match(parse_budget("b", {"amount": 1, **good}), names)
    for body, why in (
        ({"tenant": "acmee"}, r"did you mean 'acme'\?"),
        ({"model": "own-modle"}, r"did you mean 'own-model'\?"),
        ({"each": "tenant", "overrides": {"zeta": 1}}, "'zeta' was ever seen"),
        ({"model": "gpt-5", "provider": "anthropic"}, "anthropic has no model gpt-5"),
    ):
        with pytest.raises(BudgetError, match=why):
            check_can_match(parse_budget("b", {"amount": 1, **body}), names)
        check_can_match(parse_budget("b", {"amount": 1, **body, "allow_unseen": True}), names)


def test_burn_rates_use_up_the_same_share_of_shorter_periods() -> None:
    weekly = parse_budget("b", {"amount": 1, "period": "week"}).burn
    assert [pair.name for pair in weekly] == ["14.4x over 14m and 1m", "6x over 84m and 7m", "1.5x over 1008m and 84m"]
    assert parse_budget("b", {"amount": 1, "period": "total"}).burn == ()


def test_a_budget_of_the_file_is_changed_there_alone(world: Any) -> None:
    world.definitions.put(parse_budget("b", {"amount": 1}), "config", NOW)
    with pytest.raises(BudgetReadOnlyError, match="configuration file"):
        world.define("b", amount=2)
    with pytest.raises(BudgetReadOnlyError, match="configuration file"):
        world.definitions.delete("", "b", "rest")
    assert not world.definitions.delete("", "other", "rest")


def test_status_of_budgets(world: Any, a_call: Any) -> None:
    world.define("all", amount=10, burn=[])
    world.define("empty", amount=10, currency="EUR", rate=2, model="x", period="day")
    world.define("rolling", amount=10, period="rolling 2h")
    assert [status.state for status in statuses(world.database, NOW)] == ["catching_up"] * 3
    world.calls.put(1, a_call(NOW, cost=9 * USD))
    world.settle()
    found = {status.budget.name: status for status in statuses(world.database, NOW)}
    assert [(found[name].state, found[name].share, found[name].limit) for name in ("all", "empty", "rolling")] == [
        ("warning", 0.9, 10 * USD),
        ("ok", 0.0, 20 * USD),
        ("warning", 0.9, 10 * USD),
    ]
    assert {status.budget.name: status.spend.nano for status in statuses(world.database, NOW + 3 * HOUR)}[
        "rolling"
    ] == 0


class Guess:
    total, low, high = 20 * USD, 8 * USD, 30 * USD

    def __init__(self) -> None:
        self.probability = 0.0

    def p_exceed(self, amount: int) -> float:
        assert amount == 10 * USD
        return self.probability


def test_a_forecast_is_told_at_most_once_a_day_and_armed_well_below(world: Any, a_call: Any) -> None:
    world.define("all", amount=10, burn=[])
    world.calls.put(1, a_call(NOW, cost=USD))
    world.settle()
    guess = Guess()
    outlook = Outlook(
        world.database, world._tell, forecaster=lambda _history, _period, _now: guess, clock=lambda: world.now
    )
    for hours, probability in enumerate([0.79, 0.8, 0.9, 0.76, 0.9, 0.74, 0.9, *[0.9] * 20]):
        world.now = NOW + hours * HOUR
        guess.probability = probability
        while outlook.step():
            pass
    assert [(row["labels"]["basis"], (row["at"] - NOW) // HOUR) for row in world.told()] == [
        ("forecast", 1),
        ("forecast", 25),
    ]
    (status,) = statuses(world.database, world.now)
    assert status.outcome is not None
    assert (status.outcome.total, status.outcome.exhausted_late) == (20 * USD, None)
    assert status.outcome.exhausted_early < status.outcome.exhausted < status.period.end_ns  # type: ignore[operator] # both known


@given(st.integers(-(10**30), 10**30))
def test_amounts_lose_nothing(nano: int) -> None:
    assert nano_of(amount_of(nano)) == nano
    assert amount_of(nano) * 1 == Decimal(nano).scaleb(-9) or abs(nano) >= 10**28
