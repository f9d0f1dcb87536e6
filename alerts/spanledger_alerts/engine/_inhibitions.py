"""The inhibitions of the configuration, after those that are built in."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from spanledger_alerts.engine._mutes import Inhibition
from spanledger_alerts.engine._routes import read_matchers
from spanledger_alerts.errors import RuleError
from spanledger_alerts.matchers import parse_all
from spanledger_alerts.rules import refuse_unknown

_BUDGET: Final = 'rule=~"budget:.*"'

DEFAULT_INHIBITIONS: Final = (
    Inhibition(
        source=parse_all(["rule=provider_outage"]), target=parse_all(["rule=model_errors"]), equal=("provider",)
    ),
    # The burst and the burn rate say the same of one outage.
    Inhibition(
        source=parse_all(["rule=error_burst"]), target=parse_all(["rule=error_budget"]), equal=("tenant", "service")
    ),
    # Who hears that a budget is used up need not hear that it nearly is, or will be.
    Inhibition(
        source=parse_all([_BUDGET, "basis=actual", "threshold=100"]),
        target=parse_all([_BUDGET, "basis=actual", 'threshold=~"50|75|80|90|95"']),
        equal=("rule", "tenant", "period"),
    ),
    Inhibition(
        source=parse_all([_BUDGET, "basis=actual", "threshold=100"]),
        target=parse_all([_BUDGET, "basis=forecast"]),
        equal=("rule", "tenant", "period"),
    ),
)
_KEYS: Final = ("source", "target", "equal")


def build_inhibitions(tables: Sequence[Mapping[str, Any]]) -> tuple[Inhibition, ...]:
    """Read ``[[alerting.inhibit]]``.

    Raises:
        RuleError: one cannot be meant.
    """
    return (*DEFAULT_INHIBITIONS, *(_inhibition(f"alerting.inhibit {n}", table) for n, table in enumerate(tables, 1)))


def _inhibition(where: str, table: Mapping[str, Any]) -> Inhibition:
    refuse_unknown(where, table, _KEYS)
    source, target = (read_matchers(f"{where}.{side}", table.get(side, [])) for side in ("source", "target"))
    if not source or not target:
        raise RuleError(f"{where}: give matchers of the source and of the target")
    equal = table.get("equal", [])
    if not isinstance(equal, list | tuple) or not all(isinstance(name, str) for name in equal):
        raise RuleError(f'{where}.equal: write a list of labels, ["provider"]')
    return Inhibition(source=source, target=target, equal=tuple(equal))
