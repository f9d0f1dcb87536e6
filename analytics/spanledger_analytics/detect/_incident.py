"""An incident as it is followed from minute to minute: plain data that JSON can hold."""

from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Final

from spanledger_analytics.detect._series import Series

QUIET_MINUTES: Final = 45
"""An incident without a sign of life for so long is over."""
ACCEPT_MINUTES: Final = 26 * 60
"""After so long a change is the new normal: a day, and some time for what lasts a day to end by itself."""

PLANNED_MINUTES: Final = 3 * 60
"""After so long an announced one is."""


@dataclass(slots=True)
class Evidence:
    """What one metric says about an incident, at its clearest."""

    first: int
    direction: int
    window: int
    z: float
    log_p: float
    effect: float
    """Factor against what was expected."""
    windows: list[int] = field(default_factory=list)
    """In which it was seen, minutes."""
    last: int = 0
    """Last minute in which it was seen."""
    x: float = 0.0
    e: float = 0.0
    n: float = 0.0
    """Sums since the onset."""


@dataclass(slots=True)
class Incident:
    """Deviations that have leaves and time in common."""

    series: Series
    onset: int
    detected: int
    last: int
    evidence: dict[str, Evidence]
    first_series: Series
    confirmed: int = 0
    """Minute in which it was corroborated; 0 while it was not."""
    ended: int = 0
    accepted: bool = False
    also: list[Series] = field(default_factory=list)
    """Further series whose deviations it explains."""
    ties: list[Series] = field(default_factory=list)
    shares: list[tuple[Series, float]] = field(default_factory=list)
    """Candidate causes, the best first, and how much of the excess each explains."""
    calls: float = 0.0
    cost: float = 0.0
    usual_cost: float = 0.0
    usual_calls: float = 0.0
    tokens: float = 0.0
    factors: dict[str, float] = field(default_factory=dict)
    """By what the parts of the cost differ from what was expected."""
    parts: dict[str, list[float]] = field(default_factory=dict)
    """X, E and N that the factors are made of."""
    planned: str = ""
    """The change that was announced, if it is one."""
    summed: int = 0
    """Up to which minute the sums go."""
    owner: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """What changed at the same time: served model, prompt version, kinds of error."""

    @property
    def id(self) -> str:
        """Name of the incident: of what was first seen, where, and in which ten minutes."""
        name = next(iter(self.evidence))
        direction = self.evidence[name].direction
        text = "\x1f".join(
            (self.first_series.level, *self.first_series.values, name, str(direction), str(self.onset // 10))
        )
        return blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def open(self) -> bool:
        """Tell whether it goes on."""
        return not self.ended

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {
            "series": list(self.series),
            "first_series": list(self.first_series),
            "also": [list(series) for series in self.also],
            "ties": [list(tie) for tie in self.ties],
            "shares": [[list(series), share] for series, share in self.shares],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Incident":
        """Read what :meth:`as_json` returned."""
        given = dict(data)
        given["evidence"] = {name: Evidence(**one) for name, one in data["evidence"].items()}
        for name in ("series", "first_series"):
            given[name] = _series(data[name])
        given["also"] = [_series(one) for one in data["also"]]
        given["ties"] = [_series(tie) for tie in data["ties"]]
        given["shares"] = [(_series(series), share) for series, share in data["shares"]]
        return cls(**given)


def _series(data: list[Any]) -> Series:
    return Series(data[0], tuple(data[1]))
