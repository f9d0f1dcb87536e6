"""What a rule is. Rules are values: they are read once, and evaluated over what a store answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from spanledger_alerts.records import Severity

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

Comparison: TypeAlias = Literal[">", ">=", "<", "<="]
Missing: TypeAlias = Literal["ok", "no_data", "alert"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Which alerts share a message, and how often there is one. Times in nanoseconds."""

    by: tuple[str, ...] = ("rule", "tenant")
    wait: int = 30 * SECOND
    """From the first alert of a group to its first message, for others to join."""
    interval: int = 5 * MINUTE
    """At least that long between two messages about changes."""
    repeat: int = 4 * HOUR
    """Until a message is repeated while nothing changes."""


AT_ONCE: Final = Grouping(wait=0, interval=0)
"""For what happens rarely and has been thought through before: a budget's threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantOverride:
    """What differs for one tenant; ``None`` is as for all."""

    tenant: str
    enabled: bool = True
    threshold: float | None = None
    min_volume: int | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What every rule has. Times in nanoseconds."""

    name: str
    doc: str = ""
    enabled: bool = True
    severity: Severity = "warning"
    for_: int = 0
    """How long the condition must hold before it fires."""
    keep_firing_for: int = 0
    """How long it fires on after the condition held last."""
    missing: Missing = "ok"
    """What it means that there are no data about a set of labels that is pending or firing: all is well, nothing is
    known (what fires is not resolved for a day), or the condition holds. With ``alert`` it is also an alert that there
    are no data at all."""
    every: int = 30 * SECOND
    max_alerts: int = 100
    """Most sets of labels that may be pending or firing at once."""
    grouping: Grouping | None = None
    """``None`` is as for all."""
    across_tenants: bool = False
    """One alert for the whole installation, which only its operators see, instead of one per tenant."""
    tenants: tuple[TenantOverride, ...] = ()

    def override(self, tenant: str) -> TenantOverride | None:
        """Return what differs for a tenant."""
        return next((one for one in self.tenants if one.tenant == tenant), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRule(Rule):
    """A metric compared with a threshold, for each set of labels with enough volume."""

    metric: str
    compare: Comparison = ">"
    threshold: float
    window: int = 5 * MINUTE
    by: tuple[str, ...] = ("tenant",)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_volume: int = 1
    scores: tuple[str, ...] = ()
    slow_ms: float = 0.0
    min_coverage: float = 0.0
    """Only for scores: the part of the calls that must have one, so that few do not speak for all."""


@dataclass(frozen=True, slots=True)
class BurnPair:
    """An error budget burns ``factor`` times too fast over both windows."""

    factor: float
    long: int
    short: int
    severity: Severity


BURN_PAIRS: Final = (
    BurnPair(14.4, HOUR, 5 * MINUTE, "critical"),
    BurnPair(6.0, 6 * HOUR, 30 * MINUTE, "critical"),
    BurnPair(1.0, 3 * DAY, 6 * HOUR, "warning"),
)
"""Those of the SRE workbook: 2 % of a 30-day budget in an hour, 5 % in six, 10 % in three days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRateRule(Rule):
    """A service level objective whose error budget burns too fast."""

    metric: Literal["error_rate", "slow_share"] = "error_rate"
    objective: float
    """The good part that is promised, such as 0.99."""
    slow_ms: float = 0.0
    by: tuple[str, ...] = ("tenant", "service")
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_volume: int = 100
    """Calls in the long window."""
    min_bad: int = 10
    """Bad calls in the long window: one failure among few calls is no burn."""
    pairs: tuple[BurnPair, ...] = BURN_PAIRS


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyRule(Rule):
    """Anomalies that the detector has found and that go on."""

    min_severity: Severity = "warning"
    lookback: int = 7 * DAY
    kinds: tuple[str, ...] = ()
    """Empty is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceRule(Rule):
    """A service that used to send calls and does not any more."""

    window: int = HOUR
    """Silent at least that long."""
    factor: float = 3.0
    """And so many times longer than it ever was in the baseline."""
    baseline: int = 14 * DAY
    min_history: int = 7 * DAY
    """Who is known for less is not missed: nights and weekends must have been seen."""
    min_volume: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRule(Rule):
    """A reading of the service itself, such as the age of the oldest request that is not stored."""

    reading: str
    compare: Comparison = ">"
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRule(Rule):
    """How the findings of another part are treated, which come by themselves as ``NAME`` or ``NAME:...``: budgets."""

    levels: Mapping[str, Severity] = field(default_factory=dict)
    """The label ``threshold`` to the severity that it is to have."""


AnyRule: TypeAlias = MetricRule | BurnRateRule | AnomalyRule | SilenceRule | HealthRule | EventRule
