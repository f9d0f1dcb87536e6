"""Compares budgets and messages with what was spent and what happened."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from spanledger_ingest.demo._checks import Check, exact
from spanledger_ingest.demo._config import CAPPED_TENANT, LIVE_AMOUNT, LIVE_BUDGET, LIVE_SERVICES, PREPAID_BUDGET
from spanledger_ingest.demo._webhooks import Received

Row = dict[str, Any]

REFUSED: Final = "spanledger.errors.BudgetExceeded"
"""How a call ended that a hard cap refused."""
FOUND_RULES: Final = ("pii_leak", "prompt_injection")
"""Built-in rules that tell of a single answer at once."""


def budget_checks(
    budgets: Sequence[Row], events: Sequence[Row], usage: Sequence[Row], live: Sequence[Row]
) -> list[Check]:
    """Check sums and thresholds.

    Args:
        budgets: Rows of ``/budgets``.
        events: Rows of ``budget_events``.
        usage: Usage by tenant since the back-fill began.
        live: Stored calls of the applications.
    """
    spent = {(row["name"], row["tenant_id"]): exact(row["spent_usd"]) for row in budgets}
    due = sum((exact(call["cost_usd"]) for call in live if call["service_name"] in LIVE_SERVICES), Decimal(0))
    have = spent.get((LIVE_BUDGET, None), Decimal(0))
    reached = [percent for percent in (50, 80, 100) if due >= Decimal(LIVE_AMOUNT) * percent / 100]
    told = sorted(round(row["threshold"] * 100) for row in events if row["budget"] == LIVE_BUDGET)
    tenants = {row["tenant"]: exact(row["cost_usd"]) for row in usage}
    wrong = [name for name, cost in tenants.items() if spent.get((PREPAID_BUDGET, name), Decimal(0)) != cost]
    return [
        Check(
            f"{len(tenants)} prepaid budgets: used is exactly what the calls cost",
            not wrong,
            ", ".join(wrong),
        ),
        Check(f"the budget {LIVE_BUDGET} counts to a billionth: {due:.9f} USD", have == due, f"it says {have}"),
        Check(f"it says once that it passed {_listed(reached)}", told == reached == [50, 80, 100], f"it said {told}"),
    ]


def cap_check(live: Sequence[Row], refused: Sequence[Row]) -> Check:
    """Check that a hard cap stopped the workshop in time: `live` is held against the provider's books elsewhere."""
    let_through = sum(call["tenant_id"] == CAPPED_TENANT for call in live)
    claim = f"the hard cap let {let_through} calls through and refused the next before it reached the provider"
    return Check(claim, let_through > 0 and len(refused) == 1, f"{len(refused)} were refused")


def message_checks(messages: Sequence[Received]) -> list[Check]:
    """Check what the receiver got."""
    forged = [message.id for message in messages if not message.verified]
    firing = [one for one in messages if one.is_about("error_burst", "firing", service="kiosk")]
    resolved = [one for one in messages if one.is_about("error_burst", "resolved", service="kiosk")]
    alike = [one.body["data"]["id"] for one in (*firing, *resolved)]
    found = [rule for rule in FOUND_RULES if message_of(messages, rule, "firing", use_case="helpdesk") is not None]
    whole = [one for one in messages if one.is_about(f"budget:{LIVE_BUDGET}", "firing", threshold="100")]
    return [
        Check(
            f"{len(messages)} messages arrived, each with a genuine signature",
            not forged and bool(messages),
            ", ".join(forged),
        ),
        Check(f"one of them says that the budget {LIVE_BUDGET} is used up", len(whole) == 1, f"{len(whole)} do"),
        Check("the leak and the attack on the helpdesk were told", len(found) == len(FOUND_RULES), f"only {found}"),
        Check(
            "the outage was told once, and its end once, under the same id",
            len(firing) == len(resolved) == 1 and len(set(alike)) == 1,
            f"{len(firing)} and {len(resolved)} times",
        ),
    ]


def message_of(messages: Sequence[Received], rule: str, kind: str, **labels: str) -> Received | None:
    """Return the first message of a kind, if there is one."""
    return next((one for one in messages if one.is_about(rule, kind, **labels)), None)


def _listed(percents: Sequence[int]) -> str:
    return ", ".join(f"{percent} %" for percent in percents) or "nothing"
