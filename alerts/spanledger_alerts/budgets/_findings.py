"""What budgets say: thresholds that were crossed are events, a burn rate is a state."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from spanledger_alerts.budgets._calendar import MINUTE_NS
from spanledger_alerts.budgets._definition import Budget, BurnPair
from spanledger_alerts.budgets._money import amount_of
from spanledger_alerts.budgets._tables import PeriodRow
from spanledger_alerts.records import Finding, Severity

Basis: TypeAlias = Literal["actual", "forecast", "unpriced"]

_WARNING: Final = 80_000
_CRITICAL: Final = 100_000


def rule_of(budget: Budget) -> str:
    """Return the name under which a budget tells."""
    return f"budget:{budget.name}"


def threshold_finding(
    budget: Budget, tenant: str, row: PeriodRow, basis: Basis, crossed: Sequence[int], at_ns: int
) -> Finding:
    """Return what is told of thresholds of one basis that were crossed at once: the highest, and the others by name."""
    late = row.end_ns <= at_ns
    highest = max(crossed)
    labels = _labels(budget, tenant) | {"period": row.label, "basis": basis, "threshold": percent(highest)}
    return Finding(
        rule=rule_of(budget),
        owner=budget.owner,
        labels=labels | ({"late": "true"} if late else {}),
        active=True,
        at_ns=at_ns,
        severity=_severity(basis, highest),
        summary=_summary(budget, tenant, row, basis, crossed),
        value=float(amount_of(row.spend.nano)),
        threshold=float(Decimal(row.limit) * highest / 100_000 / 10**9),
        window=row.label,
        impact_usd=amount_of(row.spend.nano),
        links={"budgets": "/?page=budgets"},
        once=True,
    )


def unpriced_finding(budget: Budget, tenant: str, row: PeriodRow, at_ns: int) -> Finding:
    """Return that calls of a period have no price, so that more was spent than is known."""
    calls = row.spend.unpriced
    return Finding(
        rule=rule_of(budget),
        owner=budget.owner,
        labels=_labels(budget, tenant) | {"period": row.label, "basis": "unpriced"},
        active=True,
        at_ns=at_ns,
        severity="warning",
        summary=f"{_name(budget, tenant)} {row.label}: {calls:,} calls have no price, more was spent than is counted",
        value=float(calls),
        threshold=float(budget.unpriced),
        window=row.label,
        once=True,
    )


def burn_finding(budget: Budget, tenant: str, pair: BurnPair, at_ns: int) -> Finding:
    """Return that a budget is used up too fast."""
    return Finding(
        rule=rule_of(budget),
        owner=budget.owner,
        labels=_labels(budget, tenant) | {"basis": "burn", "burn": pair.name},
        active=True,
        at_ns=at_ns,
        severity=pair.severity,
        summary=f"{_name(budget, tenant)} is used up too fast: {pair.factor} times the pace that makes it last, in the"
        f" last {_span(pair.long_ns)} and the last {_span(pair.short_ns)}",
        threshold=float(pair.factor),
        window=_span(pair.long_ns),
    )


def _span(nanoseconds: int) -> str:
    """Return ``30m``, ``6h`` or ``3d``."""
    minutes = nanoseconds // MINUTE_NS
    size, unit = next(pair for pair in ((1440, "d"), (60, "h"), (1, "m")) if minutes % pair[0] == 0)
    return f"{minutes // size}{unit}"


def text_of(finding: Finding) -> str:
    """Return what is needed to end it later, when the budget may be another one."""
    kept = {"rule": finding.rule, "owner": finding.owner, "labels": finding.labels, "severity": finding.severity}
    return json.dumps(kept | {"summary": finding.summary})


def ended(text: str, at_ns: int) -> Finding:
    """Return that a state which was told has ended."""
    told = json.loads(text)
    return Finding(**(told | {"active": False, "at_ns": at_ns}))


def percent(threshold: int) -> str:
    """Return thousandths of a percent as percents."""
    return f"{Decimal(threshold) / 1000:f}"


def _labels(budget: Budget, tenant: str) -> dict[str, str]:
    labels = {"budget": budget.name, "mode": budget.mode}
    labels |= {name: values[0] for name, values in budget.scope.items() if len(values) == 1}
    return labels | ({"tenant": tenant} if tenant else {})


def _name(budget: Budget, tenant: str) -> str:
    return f"Budget {budget.name}" + (f" of {tenant}" if tenant else "")


def _severity(basis: Basis, threshold: int) -> Severity:
    if basis == "actual" and threshold >= _CRITICAL:
        return "critical"
    return "warning" if basis != "actual" or threshold >= _WARNING else "info"


def _summary(budget: Budget, tenant: str, row: PeriodRow, basis: Basis, crossed: Sequence[int]) -> str:
    spent, limit = _usd(row.spend.nano), _usd(row.limit)
    marks = ", ".join(f"{percent(threshold)} %" for threshold in sorted(crossed))
    if basis == "forecast":
        return (
            f"{_name(budget, tenant)} {row.label}: {marks} of {limit} USD will probably be passed; {spent} USD so far"
        )
    return f"{_name(budget, tenant)} {row.label}: passed {marks}, {spent} of {limit} USD spent"


def _usd(nano: int) -> str:
    """Return an amount without the zeros at its end, with two places at least."""
    whole, _, places = f"{amount_of(nano):f}".partition(".")
    return f"{int(whole):,}.{places.rstrip('0').ljust(2, '0')}"
