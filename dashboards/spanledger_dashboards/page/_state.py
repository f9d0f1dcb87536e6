"""What the address of a page says: the stretch of time, what is chosen, and how often it is loaded again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from spanledger_dashboards.boards._choices import VARIABLES

PRESETS: Final[Mapping[str, tuple[int, str]]] = {
    "1h": (3600, "1 hour"),
    "6h": (6 * 3600, "6 hours"),
    "24h": (86_400, "24 hours"),
    "7d": (7 * 86_400, "7 days"),
    "30d": (30 * 86_400, "30 days"),
    "90d": (90 * 86_400, "90 days"),
}
"""Stretches of time that end now: seconds, and how they are called."""

REFRESHES: Final = (30, 60, 300)
"""Seconds after which a page may load itself again."""

CHOICES: Final[Mapping[str, str]] = {variable.name: variable.label for variable in VARIABLES}
"""What every page can be narrowed by: what boards can."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, ns since the epoch; ``preset`` is one of :data:`PRESETS`, or empty."""

    from_ns: int
    to_ns: int
    preset: str = ""

    @property
    def first(self) -> datetime:
        """Its start."""
        return _moment(self.from_ns)

    @property
    def last(self) -> datetime:
        """Its end."""
        return _moment(self.to_ns)

    @property
    def parameters(self) -> dict[str, str]:
        """What it is in an address."""
        if self.preset:
            return {"range": self.preset}
        return {"from": f"{self.first:%Y-%m-%dT%H:%M:%SZ}", "to": f"{self.last:%Y-%m-%dT%H:%M:%SZ}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the reader chose."""

    period: Period
    choices: Mapping[str, str] = field(default_factory=dict)
    """By the names of :data:`CHOICES`, without those left open."""
    refresh: int = 0
    """Seconds, 0 for never."""
    numbers: str = ""
    """The chart whose numbers are shown as a table."""

    @property
    def parameters(self) -> dict[str, str]:
        """What it is in an address."""
        refresh = {"refresh": str(self.refresh)} if self.refresh else {}
        return {**self.period.parameters, **self.choices, **refresh}

    def to(self, path: str, **more: str) -> str:
        """Return the address of another page, with all that is chosen; an empty value leaves that out."""
        wanted = {name: value for name, value in (self.parameters | more).items() if value}
        return f"{path}?{urlencode(wanted)}" if wanted else path


def _moment(at_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1000)
