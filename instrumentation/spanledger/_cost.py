"""The bridge from facts of a span to the price table; the table itself belongs to :mod:`spanledger.pricing`."""

from spanledger._facts import Facts
from spanledger.pricing import PriceTable, TokenUsage, cost_attribute


class LocalPrices:
    """Prices calls with the table in the wheel, which is read at the first priced call."""

    def __call__(self, facts: Facts, at: int) -> float | None:
        """USD of a call that began ``at`` ns since the epoch, or ``None`` if its model or price is unknown."""
        priced = PriceTable.load().price(
            provider=facts.provider,
            request_model=facts.request_model,
            response_model=facts.response_model,
            usage=TokenUsage(**facts.tokens),
            at_ns=at,
            service_tier=facts.service_tier,
        )
        return None if priced.amount is None else cost_attribute(priced.amount)
