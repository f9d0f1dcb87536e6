"""The bridge from facts of a span to the price table; the table itself belongs to :mod:`spanledger.pricing`."""

from typing import Any

from spanledger._facts import Facts


class LocalPrices:
    """Prices calls with the table in the wheel, which is read at the first priced call."""

    def __init__(self) -> None:
        self._table: Any = None

    def __call__(self, facts: Facts, at: int) -> float | None:
        """USD of a call that began ``at`` ns since the epoch, or ``None`` if its model or price is unknown."""
        return None
