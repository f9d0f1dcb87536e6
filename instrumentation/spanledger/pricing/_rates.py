"""From usage and unit prices to money: exact, every token billed once, rounded once."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from hashlib import blake2s
from typing import Literal, NamedTuple

from spanledger.pricing._units import UNITS, Unit
from spanledger.pricing._usage import TokenUsage, contradiction

Reason = Literal[
    "unpriced_model",
    "unpriced_context",
    "unpriced_unit",
    "no_usage",
    "inconsistent_usage",
    "ambiguous_usage",
]
"""Why there is no amount: no price for the model, none for its batch or service tier, none for a class of token that it
used; or the usage is missing a total, contradicts itself, or lacks a split that decides the price."""

# Our own context: the application may have set any precision or trap on its own.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_NANO = Decimal("1e-9")
_ZERO = Decimal(0)


class PriceLine(NamedTuple):
    """The share of one token class in an amount, not rounded. Classes are disjoint: ``input`` is what remains of it."""

    token_class: str
    tokens: int
    usd_per_million: Decimal
    amount: Decimal


class Priced(NamedTuple):
    """What a call costs in USD, rounded half-even to nine places, or why that is unknown."""

    amount: Decimal | None
    reason: Reason | None = None
    detail: str = ""
    price_id: str | None = None
    source: str | None = None
    lines: tuple[PriceLine, ...] = ()


class Rate(NamedTuple):
    """USD per million units, and what replaces it once the whole input is longer than a tier's start."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """Return the rate for an input of this length; the tier applies to every token of the call."""
        rate = self.base
        for start, price in self.tiers:
            if input_tokens > start:
                rate = price
        return rate


class Unpriceable(Exception):  # noqa: N818 - not an error: an answer with a reason
    """Raised inside the calculator, returned as ``Priced`` by the table."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail

    def answer(self) -> Priced:
        """Return the price that is none."""
        return Priced(None, self.reason, self.detail)


class Rates:
    """The unit prices of one model at one time in one context, ready to bill.

    A token belongs to the most specific priced unit it fits, as in genai-prices: where a model has no price for cache
    reads they are billed as plain input, and where reasoning has no price of its own it is billed as output.
    """

    __slots__ = ("_bill", "_parts", "price_id", "prices", "source")

    def __init__(self, name: str, source: str, prices: Mapping[str, Rate]) -> None:
        self.prices = dict(prices)
        self.source = source
        self.price_id = f"{name}#{_digest(self.prices)}"
        units = sorted((UNITS[code] for code in prices), key=lambda unit: -len(unit.traits))
        self._parts = tuple((unit, tuple(part.code for part in units if unit.traits < part.traits)) for unit in units)
        self._bill = tuple((code, unit.token_class, prices[code]) for code, unit in UNITS.items() if code in prices)

    def price(self, usage: TokenUsage) -> Priced:
        """Bill the usage. Raises ``Unpriceable`` if it cannot be done with certainty."""
        self._check(usage)
        counts = self._split(usage)
        input_tokens = usage.input or 0
        lines: list[PriceLine] = []
        total = _ZERO
        for code, token_class, rate in self._bill:
            if tokens := counts[code]:
                per_million = rate.at(input_tokens) if rate.tiers else rate.base
                amount = _EXACT.scaleb(_EXACT.multiply(per_million, tokens), -6)
                total = _EXACT.add(total, amount)
                lines.append(PriceLine(token_class, tokens, per_million, amount))
        return Priced(_EXACT.quantize(total, _NANO), None, "", self.price_id, self.source, tuple(lines))

    def bill(self, usage: TokenUsage) -> Priced:
        """Bill the usage, or say why not."""
        try:
            return self.price(usage)
        except Unpriceable as why:
            return why.answer()

    def _split(self, usage: TokenUsage) -> dict[str, int]:
        """Count each unit without its parts, so that no token counts twice. Parts come before their totals."""
        counts: dict[str, int] = {}
        for unit, parts in self._parts:
            tokens = self._count(unit, usage)
            for part in parts:
                tokens -= counts[part]
            if tokens < 0:
                raise Unpriceable("inconsistent_usage", f"the parts of {unit.token_class} add up to more than it")
            counts[unit.code] = tokens
        return counts

    def _check(self, usage: TokenUsage) -> None:
        if problem := contradiction(usage):
            raise Unpriceable("inconsistent_usage", problem)
        for code, total, count in (("i", "input", usage.input), ("o", "output", usage.output)):
            is_priced = code in self.prices
            if is_priced and count is None:
                raise Unpriceable("no_usage", f"the model bills {total} tokens and the call does not say how many")
            if count and not is_priced:
                raise Unpriceable("unpriced_unit", f"{self.price_id} has no price for {total} tokens")

    def _count(self, unit: Unit, usage: TokenUsage) -> int:
        count: int | None = 1 if unit.code == "q" else getattr(usage, unit.token_class, None)
        if count is not None:
            return count
        if unit.is_output:
            return self._count_output_part(unit, usage)
        if len(unit.traits) > 2 and "read" in unit.traits:
            return _count_cached(unit, usage)
        return 0

    def _count_output_part(self, unit: Unit, usage: TokenUsage) -> int:
        """Return 0 for a part nobody counted, if that cannot change the amount.

        Models that price a part of their output apart (audio, images) mostly produce that part.
        """
        if usage.output and self.prices[unit.code] != self.prices["o"]:
            raise Unpriceable("ambiguous_usage", f"{unit.token_class} has a price of its own and was not counted")
        return 0


def _count_cached(unit: Unit, usage: TokenUsage) -> int:
    """Return how much of a modality was read from the cache, if the totals leave one answer only."""
    modality = unit.token_class.partition("_")[0]
    of_modality = getattr(usage, f"{modality}_input", None) or 0
    cached = usage.cache_read or 0
    least = max(0, of_modality + cached - (usage.input or 0))
    most = min(of_modality, cached)
    if least != most:
        raise Unpriceable("ambiguous_usage", f"{unit.token_class} was not counted: {least} to {most} tokens")
    return most


def _digest(prices: Mapping[str, Rate]) -> str:
    """Name the rates by what they say, so that an id never means two prices."""
    steps = [(code, [(0, rate.base), *rate.tiers]) for code, rate in sorted(prices.items())]
    text = ";".join(f"{code}>{start}={price.normalize(_EXACT):f}" for code, rows in steps for start, price in rows)
    return blake2s(text.encode(), digest_size=4).hexdigest()
