"""What passes between rules, the alert engine and delivery."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["info", "warning", "critical"]
Status: TypeAlias = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a source of alerts (a rule, a budget, a detector) says about one set of labels at one moment.

    ``rule`` and ``labels`` are its identity, or ``key`` where labels may change: an alert keeps those it began with.
    Texts name ids, numbers and dimensions, never prompt text.
    """

    rule: str
    owner: str
    """The tenant of the credential whose data it is about; ``""`` for the whole installation."""
    labels: Mapping[str, str]
    key: str = ""
    """What it is about, if labels do not tell that once and for all."""
    active: bool
    """Whether the condition holds; ``False`` ends an alert."""
    at_ns: int
    severity: Severity = "warning"
    summary: str = ""
    value: float | None = None
    threshold: float | None = None
    window: str = ""
    """The stretch of time that was looked at, e.g. ``"5m"`` or ``"2026-11"``."""
    impact_usd: Decimal | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    """Name to URL or path of the built-in page."""
    once: bool = False
    """An event rather than a state: it fires, and resolves by itself without a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert as it is told to a receiver."""

    id: str
    """Stays the same from the first firing to the resolution."""
    fingerprint: str
    """Hash of the rule and the sorted labels: the same for every recurrence."""
    rule: str
    severity: Severity
    owner: str
    labels: Mapping[str, str]
    status: Status
    summary: str
    value: float | None
    threshold: float | None
    window: str
    impact_usd: Decimal | None
    links: Mapping[str, str]
    started_ns: int
    resolved_ns: int | None = None

    @property
    def tenant(self) -> str | None:
        """The tenant it concerns: its label, else the owner."""
        return self.labels.get("tenant") or self.owner or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message about a group of alerts, for one receiver. It is delivered at least once, under the same id."""

    id: str
    """``webhook-id`` of every attempt."""
    receiver: str
    """Name of the configured receiver."""
    group_key: str
    """Messages of one group reach a receiver in the order in which they were made."""
    group_labels: Mapping[str, str]
    status: Status
    """``resolved`` when every alert of the group is."""
    alerts: tuple[Alert, ...]
    created_ns: int
    truncated: int = 0
    """How many more alerts of the group there are than ``alerts`` has room for."""
