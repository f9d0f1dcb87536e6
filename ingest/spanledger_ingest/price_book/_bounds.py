"""What a call can cost at most, before it is made."""

from collections.abc import Collection
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

from spanledger.pricing import UNITS, Rate, Rates

_EXACT: Final = Context(prec=60, rounding=ROUND_CEILING)
_ZERO: Final = Decimal(0)


def bound(rates: Rates, input_tokens: int, classes: Collection[str] | None = None) -> tuple[int, int]:
    """Return nano-USD of the input and 10^-12 USD of each token of output, both rounded up.

    Every token is taken for one of the dearest class that it can be of, and at the dearest tier that an input of up to
    this length can come to.

    Args:
        rates: of the model.
        input_tokens: at most.
        classes: the classes of token that the call can have; all by default.
    """
    inputs, outputs, request = [_ZERO], [_ZERO], _ZERO
    for code, rate in rates.prices.items():
        unit = UNITS[code]
        if code == "q":
            request = _highest(rate, input_tokens)
        elif classes is None or unit.token_class in classes:
            (outputs if unit.is_output else inputs).append(_highest(rate, input_tokens))
    # USD per million is 10^-6 USD a token: 1,000 nano-USD, or 10^6 of 10^-12 USD.
    input_nano = _EXACT.multiply(_EXACT.add(_EXACT.multiply(max(inputs), input_tokens), request), 1_000)
    return _up(input_nano), _up(_EXACT.multiply(max(outputs), 10**6))


def _highest(rate: Rate, input_tokens: int) -> Decimal:
    return max(rate.base, *(price for start, price in rate.tiers if start < input_tokens), _ZERO)


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING, context=_EXACT))
