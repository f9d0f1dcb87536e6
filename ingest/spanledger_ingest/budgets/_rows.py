"""Budgets as rows of the public tables ``budgets`` and ``budget_events``."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from spanledger_alerts.budgets import Budget, BudgetStatus, EventRow, amount_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = 10**18
_LAST_NS: Final = 2**62


def status_row(status: BudgetStatus) -> dict[str, Any]:
    """Return a row of ``budgets``."""
    budget, period = status.budget, status.period
    outcome: dict[str, int | None] = {} if status.outcome is None else asdict(status.outcome)
    return {
        "owner": budget.owner,
        "name": budget.name,
        "tenant_id": status.tenant or _tenant(budget),
        "dimensions": json.dumps({name: list(values) for name, values in budget.scope.items()}, sort_keys=True),
        "period": budget.cycle.name,
        "period_start": moment(period.start_ns or None),
        "period_end": moment(period.end_ns),
        "limit_usd": _money(status.limit),
        "spent_usd": _money(status.spend.nano),
        "forecast_usd": _money(outcome.get("total")),
        "state": status.state,
        "share": status.share,
        "calls": status.spend.calls,
        "unpriced_calls": status.spend.unpriced,
        "forecast_low_usd": _money(outcome.get("low")),
        "forecast_high_usd": _money(outcome.get("high")),
        "exhausted_at": moment(outcome.get("exhausted")),
        "exhausted_early": moment(outcome.get("exhausted_early")),
        "exhausted_late": moment(outcome.get("exhausted_late")),
        "amount": _money(budget.amount_for(status.tenant)),
        "currency": budget.currency,
        "timezone": budget.cycle.zone,
        "mode": budget.mode,
        "source": status.source,
    }


def event_row(event: EventRow) -> dict[str, Any]:
    """Return a row of ``budget_events``."""
    return {
        "owner": event.owner,
        "time": moment(event.time_ns),
        "budget": event.name,
        "tenant_id": event.tenant or event.owner or None,
        "kind": event.basis,
        "threshold": event.threshold / 100_000 if event.basis != "unpriced" else None,
        "spent_usd": _money(int(event.spent)),
        "limit_usd": _money(event.limit),
        "detail": event.detail,
        "period": event.label,
        "late": bool(event.late),
    }


def _tenant(budget: Budget) -> str | None:
    tenants = budget.scope.get("tenant", ())
    return tenants[0] if len(tenants) == 1 else budget.owner or None


def moment(nanoseconds: int | None) -> datetime | None:
    """Return a time as it is shown; what has no end has none."""
    if nanoseconds is None or nanoseconds > _LAST_NS:
        return None
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _money(nano: int | None) -> Decimal | None:
    """Return an amount as the column holds it; what is beyond it is unknown there, and exact in the ledger."""
    return None if nano is None or abs(nano) >= _LARGEST else amount_of(nano)
