"""All about budgets in one service, and the jobs that keep it going."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from spanledger_alerts.budgets import (
    Budget,
    BudgetLedger,
    BudgetStatus,
    Definitions,
    Forecaster,
    Outlook,
    SpendStore,
    Tell,
    check_can_match,
    no_forecast,
    statuses,
)
from spanledger_alerts.database import Database
from spanledger_analytics.forecast import Coverage
from spanledger_ingest.api import Metric
from spanledger_ingest.budgets._config import adopt_configured
from spanledger_ingest.budgets._known import Known
from spanledger_ingest.budgets._mirror import Mirror, MirrorStore
from spanledger_ingest.jobs import Job
from spanledger_ingest.retention import Policy

_TICK_SECONDS: Final = 1.0
_FORECAST_SECONDS: Final = 5.0
"""How often it is looked whether there is something to forecast; mostly there is not."""
_MERGE_SECONDS: Final = 3600.0
_DAY_NS: Final = 86_400 * 10**9
_MARGIN_NS: Final = 3600 * 10**9


class BudgetStore(SpendStore, MirrorStore, Protocol):
    """A store that sums up costs, and shows budgets."""


class BudgetArea:
    """Definitions, ledger, forecasts and what is shown of them.

    Args:
        state: keeps all of it.
        store: the calls.
        known: the names that a budget may use.
        tell: takes what there is to say.
        retention: what the store still holds.
        forecaster: says how a period will end.
        coverage: says how many of its intervals held.
    """

    def __init__(
        self,
        state: Database,
        store: BudgetStore,
        known: Known,
        tell: Tell,
        *,
        retention: Policy,
        forecaster: Forecaster = no_forecast,
        coverage: Callable[[], Coverage] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._state = state
        self._known = known
        self._clock = clock
        self._coverage = coverage
        self.definitions = Definitions(state)
        self.ledger = BudgetLedger(state, store, tell, clock=clock, kept_since=_kept_since(retention))
        self.outlook = Outlook(state, tell, forecaster=forecaster, clock=clock)
        self.mirror = Mirror(state, store, self.ledger, clock=clock)

    def adopt(self, budgets: Sequence[Budget]) -> None:
        """Take the budgets of the configuration.

        Raises:
            SettingsError: no call could ever count for one of them.
        """
        kept = any(entry.source == "config" for entry in self.definitions.entries(""))
        if budgets or kept:
            adopt_configured(self.definitions, budgets, self._known.names(), self._clock())

    def put(self, budget: Budget) -> bool:
        """Make or change a budget; tell whether it is new.

        Raises:
            BudgetError: no call could ever count for it, or it stands in the configuration file.
        """
        check_can_match(budget, self._known.names(budget.owner))
        return self.definitions.put(budget, "rest", self._clock())

    def delete(self, owner: str, name: str) -> bool:
        """Remove a budget; tell whether there was one.

        Raises:
            BudgetError: it stands in the configuration file.
        """
        return self.definitions.delete(owner, name, "rest")

    def statuses(self, owner: str | None = None) -> list[BudgetStatus]:
        """Return how every budget stands, or those of an owner."""
        return statuses(self._state, self._clock(), owner)

    def metrics(self) -> Iterator[Metric]:
        """Yield how many budgets there are, by state."""
        found: dict[str, int] = dict.fromkeys(("ok", "warning", "exceeded", "catching_up"), 0)
        for state in self.mirror.states:
            found[state] += 1
        values = [({"state": state}, number) for state, number in found.items()]
        share = None if self._coverage is None else self._coverage().share
        if share is not None:
            text = "Part of the 80 % intervals of forecasts that held, of past forecasts made again."
            yield Metric("spanledger_forecast_coverage_ratio", "gauge", text, [({}, share)])
        yield Metric("spanledger_budgets", "gauge", "Budgets, and tenants of those for each tenant, by state.", values)


def budget_jobs(area: BudgetArea) -> list[Job]:
    """Return what has to be done all the time: follow the calls, forecast, show, and make old cells longer."""
    return [
        Job("budget-ledger", _TICK_SECONDS, area.ledger.step),
        Job("budget-forecasts", _FORECAST_SECONDS, area.outlook.step),
        Job("budget-mirror", _TICK_SECONDS, area.mirror.step),
        Job("budget-cells", _MERGE_SECONDS, area.ledger.merge),
    ]


def _kept_since(policy: Policy) -> Callable[[str, int], int]:
    def kept_since(owner: str, now_ns: int) -> int:
        days = policy.days("calls_days", owner)
        return now_ns - days * _DAY_NS + _MARGIN_NS if days else 0

    return kept_since
