"""Pricing of calls in the service."""

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import pyarrow as pa

from spanledger.pricing import Priced, PriceTable, Rates, TokenUsage
from spanledger_analytics.records import Call, CallFacts, CostStatus
from spanledger_ingest.price_book._overrides import read_overrides
from spanledger_ingest.price_book._rows import priced_from_rows, rows_of


class PriceBook:
    """Prices calls at the prices of their time. Immutable, and safe to use from any thread."""

    def __init__(self, table: PriceTable) -> None:
        self._table = table

    @classmethod
    def build(cls, overrides: Sequence[Mapping[str, Any]] = ()) -> "PriceBook":
        """Return the book of the installed price list.

        Args:
            overrides: the ``[[prices.override]]`` tables of the configuration; they win over the list.

        Raises:
            OverrideError: a table that cannot be meant.
        """
        table = PriceTable.load()
        return cls(table.with_overrides(read_overrides(overrides, table)) if overrides else table)

    @property
    def version(self) -> str:
        """The price list and its release."""
        return self._table.version

    def price(self, call: Call) -> Call:
        """Return the call with its cost, or with the status that says why it has none.

        Estimated usage is priced like any other; the row says so in ``usage_source``.
        """
        if not call.billable:
            return _with_cost(call, None, "not_billable", None)
        priced = self._price(call.facts)
        return _with_cost(call, priced.amount, _status(priced), priced.price_id)

    def amount(self, provider: str, model: str, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return what tokens cost at today's standard prices; ``None`` if there is no price."""
        usage = TokenUsage(input=input_tokens, output=output_tokens)
        now = time.time_ns()
        return self._table.price(
            provider=provider, request_model=model, response_model=None, usage=usage, at_ns=now
        ).amount

    def explain(self, call: Call, stored: pa.Table | None = None) -> Priced:
        """Return the price of a call line by line, or the reason why it has none.

        Args:
            call: a stored call, of whichever billing status.
            stored: rows of the ``prices`` table. They explain a call that was priced by an earlier list.
        """
        priced = self._price(call.facts)
        if stored is None or call.price_id is None or call.price_id == priced.price_id:
            return priced
        return priced_from_rows(stored, call.price_id, _usage(call.facts)) or priced

    def rates(self, provider: str | None, model: str, at_ns: int, service_tier: str | None = None) -> Rates | None:
        """Return the rates of a model as it is asked for, ``None`` where they are not known for certain."""
        return self._table.rates(provider, model, at_ns, service_tier)

    def cost(
        self, provider: str | None, model: str, usage: TokenUsage, at_ns: int, service_tier: str | None = None
    ) -> Decimal | None:
        """Return what usage of a model costs, ``None`` where that is not known."""
        return self._table.price(
            provider=provider,
            request_model=model,
            response_model=None,
            usage=usage,
            at_ns=at_ns,
            service_tier=service_tier,
        ).amount

    def models(self) -> set[str]:
        """Return the ids of all models that have a price."""
        return {model.id for model in self._table.models()}

    def providers(self) -> set[str]:
        """Return the ids of all providers of whose models there are prices."""
        return {model.provider for model in self._table.models()}

    def knows_model(self, model: str) -> bool:
        """Tell whether some provider has a price for a model, in any spelling."""
        return any(self._table.resolve(provider, model) is not None for provider in self.providers())

    def contradicts(self, model: str, provider: str) -> bool:
        """Tell whether a model is known of other providers, and not of this one, of which others are known."""
        if self._table.seller(provider) not in self.providers():
            return False
        return self._table.resolve(provider, model) is None and self.knows_model(model)

    def rows(self) -> pa.Table:
        """Return every price of the book, see ``SCHEMA``. Add those whose ``price_id`` the store does not have yet."""
        return rows_of(self._table)

    def _price(self, facts: CallFacts) -> Priced:
        usage = _usage(facts)
        if not usage.input and not usage.output:  # no model answers without reading: some SDKs write 0 for unknown
            return Priced(None, "no_usage", "the call does not say how many tokens it used")
        return self._table.price(
            provider=facts.provider,
            request_model=facts.request_model,
            response_model=facts.response_model,
            usage=usage,
            at_ns=facts.start_ns,
            service_tier=facts.service_tier,
            batch=facts.batch,
            operation=facts.operation,
        )


def _with_cost(call: Call, cost_usd: Decimal | None, status: CostStatus, price_id: str | None) -> Call:
    return Call(
        facts=call.facts,
        own=call.own,
        billable=call.billable,
        billing_reason=call.billing_reason,
        cost_usd=cost_usd,
        cost_status=status,
        price_id=price_id,
    )


def _usage(facts: CallFacts) -> TokenUsage:
    return cast("TokenUsage", facts.usage)  # two classes with the same fields: the calculator imports nothing of ours


def _status(priced: Priced) -> CostStatus:
    """Return the status of a row. Whatever was used and has no certain price counts as unpriced, and shows as such."""
    if priced.amount is not None:
        return "priced"
    return "no_usage" if priced.reason == "no_usage" else "unpriced_model"
