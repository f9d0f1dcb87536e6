"""Which models answer to which names: the usual snapshot of every model, and others that could stand behind it."""

from dataclasses import dataclass
from typing import Final

from spanledger_ingest.traffic._catalogue import MODELS, Model
from spanledger_ingest.traffic._incidents import Magnitude


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that answers: the name in the answer and its list price in whole nano-USD per token."""

    asked: str
    """The name under which it is asked for."""
    name: str
    input_price: int
    output_price: int
    cache_read_price: int
    cache_write_price: int
    dearer: Magnitude | None = None
    """How much dearer than the usual one, if it is: about 1.6, 2, or 3 times and more."""


def _usual(model: Model) -> Served:
    return Served(
        asked=model.name,
        name=model.snapshot,
        input_price=model.input_price,
        output_price=model.output_price,
        cache_read_price=model.cache_read_price or 0,
        cache_write_price=model.cache_write_price or 0,
    )


def _other(asked: str, name: str, prices: tuple[int, int, int, int], dearer: Magnitude | None = None) -> Served:
    given, answered, read, written = prices
    return Served(
        asked=asked,
        name=name,
        input_price=given,
        output_price=answered,
        cache_read_price=read,
        cache_write_price=written,
        dearer=dearer,
    )


# List prices of November 2026; a test compares them with genai-prices. Cached input without a price of its own costs
# what other input costs; a price of zero stands where there is nothing to write to.
SERVED: Final = (
    *map(_usual, MODELS),
    _other("gpt-4o", "gpt-4o-2024-11-20", (2500, 10000, 1250, 0)),
    _other("claude-sonnet-4-6", "claude-sonnet-4-5", (3000, 15000, 300, 3750)),
    _other("gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025", (300, 2500, 30, 0)),
    _other("mistral-large-latest", "mistral-large-2411", (2000, 6000, 0, 0)),
    _other("claude-sonnet-4-6", "claude-opus-4-8", (5000, 25000, 500, 6250), "small"),
    _other("gpt-4o-mini", "gpt-5.4-nano", (200, 1250, 20, 0), "small"),
    _other("gpt-4o", "gpt-4o-2024-05-13", (5000, 15000, 5000, 0), "medium"),
    _other("claude-haiku-4-5", "claude-sonnet-5", (2000, 10000, 200, 2500), "medium"),
    _other("claude-haiku-4-5", "claude-sonnet-4-6", (3000, 15000, 300, 3750), "large"),
    _other("claude-sonnet-4-6", "claude-opus-4-1", (15000, 75000, 1500, 18750), "large"),
    _other("gpt-4o-mini", "gpt-5.4-mini", (750, 4500, 75, 0), "large"),
    _other("gemini-2.5-flash", "gemini-2.5-pro", (1250, 10000, 125, 0), "large"),
)
"""The first ones are those of `MODELS`, in the same order."""


def others(asked: str, dearer: Magnitude | None) -> list[Served]:
    """Return the models that could answer to a name instead of the usual one, of one class of price."""
    return [served for served in SERVED[len(MODELS) :] if served.asked == asked and served.dearer == dearer]


def position(name: str) -> int:
    """Return the place of a served model in `SERVED`."""
    return next(place for place, served in enumerate(SERVED) if served.name == name)
