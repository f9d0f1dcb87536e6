"""How much was handed out lately."""

import math
from typing import Final

_SECONDS: Final = 5.0


class Recent:
    """What five seconds come to at the pace of the last ones: a sum that fades."""

    __slots__ = ("_at_ns", "_sum")

    def __init__(self) -> None:
        self._sum = 0.0
        self._at_ns = 0

    def add(self, nano: int, now_ns: int) -> None:
        """Take an amount in."""
        self._sum = self.at(now_ns) + nano
        self._at_ns = max(now_ns, self._at_ns)

    def at(self, now_ns: int) -> int:
        """Return the sum as it is at a time."""
        return int(self._sum * math.exp(-max(0, now_ns - self._at_ns) / 1e9 / _SECONDS))
