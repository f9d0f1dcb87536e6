"""A slice of budgets that one process admits calls from by itself."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_NANO = 10**9
_KEY = ("model", "provider", "tenant", "use_case", "service", "environment", "service_tier", "choices")


def key_of(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """What calls of the same slice have in common."""
    return (*(body.get(name) for name in _KEY), tuple(body.get("classes") or ()))


class Lease:
    """What is left of a slice. Amounts are nano-USD; whoever calls has the lock of the gate."""

    __slots__ = ("_input_pico", "_most_input", "_output_pico", "_outstanding", "_room", "_until", "id")

    def __init__(self, name: str, nano: int, until: float, prices: tuple[int, int, int]) -> None:
        self.id = name
        self._room = nano
        self._outstanding = 0
        self._until = until
        self._input_pico, self._output_pico, self._most_input = prices

    @classmethod
    def of(cls, said: Mapping[str, Any], body: Mapping[str, Any], now: float) -> "Lease":
        """The slice as the service describes it; it names what the call that asked for it costs at most."""
        tokens = max(1, int(body.get("input_tokens", 0)))
        input_nano, output_pico = Decimal(said["input_usd"]) * _NANO, int(said["output_pico_usd"])
        input_pico = -(-int(input_nano * 1000) // tokens)
        nano = int(Decimal(said["amount_usd"]) * _NANO)
        return cls(str(said["id"]), nano, now + float(said["seconds"]), (input_pico, output_pico, tokens))

    def take(self, body: Mapping[str, Any], now: float) -> int | None:
        """Take what a call costs at most; ``None`` if that is more than is left, or not known."""
        tokens, most = int(body.get("input_tokens", 0)), body.get("max_tokens")
        if self.is_over(now) or most is None or tokens > self._most_input:
            return None  # a longer input may have another price
        pico = tokens * self._input_pico + int(most) * int(body.get("choices", 1)) * self._output_pico
        nano = -(-pico // 1000)
        if nano > self._room:
            return None
        self._room -= nano
        self._outstanding += nano
        return nano

    def close(self, nano: int) -> None:
        """Note that a call has ended for which so much was taken."""
        self._outstanding -= nano

    def left(self, usd: Decimal) -> None:
        """Take over what the service says is left, less what is taken by calls that are going on."""
        self._room = max(0, int(usd * _NANO) - self._outstanding)

    def is_over(self, now: float) -> bool:
        """Whether no call may begin under it any more."""
        return now >= self._until

    @property
    def outstanding_usd(self) -> str:
        """What is taken by calls that are going on."""
        return f"{Decimal(self._outstanding) / _NANO:f}"
