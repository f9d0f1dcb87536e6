"""What admission reckons with: caps, what is held against them, questions and answers. Money is integer nano-USD."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from spanledger_alerts.budgets import Estimate

CapKey: TypeAlias = tuple[str, str, str, int]
"""Owner and name of a budget, the tenant of one for each tenant, the start of the period."""
Kind: TypeAlias = Literal["call", "lease", "settled", "lost"]
Decision: TypeAlias = Literal["allow", "clamp", "deny"]


@dataclass(slots=True)
class Cap:
    """What one budget allows in one period, and what the ledger says was spent of it."""

    key: CapKey
    limit: int
    spent: int
    """In the ledger."""
    ends_ns: int
    """From when on what is held here no longer counts."""
    resets_ns: int | None
    """When there is room again, if that is known."""
    estimate: Estimate = "worst"
    keeps_ns: int | None = None
    """Of a rolling window: how long what is held may count."""

    def until(self, now_ns: int) -> int:
        """Return until when something held now may count."""
        return self.ends_ns if self.keeps_ns is None else now_ns + self.keeps_ns


class Part(NamedTuple):
    """What is held against one cap, and until when it can count there."""

    nano: int
    until_ns: int


@dataclass(slots=True)
class Hold:
    """An amount that was handed out and is not in the ledger, or not known to be.

    ``call`` may still be going on, ``settled`` said what it cost, ``lost`` was never heard of again, and a ``lease`` is
    a slice from which a process admits its calls itself.
    """

    id: str
    owner: str
    kind: Kind
    parts: dict[CapKey, Part]
    start_ns: int
    expires_ns: int
    provider: str = ""
    model: str = ""
    trace_id: str = ""
    span_id: str = ""
    stored_at: int | None = None
    """The revision of the store at which the call was found there."""


class Bound(NamedTuple):
    """What a call can cost at most: its input, and each token of output (10^-12 USD: no rounding)."""

    input_nano: int
    output_pico: int

    def at(self, tokens: int) -> int:
        """Return the bound for so many tokens of output, rounded up."""
        return self.input_nano - (-tokens * self.output_pico // 1000)

    def tokens_for(self, nano: int) -> int:
        """Return how many tokens of output an amount pays for; below zero where not even the input is paid."""
        if nano < self.input_nano:
            return -1
        return (nano - self.input_nano) * 1000 // self.output_pico if self.output_pico else 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """May a call be made that costs this at most?"""

    owner: str
    caps: tuple[CapKey, ...]
    bound: Bound
    tokens: int
    """Of output at most, for each choice."""
    choices: int = 1
    least: int = 1
    """Fewer tokens of output for a choice are of no use."""
    expected: int | None = None
    """What 95 % of the calls like this one stay below, for caps that go by that."""
    start_ns: int
    ttl_ns: int
    provider: str = ""
    model: str = ""
    trace_id: str = ""
    span_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was decided. ``cap`` is the one that is tightest, where there is one."""

    decision: Decision
    hold: Hold | None = None
    tokens: int = 0
    """What may be asked for, for each choice."""
    bounded: bool = False
    """Whether a cap takes the worst for granted, so that there must be a limit."""
    cap: Cap | None = None
    resets_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """How the ledger stands: its watermark, and the caps with what was spent of them."""

    revision: int
    caps: dict[CapKey, Cap] = field(default_factory=dict)
