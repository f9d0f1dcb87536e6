"""What people should look at next: some answers at random, more of those that the scorer is unsure of.

Each answer is drawn by its own hash, so the queue is the same for everybody and at any time, and its chance of being in
it is known. One over that chance is the weight under which a label counts; weighted, labels of a queue that prefers
doubtful answers still estimate shares of all answers without bias.
"""

from hashlib import blake2b
from typing import Final

_RANDOM: Final = 0.02
_UNSURE: Final = 0.30
_BAND: Final = 0.2
"""How near a half a value has to be to count as unsure."""


def inclusion(key: str, value: float, random: float = _RANDOM, unsure: float = _UNSURE) -> float | None:
    """Return an answer's weight if it is in the queue, ``None`` if not.

    Args:
        key: of the answer: what it is drawn by.
        value: the scorer's, or its confidence.
        random: the chance of any answer.
        unsure: the chance of one that the scorer is unsure of.
    """
    chance = max(random, unsure) if abs(value - 0.5) < _BAND else random
    return 1 / chance if _uniform(key) < chance else None


def _uniform(key: str) -> float:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
