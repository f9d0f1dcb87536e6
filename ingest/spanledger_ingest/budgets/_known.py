"""The names that calls have or may have."""

from collections.abc import Callable, Iterable
from typing import Protocol

from spanledger_alerts.budgets import KnownNames
from spanledger_ingest.price_book import PriceBook


class SeenNames(Protocol):
    """A store that knows the names of its calls."""

    def seen_names(self, owner: str | None) -> dict[str, set[str]]:
        """Return names by dimension, of an owner's calls or of all."""
        ...

    def seen_pairs(self) -> set[tuple[str, str]]:
        """Return models and providers that were seen together."""
        ...


class Known:
    """Looks names up when a budget is made.

    Args:
        store: the calls.
        prices: models and providers.
        tenants: those that keys or settings name.
    """

    def __init__(self, store: SeenNames, prices: PriceBook, tenants: Callable[[], Iterable[str]]) -> None:
        self._store = store
        self._prices = prices
        self._tenants = tenants

    def names(self, owner: str = "") -> KnownNames:
        """Return what an owner may know, ``""`` all."""
        pairs = self._store.seen_pairs()
        known = {
            "model": self._prices.models(),
            "provider": self._prices.providers(),
            "tenant": {owner} if owner else set(self._tenants()),
        }
        return KnownNames(
            seen=self._store.seen_names(owner or None),
            known=known,
            knows_model=self._prices.knows_model,
            contradicts=lambda model, provider: (
                (model, provider) not in pairs and self._prices.contradicts(model, provider)
            ),
        )
