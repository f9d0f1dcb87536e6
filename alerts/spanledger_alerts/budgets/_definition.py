"""What a budget is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from spanledger_alerts.budgets._calendar import MINUTE_NS, Cycle
from spanledger_alerts.budgets._money import converted
from spanledger_alerts.records import Severity

Mode: TypeAlias = Literal["notify", "soft", "hard"]
Estimate: TypeAlias = Literal["worst", "p95"]
Source: TypeAlias = Literal["config", "rest"]

DIMENSIONS: Final = ("tenant", "model", "provider", "use_case", "service", "environment")
"""What a budget can be narrowed by."""

DEFAULT_THRESHOLDS: Final = (50_000, 80_000, 100_000)
DEFAULT_FORECAST: Final = (100_000,)
_MONTH_NS: Final = 30 * 24 * 60 * MINUTE_NS
_SHORTEST_LONG_NS: Final = 5 * MINUTE_NS


@dataclass(frozen=True, slots=True)
class BurnPair:
    """Spending ``factor`` times as fast as the budget allows, over a long and, still, over a short window."""

    factor: Decimal
    long_ns: int
    short_ns: int
    severity: Severity = "critical"

    def scaled(self, length_ns: int) -> "BurnPair":
        """Return the pair that uses up the same share of a period of another length; windows are whole minutes."""
        long_ns = max(_scale(self.long_ns, length_ns), _SHORTEST_LONG_NS)
        return BurnPair(self.factor, long_ns, max(_scale(self.short_ns, length_ns), MINUTE_NS), self.severity)

    @property
    def name(self) -> str:
        """Such as ``14.4x over 60m and 5m``."""
        long_minutes, short_minutes = self.long_ns // MINUTE_NS, self.short_ns // MINUTE_NS
        return f"{self.factor}x over {long_minutes}m and {short_minutes}m"


def _scale(window_ns: int, length_ns: int) -> int:
    return window_ns * length_ns // _MONTH_NS // MINUTE_NS * MINUTE_NS


MONTHLY_BURN: Final = (
    BurnPair(Decimal("14.4"), 60 * MINUTE_NS, 5 * MINUTE_NS, "critical"),
    BurnPair(Decimal(6), 360 * MINUTE_NS, 30 * MINUTE_NS, "critical"),
    BurnPair(Decimal("1.5"), 3 * 1440 * MINUTE_NS, 360 * MINUTE_NS, "warning"),
)
"""Of the SRE workbook, for a month: 2 % of it in an hour, 5 % in six, 15 % in three days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent, on what, in which time. Amounts are integers, 10^-9 of the currency."""

    name: str
    owner: str = ""
    """The tenant of the credential that made it, whose calls alone it sees; ``""`` sees all."""
    scope: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Dimension -> values, any of which will do."""
    each_tenant: bool = False
    """A budget for each tenant that has calls."""
    amount: int
    overrides: Mapping[str, int] = field(default_factory=dict)
    """Tenant -> amount, of a budget for each tenant."""
    currency: str = "USD"
    rates: tuple[tuple[str, Decimal], ...] = (("", Decimal(1)),)
    """From which day on a unit is how many USD, ascending."""
    cycle: Cycle
    thresholds: tuple[int, ...] = DEFAULT_THRESHOLDS
    """Thousandths of a percent of the amount, ascending."""
    forecast: tuple[int, ...] = DEFAULT_FORECAST
    """The same, of what will probably have been spent at the end."""
    burn: tuple[BurnPair, ...] = ()
    burn_floor: int = 10**9
    """Nano-USD in the long window below which no burn rate counts."""
    unpriced: int = 1
    """So many calls without a price in a period are told; 0 is never."""
    mode: Mode = "notify"
    estimate: Estimate = "worst"
    """What admission holds for a call of a ``hard`` budget: all that it can cost, or what 95 % of its kind cost."""
    allow_unseen: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)
    """As it was written."""

    @property
    def key(self) -> tuple[str, str]:
        """Owner and name: its identity."""
        return self.owner, self.name

    @property
    def structure(self) -> str:
        """What the ledger of a budget rests on: while it stays the same, what was counted stays right."""
        scope = sorted((name, sorted(values)) for name, values in self.scope.items())
        return repr((self.owner, scope, self.each_tenant, self.cycle, self.currency))

    def amount_for(self, tenant: str) -> int:
        """Return what a tenant may spend."""
        return self.overrides.get(tenant, self.amount)

    def rate_at(self, moment_ns: int) -> Decimal:
        """Return what a unit of the currency is worth on a day of the budget's zone, in USD."""
        day = (
            datetime.fromtimestamp(min(moment_ns, _LAST_NS) // 10**9, UTC).astimezone(ZoneInfo(self.cycle.zone)).date()
        )
        known = [rate for since, rate in self.rates if since <= str(day)]
        return known[-1] if known else self.rates[0][1]

    def limit(self, tenant: str, rate: Decimal) -> int:
        """Return what a tenant may spend, in nano-USD."""
        return converted(self.amount_for(tenant), rate)

    def burn_pairs(self) -> tuple[BurnPair, ...]:
        """Return the pairs that apply to a period of this length."""
        return () if self.cycle.length_ns is None else self.burn


_LAST_NS: Final = 4_102_444_800 * 10**9
