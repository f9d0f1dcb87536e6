"""How the periods of budgets will end, and what is told when one will probably be too small."""

import time
from collections.abc import Callable
from typing import Final

from spanledger_alerts.budgets._book import Book, read_book
from spanledger_alerts.budgets._calendar import DAY_NS, HOUR_NS, MINUTE_NS
from spanledger_alerts.budgets._definition import Budget
from spanledger_alerts.budgets._findings import threshold_finding
from spanledger_alerts.budgets._judge import record
from spanledger_alerts.budgets._money import reaches
from spanledger_alerts.budgets._ports import Forecast, Forecaster, Tell, no_forecast
from spanledger_alerts.budgets._tables import PeriodRow, Tables
from spanledger_alerts.database import Database
from spanledger_alerts.records import Finding

FIRES_AT: Final = 0.8
ARMED_BELOW: Final = 0.75
_AT_MOST_EVERY_NS: Final = DAY_NS
_HISTORY_NS: Final = 120 * DAY_NS
_AT_ONCE: Final = 20


class Outlook:
    """Forecasts budgets a few at a time: all of them once in ``every_ns``, and when one is new, changed or filled.

    Args:
        database: where the ledger is.
        tell: takes what there is to say, inside the transaction.
        forecaster: says how a period will end.
        clock: nanoseconds since the epoch.
        every_ns: how old a forecast may become.
    """

    def __init__(
        self,
        database: Database,
        tell: Tell,
        *,
        forecaster: Forecaster = no_forecast,
        clock: Callable[[], int] = time.time_ns,
        every_ns: int = 10 * MINUTE_NS,
    ) -> None:
        self._tables = Tables(database)
        self._tell = tell
        self._forecaster = forecaster
        self._clock = clock
        self._every_ns = every_ns
        self._waiting: list[int] = []
        self._began = -1
        self._version = -1

    def step(self) -> bool:
        """Forecast some budgets; tell whether there are more."""
        now = self._clock()
        if not self._waiting and not self._is_due(now):
            return False
        book = read_book(self._tables)
        if not self._waiting:
            self._began, self._version = now, book.version
            self._waiting = [number for number, (key, _) in book.owners.items() if book.entries[key].filled]
        batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        for instance in batch:
            if instance in book.owners:
                self._forecast(book, instance, now)
        return bool(self._waiting)

    def _is_due(self, now: int) -> bool:
        fresh = self._began >= 0 and now - self._began < self._every_ns
        return not fresh or self._tables.ledger().version != self._version

    def _forecast(self, book: Book, instance: int, now: int) -> None:
        budget, tenant = book.budget_of(instance), book.owners[instance][1]
        if budget.cycle.unit in ("rolling", "total"):
            return
        period = budget.cycle.at(now)
        history = self._tables.hours(instance, period.start_ns - _HISTORY_NS, now, HOUR_NS)
        forecast = self._forecaster(history, period, now)
        with self._tables.transaction():
            if self._tables.ledger().version != book.version:
                return  # somebody changed a budget: the next pass will see
            row = self._tables.period(instance, period.start_ns)
            values = None if forecast is None else (forecast.total, forecast.low, forecast.high)
            self._tables.put_forecast(instance, period.start_ns, now, values)
            findings = [] if row is None or forecast is None else self._judge(budget, tenant, row, forecast, now)
            if findings:
                self._tell(findings)

    def _judge(self, budget: Budget, tenant: str, row: PeriodRow, forecast: Forecast, now: int) -> list[Finding]:
        latched = self._tables.latched(row.instance, row.start_ns)
        crossed = []
        for threshold in budget.forecast:
            probability = forecast.p_exceed(row.limit * threshold // 100_000)
            if ("forecast", threshold) in latched:
                if probability < ARMED_BELOW:
                    self._tables.rearm(row.instance, row.start_ns, "forecast", threshold, now)
            elif probability >= FIRES_AT and not reaches(row.spend.nano, row.limit, threshold):
                latest = self._tables.latest(row.instance, row.start_ns, "forecast", threshold)
                if latest is None or now - latest[1] >= _AT_MOST_EVERY_NS:
                    crossed.append(threshold)
        if not crossed:
            return []
        record(self._tables, budget, tenant, row, "forecast", crossed, now)
        return [threshold_finding(budget, tenant, row, "forecast", crossed, now)]
