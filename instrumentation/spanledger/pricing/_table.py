"""The price table: which entry a call is priced by, and what it comes to."""

import json
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, NamedTuple

from spanledger.pricing._match import Matcher, matcher
from spanledger.pricing._models import STANDARD, Model
from spanledger.pricing._names import (
    Name,
    fine_tuned_base,
    is_bedrock,
    is_snapshot,
    provider_id,
    read_name,
    squash,
    variants,
)
from spanledger.pricing._rates import Priced, Rates, Unpriceable
from spanledger.pricing._usage import TokenUsage

_RESOLUTIONS = 4096
"""How many (provider, request model, response model) are remembered."""

_STANDARD_TIERS = frozenset({"", "default", "auto", "standard", "standard_only", "on_demand", "unspecified"})
"""Service tiers billed at the list price; `auto` is what an API does when told nothing."""

_TIER_SPELLINGS = {"on_demand_priority": "priority", "on_demand_flex": "flex"}


class ModelRef(NamedTuple):
    """The entry that prices a call. ``seller`` may sell a model at the list price of ``provider``, its maker."""

    seller: str
    model: Model

    def __str__(self) -> str:
        return f"{self.provider}/{self.id}"

    @property
    def provider(self) -> str:
        """The provider whose entry it is."""
        return self.model.provider

    @property
    def id(self) -> str:
        """The id of the entry in its provider's list."""
        return self.model.id

    def rates_at(self, context: str, at_ns: int) -> Rates | None:
        """Return the rates; the maker's batch and tier prices say nothing about another seller's."""
        if context != STANDARD and self.seller != self.provider:
            return None
        return self.model.rates_at(context, at_ns)


class Override(NamedTuple):
    """An entry that wins over the table, for one seller or (``None``) any."""

    seller: str | None
    model: Model

    def covers(self, seller: str, names: Iterable[str]) -> bool:
        """Tell whether the entry is meant for a call of any of these names."""
        return self.seller in {None, seller} and any(map(self.model.matches, names))


class _Resolution(NamedTuple):
    overrides: tuple[Model, ...]
    ref: ModelRef | None
    detail: str

    def rates_at(self, context: str, at_ns: int) -> Rates:
        """Return the rates of the first entry that has any then. Raises ``Unpriceable`` if none has."""
        for entry in (*self.overrides, self.ref):
            if entry and (rates := entry.rates_at(context, at_ns)):
                if rates.prices:
                    return rates
                raise Unpriceable("unpriced_model", f"{rates.price_id} is listed without any price")
        if self.ref is None:
            raise Unpriceable("unpriced_model", self.detail)
        raise Unpriceable("unpriced_context", f"{self.ref} has no known {context} price at that time")


class _Provider:
    """A seller: its entries in the order in which they are tried."""

    def __init__(self, name: str, source: str, raw: Mapping[str, Any]) -> None:
        self.id = name
        self.claims: Matcher | None = matcher(raw["claims"]) if "claims" in raw else None
        self.fallbacks: tuple[str, ...] = tuple(raw.get("fallbacks", ()))
        self._source = source
        self._raw = raw["models"]
        self._models: tuple[Model, ...] | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        if self._models is None:
            self._models = tuple(Model(self.id, self._source, raw) for raw in self._raw)
        return self._models

    def find(self, name: str) -> Model | None:
        return next((model for model in self.models if model.matches(name)), None)


class PriceTable:
    """Prices by provider and model. What it does not know for certain has a reason instead of a number."""

    def __init__(self, raw: Mapping[str, Any], overrides: Iterable[Override] = ()) -> None:
        self.version: str = raw["version"]
        """The version of the price list: the package and release it was made from."""
        self._raw = raw
        self._providers = {name: _Provider(name, self.version, provider) for name, provider in raw["providers"].items()}
        self._known = {squash(name): name for name in self._providers}
        self.overrides = tuple(overrides)
        self._resolve_call = lru_cache(_RESOLUTIONS)(self._find_call)

    @classmethod
    def load(cls) -> "PriceTable":
        """Return the table that comes with the package, read once per process on first use."""
        return _load()

    def with_overrides(self, overrides: Iterable[Override]) -> "PriceTable":
        """Return a table where these entries win."""
        return PriceTable(self._raw, overrides)

    def models(self) -> Iterator[Model]:
        """Yield every entry: overrides, then the list by provider."""
        yield from (override.model for override in self.overrides)
        for provider in self._providers.values():
            yield from provider.models

    def seller(self, provider: str | None) -> str:
        """Return the id of a provider in any spelling; a squashed spelling for one that has no prices here."""
        return provider_id(provider, self._known) or squash(provider or "")

    def resolve(self, provider: str | None, model: str) -> ModelRef | None:
        """Return the entry for a model of a provider, ``None`` if it is unknown or ambiguous."""
        return self._resolve_call(provider, None, model).ref

    def price(
        self,
        *,
        provider: str | None,
        request_model: str | None,
        response_model: str | None,
        usage: TokenUsage,
        at_ns: int,
        service_tier: str | None = None,
        batch: bool = False,
        operation: str | None = None,
    ) -> Priced:
        """Price a call at the prices of its time, in USD.

        Args:
            provider: who sold it, in any known spelling; ``None`` or a framework's name leaves it to the model's name.
            request_model: the model asked for. Priced on Bedrock, where it carries the region, and where the response
                only adds a date to it; never on Azure, where it is a deployment's name.
            response_model: the model that answered.
            usage: tokens by class.
            at_ns: when the call started, ns since the epoch.
            service_tier: the tier that the provider says it used.
            batch: whether it went through a batch API.
            operation: the OTel operation; ``embeddings`` have no output, whether the call says so or not.
        """
        resolution = self._resolve_call(provider, request_model, response_model)
        context = _context(resolution.ref, service_tier, batch=batch)
        if operation == "embeddings" and usage.output is None:
            usage = replace(usage, output=0)
        try:
            return resolution.rates_at(context, at_ns).price(usage)
        except Unpriceable as why:
            return why.answer()

    def rates(self, provider: str | None, model: str, at_ns: int, service_tier: str | None = None) -> Rates | None:
        """Return the rates of a model as it is asked for, ``None`` where they are not known for certain."""
        resolution = self._resolve_call(provider, model, None)
        try:
            return resolution.rates_at(_context(resolution.ref, service_tier, batch=False), at_ns)
        except Unpriceable:
            return None

    def _find_call(self, provider: str | None, request: str | None, response: str | None) -> _Resolution:
        names = {text: read_name(text, self._known) for text in (response, request) if text}
        seller = self._seller(provider, names, request or response or "")
        ref = self._find_ref(seller, names, request or None, response or None) if seller else None
        spellings = [spelling for name in names.values() for spelling in name.spellings]
        covered = seller or squash(provider or "")
        overrides = tuple(
            override.model
            for override in self.overrides
            if override.covers(covered, [*spellings, *([ref.id.lower()] if ref else [])])
        )
        detail = "" if ref else f"no price for {' or '.join(names) or 'a call without model'} of {seller or provider}"
        return _Resolution(overrides, ref, detail)

    def _seller(self, provider: str | None, names: Mapping[str, Name], asked: str) -> str | None:
        """Return who sold the call, ``None`` if that is not certain."""
        given = provider_id(provider, self._known)
        if given == "":
            return None
        if is_bedrock(asked.strip().lower()):
            return "aws"
        if given is not None:
            return given
        hinted = [
            name.provider for text, name in sorted(names.items(), key=lambda item: item[0] != asked) if name.provider
        ]
        return hinted[0] if hinted else self._claimed(names)

    def _claimed(self, names: Mapping[str, Name]) -> str | None:
        """Return the only provider that claims one of the names as its own, ``None`` if nobody or several do."""
        for name in names:
            plain = name.strip().lower().removeprefix("ft:").partition(":")[0]
            if "/" in plain or (":" in name and not name.lower().startswith("ft:")):
                continue  # a hub's or a local server's name for anybody's weights
            claims = [
                provider.id for provider in self._providers.values() if provider.claims and provider.claims(plain)
            ]
            if len(claims) == 1:
                return claims[0]
        return None

    def _find_ref(
        self, seller: str, names: Mapping[str, Name], request: str | None, response: str | None
    ) -> ModelRef | None:
        for text in _priced_names(seller, request, response):
            name = names[text]
            spellings = name.spellings if name.provider == seller else name.spellings[:1]
            for spelling in spellings:
                if model := self._find_model(self._providers[seller], spelling):
                    return ModelRef(seller, model)
        return None

    def _find_model(self, provider: _Provider, spelling: str) -> Model | None:
        for text in variants(spelling):
            for seller in (provider, *(self._providers[name] for name in provider.fallbacks)):
                if model := seller.find(text):
                    return model
        base = fine_tuned_base(spelling)
        return next((model for model in provider.models if base and model.id == base), None)


def cost_attribute(amount: Decimal) -> float:
    """Return an amount as the double of a span attribute; it gives the nine places back for amounts under a million."""
    return float(amount)


def _priced_names(seller: str, request: str | None, response: str | None) -> Iterator[str]:
    """Yield the names that may price a call, the surest first."""
    asked_first = seller == "aws" or (seller == "openrouter" and ":" in (request or ""))
    if asked_first and request:
        yield request
        if response and (seller != "aws" or is_bedrock(response.lower())):
            yield response
        return
    if response:
        yield response
    if request and seller != "azure" and (response is None or is_snapshot(response, request)):
        yield request


def _context(ref: ModelRef | None, service_tier: str | None, *, batch: bool) -> str:
    tier = (service_tier or "").strip().lower().removeprefix("service_tier_")
    tier = _TIER_SPELLINGS.get(tier, tier)
    is_listed = tier in _STANDARD_TIERS or (tier == "flex" and ref is not None and ref.seller == "groq")
    if batch or tier == "batch":
        return "batch" if is_listed or tier == "batch" else f"batch {tier}"
    return STANDARD if is_listed else tier


@cache
def _load() -> PriceTable:
    text = pkgutil.get_data("spanledger.pricing", "prices.json")
    if text is None:
        raise FileNotFoundError("spanledger.pricing/prices.json")
    return PriceTable(json.loads(text, parse_float=Decimal))
