"""Money as integer nano-USD: a sum of integers has no rounding and no order."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, NamedTuple

NANO: Final = 10**9
_EXACT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)


def nano_of(amount: Decimal) -> int:
    """Return an amount in units of 10^-9; what is smaller is rounded half to even."""
    return int(_EXACT.scaleb(amount, 9).to_integral_value(context=_EXACT))


def amount_of(nano: int) -> Decimal:
    """Return an amount with nine places."""
    return Decimal(f"{nano}e-9")


def converted(nano: int, rate: Decimal) -> int:
    """Return an amount in another currency at a rate, in units of 10^-9."""
    return int(_EXACT.multiply(Decimal(nano), rate).to_integral_value(context=_EXACT))


def reaches(spent: int, limit: int, threshold: int) -> bool:
    """Tell whether ``spent`` is at least ``threshold`` thousandths of a percent of ``limit``."""
    return spent * 100_000 >= limit * threshold


class Spend(NamedTuple):
    """What a stretch of time cost: nano-USD, billable calls, and those of them whose price is unknown."""

    nano: int = 0
    calls: int = 0
    unpriced: int = 0

    def plus(self, other: "Spend") -> "Spend":
        """Return both together."""
        return Spend(self.nano + other.nano, self.calls + other.calls, self.unpriced + other.unpriced)

    def minus(self, other: "Spend") -> "Spend":
        """Return what is left."""
        return Spend(self.nano - other.nano, self.calls - other.calls, self.unpriced - other.unpriced)

    @property
    def columns(self) -> tuple[int, int, int, int]:
        """Whole dollars, nano-dollars, calls, unpriced calls: as they are kept, so that no sum leaves 64 bits."""
        usd, nano = divmod(self.nano, NANO)
        return usd, nano, self.calls, self.unpriced


def spend_of(usd: int | None, nano: int | None, calls: int | None, unpriced: int | None) -> Spend:
    """Return what :attr:`Spend.columns`, or sums of them, say."""
    return Spend((usd or 0) * NANO + (nano or 0), calls or 0, unpriced or 0)


def total(spends: Iterable[Spend]) -> Spend:
    """Return the sum."""
    found = Spend()
    for spend in spends:
        found = found.plus(spend)
    return found
