"""Single random numbers, for what a world is made of; the traffic itself is drawn by the column (`_draws`).

Counter-based as well: block ``n`` of a stream is ``blake2b(n, key)``, and the key is a hash of what the stream is for.
`random.Random` promises equal results across versions of Python only for `random()`.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log
from struct import Struct
from typing import TypeVar

_T = TypeVar("_T")

_BLOCK = Struct("<8Q")
_UNIT = 2.0**-53


class Stream:
    """An endless sequence of draws that is a pure function of its name."""

    __slots__ = ("_block", "_key", "_next")

    def __init__(self, seed: int, *names: str | int) -> None:
        self._key = blake2b("\x1f".join(map(str, (seed, *names))).encode(), digest_size=32).digest()
        self._next = 0
        self._block: list[int] = []

    def bits(self) -> int:
        """Return 64 random bits."""
        if not self._block:
            self._block = list(_BLOCK.unpack(blake2b(self._next.to_bytes(8, "little"), key=self._key).digest()))
            self._next += 1
        return self._block.pop()

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        return (self.bits() >> 11) * _UNIT

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit); the bias is below 2**-40 for every limit used here."""
        return (self.bits() * limit) >> 64

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return (self.bits() >> 11) * _UNIT < probability

    def exponential(self, mean: float) -> float:
        """Return a waiting time with the given mean."""
        return -mean * log(1.0 - self.uniform())

    def index(self, weights: Sequence[float]) -> int:
        """Return a position of ``weights`` with probability proportional to the weight."""
        left = self.uniform() * sum(weights)
        for position, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return position
        return len(weights) - 1

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """Return the items in random order (Fisher-Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result
