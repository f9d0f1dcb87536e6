"""Tokens of one call by class, and what makes them contradict each other."""

from dataclasses import dataclass, fields
from operator import attrgetter


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens of one call by class; ``None`` means the source did not say.

    As in the OTel conventions ``input`` and ``output`` are totals that include their classes. ``cache_write_1h`` is the
    part of ``cache_write`` that lives one hour; ``audio_cache_read`` is the audio part of ``cache_read``.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    audio_cache_read: int | None = None
    image_input: int | None = None
    image_output: int | None = None


TOKEN_FIELDS = tuple(field.name for field in fields(TokenUsage))
_counts = attrgetter(*TOKEN_FIELDS)

_PARTS = (
    ("cache_write", ("cache_write_1h",)),
    ("audio_input", ("audio_cache_read",)),
    ("cache_read", ("audio_cache_read",)),
    ("input", ("cache_read", "cache_write")),
    ("input", ("audio_input", "image_input")),
    ("output", ("reasoning",)),
    ("output", ("audio_output", "image_output")),
)
"""A total and disjoint parts of it."""
_PLACES = tuple(
    (TOKEN_FIELDS.index(total), tuple(TOKEN_FIELDS.index(part) for part in parts)) for total, parts in _PARTS
)
"""The same as places in a tuple of all counts."""


def contradiction(usage: TokenUsage) -> str | None:
    """Say what is impossible about the usage, or return ``None``.

    Parts without their total contradict nothing here: whether the total is needed depends on the price.
    """
    counts = _counts(usage)
    for place, count in enumerate(counts):
        if count is not None and (type(count) is not int or count < 0):
            return f"{TOKEN_FIELDS[place]} is {count!r}, not a count of tokens"
    for total_at, parts_at in _PLACES:
        parts = 0
        for place in parts_at:
            parts += counts[place] or 0
        if parts and parts > (counts[total_at] or 0):
            total, total_name = counts[total_at], TOKEN_FIELDS[total_at]
            if total is None and total_name in {"input", "output"}:
                continue
            names = " + ".join(TOKEN_FIELDS[place] for place in parts_at)
            return f"{names} is {parts}, more than {total_name}, which is {total}"
    return None
