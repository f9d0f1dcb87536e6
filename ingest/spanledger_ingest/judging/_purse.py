"""A daily budget that holds whoever spends from it: the most that a call can cost is taken before the call is made."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Final

from spanledger_alerts.database import Database
from spanledger_analytics.quality import judge_tables

_NANO: Final = Decimal(10**9)
_KEPT_DAYS: Final = 400


@dataclass(frozen=True, slots=True)
class Hold:
    """What was taken for one call."""

    day: str
    nano: int


class Purse:
    """So many dollars for each day (UTC).

    A hold that is never settled, because the process died, counts as spent.

    Args:
        database: where it is kept what was spent.
        usd_per_day: the budget.
        wall: nanoseconds since the epoch.
    """

    def __init__(self, database: Database, usd_per_day: Decimal, wall: Callable[[], int]) -> None:
        self._database = database
        self._limit = int(usd_per_day * _NANO)
        self._wall = wall

    def hold(self, usd: Decimal) -> Hold | None:
        """Take the most that a call can cost; ``None`` if the day's budget does not have it."""
        nano = _nano(usd)
        now = self._now()
        day = now.date().isoformat()
        with self._database.transaction():
            if self._spent(day) + nano > self._limit:
                return None
            self._database.execute(judge_tables.ADD, (day, nano, 1))
            self._database.execute(judge_tables.FORGET, ((now - timedelta(days=_KEPT_DAYS)).date().isoformat(),))
        return Hold(day, nano)

    def settle(self, hold: Hold, usd: Decimal) -> None:
        """Count what the call did cost instead of what it could have cost."""
        with self._database.transaction():
            self._database.execute(judge_tables.ADD, (hold.day, _nano(usd) - hold.nano, 0))

    def spent(self) -> Decimal:
        """Return what was spent or is held today."""
        return Decimal(self._spent(self._now().date().isoformat())) / _NANO

    def _spent(self, day: str) -> int:
        rows = self._database.execute(judge_tables.SPENT, (day,))
        return int(rows[0][0]) if rows else 0

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall() // 10**9, UTC)


def _nano(usd: Decimal) -> int:
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))
