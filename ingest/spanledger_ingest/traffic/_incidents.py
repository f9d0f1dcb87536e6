"""Labelled incidents: what is done to the traffic on purpose, so that a detector can be judged against the truth.

An incident changes calls while they are made. The same world without it draws the same numbers for everything else,
which makes its cost exact: the one minus the other.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal[
    "cost_spike",
    "unit_price",
    "latency",
    "error_burst",
    "token_drift",
    "traffic_zero",
    "retry_storm",
    "length_surge",
    "cache_collapse",
]
Magnitude = Literal["small", "medium", "large"]

KINDS: Final[tuple[Kind, ...]] = (
    "cost_spike",
    "unit_price",
    "latency",
    "error_burst",
    "token_drift",
    "traffic_zero",
    "retry_storm",
    "length_surge",
    "cache_collapse",
)
MAGNITUDES: Final[tuple[Magnitude, ...]] = ("small", "medium", "large")

FACTORS: Final[dict[Kind, tuple[float, float, float]]] = {
    "cost_spike": (3.0, 5.0, 8.0),
    "unit_price": (1.6, 2.0, 3.0),
    "latency": (1.3, 1.7, 2.5),
    "error_burst": (0.05, 0.15, 0.30),
    "token_drift": (1.4, 1.7, 2.0),
    "traffic_zero": (0.0, 0.0, 0.0),
    "retry_storm": (2.0, 3.0, 4.0),
    "length_surge": (0.12, 0.20, 0.35),
    "cache_collapse": (0.30, 0.15, 0.05),
}
"""What ``Incident.factor`` is for each magnitude; see `MEANING`."""

HOURS: Final[dict[Kind, tuple[float, float, float]]] = {
    "cost_spike": (1.0, 2.0, 4.0),
    "unit_price": (24.0, 24.0, 24.0),
    "latency": (2.0, 3.0, 6.0),
    "error_burst": (0.5, 1.0, 2.0),
    "token_drift": (24.0, 24.0, 24.0),
    "traffic_zero": (1.0, 2.0, 3.0),
    "retry_storm": (1.0, 2.0, 3.0),
    "length_surge": (2.0, 3.0, 4.0),
    "cache_collapse": (3.0, 4.0, 6.0),
}
"""How long each magnitude lasts."""

MEANING: Final[dict[Kind, str]] = {
    "cost_spike": "requests of the scope are multiplied by this; the added ones come from one user",
    "unit_price": "about what a token costs against before; impact and ratio are exact in the totals",
    "latency": "time to first token and time per token are multiplied by this",
    "error_burst": "added to the error probability of every attempt",
    "token_drift": "input tokens are multiplied by up to this, rising linearly from onset to end",
    "traffic_zero": "requests are multiplied by this",
    "retry_storm": "calls for one turn on average; half of the added ones are refused, half are answered and paid",
    "length_surge": "share of answers that are cut off at the lowered max_tokens",
    "cache_collapse": "hits of the prompt cache are multiplied by this",
}
AFFECTED: Final[dict[Kind, tuple[str, ...]]] = {
    "cost_spike": ("calls", "cost_usd"),
    "unit_price": ("unit_price", "cost_usd", "response_model"),
    "latency": ("ttft_ms", "duration_ms"),
    "error_burst": ("errors", "calls"),
    "token_drift": ("input_tokens", "cost_usd"),
    "traffic_zero": ("calls", "cost_usd"),
    "retry_storm": ("calls", "errors", "cost_usd", "retries"),
    "length_surge": ("length_share", "output_tokens"),
    "cache_collapse": ("cache_read_tokens", "cost_usd"),
}
_PROMPT_GROWTH: Final = ("input_tokens", "cost_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The leaves that something concerns; None stands for any value. ``model`` is the one asked for."""

    tenant_id: str | None = None
    model: str | None = None
    provider: str | None = None
    use_case: str | None = None
    region: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return the dimensions that are fixed."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A change to the calls of a scope in ``[onset_ns, end_ns)``, by the start of the request."""

    id: str
    kind: Kind
    magnitude: Magnitude
    factor: float
    scope: Scope
    onset_ns: int
    end_ns: int
    cause: str
    root_cause: dict[str, Any] = field(default_factory=dict, hash=False)
    served: str | None = None
    """The model that answers during the incident, if another one than before."""
    version: int | None = None
    """The prompt version that came with it, if one did."""
    max_tokens: int | None = None
    """The limit that cuts answers off."""

    @property
    def grows_prompt(self) -> bool:
        """Whether it is a longer prompt that costs more, not more requests."""
        return self.kind == "cost_spike" and self.cause == "prompt_growth"

    def describe(self) -> dict[str, Any]:
        """Return its part of the truth file that is known before any traffic is made."""
        meaning = "input tokens are multiplied by this" if self.grows_prompt else MEANING[self.kind]
        return {
            "id": self.id,
            "kind": self.kind,
            "magnitude": self.magnitude,
            "factor": self.factor,
            "meaning": meaning,
            "scope": self.scope.as_json(),
            "affected": list(_PROMPT_GROWTH if self.grows_prompt else AFFECTED[self.kind]),
            "cause": self.cause,
            "root_cause": self.root_cause,
        }
