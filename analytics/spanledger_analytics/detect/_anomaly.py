"""What the detector says: one incident with its numbers, its cause and its price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Severity: TypeAlias = Literal["info", "warning", "critical"]
Status: TypeAlias = Literal["open", "ended", "accepted", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One incident, as of the last minute that was looked at. ``owner`` and ``id`` are its identity.

    ``info`` is worth knowing but no reason to be woken: it costs nothing, it is planned, or it is only new.
    """

    id: str
    owner: str
    """The owner of all calls concerned, ``""`` if they have several."""
    tenant: str | None
    kind: str
    metric: str
    dimensions: Mapping[str, str]
    """What the calls concerned have in common."""
    started_ns: int
    detected_ns: int
    ended_ns: int | None
    severity: Severity
    status: Status
    summary: str
    """One sentence with the numbers."""
    cause: str
    expected: float | None = None
    observed: float | None = None
    impact_nano: int = 0
    """What it has cost so far, nano-USD; negative if it saved."""
    impact_nano_per_hour: int = 0
    requests_per_hour: float = 0.0
    """Requests that are worse off."""
    confidence: float = 0.0
    """Decimal logarithm of one over the p-value of its clearest score."""
    causes: Sequence[tuple[Mapping[str, str], float]] = ()
    """The likeliest causes, the best first, with the share of the excess that each explains."""
    ties: Sequence[Mapping[str, str]] = ()
    """Dimensions that the calls do not tell from the first cause: they are the same calls."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers, as JSON: evidence by metric, factors of the cost, what changed at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A change that somebody announced: what deviates in its scope around its time is no alarm and is learned at once.

    Times are minutes since the epoch. Dimensions are those of a leaf; the ones left out stand for any value.
    """

    start: int
    end: int
    label: str
    owner: str | None = None
    """Whose calls; ``None`` is everyone's."""
    dimensions: Mapping[str, str] = field(default_factory=dict)
