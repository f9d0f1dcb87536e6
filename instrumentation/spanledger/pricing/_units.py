"""What models are billed for: the units of a price entry and the token classes they price."""

from typing import NamedTuple


class Unit(NamedTuple):
    """A billed unit. One whose traits include another's is a part of it: cached audio of audio and of cached input."""

    code: str
    """Its key in ``prices.json``."""
    token_class: str
    """The field of ``TokenUsage`` it prices, or ``requests``."""
    traits: frozenset[str]

    @property
    def is_output(self) -> bool:
        """Whether the unit is part of the output."""
        return "output" in self.traits


def _unit(code: str, token_class: str, traits: str) -> Unit:
    return Unit(code, token_class, frozenset(traits.split()))


UNITS = {
    unit.code: unit
    for unit in (
        _unit("i", "input", "input"),
        _unit("r", "cache_read", "input read"),
        _unit("w", "cache_write", "input write"),
        _unit("h", "cache_write_1h", "input write 1h"),
        _unit("ai", "audio_input", "input audio"),
        _unit("ar", "audio_cache_read", "input audio read"),
        _unit("ii", "image_input", "input image"),
        _unit("ir", "image_cache_read", "input image read"),
        _unit("vi", "video_input", "input video"),
        _unit("o", "output", "output"),
        _unit("n", "reasoning", "output reasoning"),
        _unit("c", "citation", "output citation"),
        _unit("ao", "audio_output", "output audio"),
        _unit("io", "image_output", "output image"),
        _unit("vo", "video_output", "output video"),
        _unit("q", "requests", "requests"),
    )
}
"""All units by code. Rates are USD per million of the unit, of tokens as of requests."""

CODES = {unit.token_class: unit.code for unit in UNITS.values()}
