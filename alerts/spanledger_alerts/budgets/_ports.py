"""What budgets ask of others: the stored calls, a forecaster, and somebody to tell."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

import pyarrow as pa

from spanledger_alerts.budgets._calendar import Period
from spanledger_alerts.records import Finding
from spanledger_analytics import schema
from spanledger_analytics.ports import ChangeFeed

Tell: TypeAlias = Callable[[Sequence[Finding]], None]
"""Takes findings inside the transaction in which they are recorded."""

_TYPES: Final[dict[str, pa.DataType]] = {
    "owner": schema.TEXT,
    "start_ns": schema.COUNT,
    "tenant": schema.TEXT,
    "model": schema.TEXT,
    "provider": schema.TEXT,
    "use_case": schema.TEXT,
    "service": schema.TEXT,
    "environment": schema.TEXT,
    "cost_usd": pa.decimal128(38, 9),
    "calls": schema.COUNT,
    "unpriced": schema.COUNT,
}
SPEND: Final = pa.schema(_TYPES)
"""What billable calls cost, summed by owner, stretch of time and dimensions."""


class SpendStore(ChangeFeed, Protocol):
    """A store that can sum up what calls cost (``SPEND``)."""

    def spend_of(self, minutes: pa.Table) -> pa.Table:
        """Return the sums of these minutes (``owner``, ``minute_ns``)."""
        ...

    def spend_between(self, from_ns: int, to_ns: int, grain_ns: int) -> pa.Table:
        """Return the sums of the stretches of ``grain_ns`` that start between two times."""
        ...


class Forecast(Protocol):
    """What a period will have cost at its end, in nano-USD, with an 80 % interval."""

    @property
    def total(self) -> int:
        """The middle."""
        ...

    @property
    def low(self) -> int:
        """The lower end."""
        ...

    @property
    def high(self) -> int:
        """The upper end."""
        ...

    def p_exceed(self, amount: int) -> float:
        """Return the probability that it will be more than an amount."""
        ...


class Forecaster(Protocol):
    """Says how a period will end."""

    def __call__(self, history: Sequence[tuple[int, int]], period: Period, now_ns: int) -> Forecast | None:
        """Return the forecast, ``None`` while there is too little to go by.

        ``history`` is start (ns) and nano-USD of the hours in which something was spent, in order, this period's
        included.
        """
        ...


def no_forecast(history: Sequence[tuple[int, int]], period: Period, now_ns: int) -> None:
    """Say nothing."""
    del history, period, now_ns
