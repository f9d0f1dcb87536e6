"""The states of one set of labels. Pure: what was, what is found now, what follows.

``pending`` -> ``firing`` -> ``resolved``, ``no_data`` while a firing one cannot be judged; what is ok has no state at
all. A clock that is set back lengthens nothing: no moment that is kept may lie ahead of the clock.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from spanledger_alerts.records import Alert, Finding
from spanledger_alerts.rules import DAY, Rule

State: TypeAlias = Literal["pending", "firing", "no_data", "resolved"]
OPEN: Final[tuple[State, ...]] = ("pending", "firing", "no_data")
TELLING: Final[tuple[State, ...]] = ("firing", "no_data")
"""States in which an alert that was told is not over."""

_HELD: Final = DAY
"""How long a firing alert without data is not resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """One alert from its first sign to its end, and what was found about it last."""

    id: str
    state: State
    since: int
    """When the condition began to hold."""
    started: int | None = None
    """When it fired."""
    active: int
    """When the condition held last."""
    seen: int
    """When it was judged last."""
    resolved: int | None = None
    closed: bool = False
    """Whether somebody has been told that it is resolved."""
    finding: Finding

    @property
    def fingerprint(self) -> str:
        """Hash of what it is about."""
        return fingerprint(self.finding)

    def told(self) -> Alert:
        """Return it as it is told."""
        finding = self.finding
        return Alert(
            id=self.id,
            fingerprint=self.fingerprint,
            rule=finding.rule,
            severity=finding.severity,
            owner=finding.owner,
            labels=finding.labels,
            status="resolved" if self.state == "resolved" and not finding.once else "firing",
            summary=finding.summary,
            value=finding.value,
            threshold=finding.threshold,
            window=finding.window,
            impact_usd=finding.impact_usd,
            links=finding.links,
            started_ns=self.since if self.started is None else self.started,
            resolved_ns=self.resolved,
        )

    def matched(self) -> dict[str, str]:
        """Return the labels that matchers see."""
        return label_set(self.finding)


def label_set(finding: Finding) -> dict[str, str]:
    """Return the labels of a finding with its rule, severity, owner and tenant."""
    tenant = finding.labels.get("tenant") or finding.owner
    known = {"rule": finding.rule, "severity": finding.severity, "owner": finding.owner, "tenant": tenant}
    return {**finding.labels, **{name: value for name, value in known.items() if value}}


def fingerprint(finding: Finding) -> str:
    """Return the same text for the same rule, owner and labels, in whatever order, or for the same key."""
    about = finding.key or sorted(finding.labels.items())
    text = json.dumps([finding.rule, finding.owner, about], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def advance(rule: Rule, was: Tracked | None, finding: Finding) -> Tracked | None:
    """Return what a finding makes of what was; ``None`` is ok."""
    at = finding.at_ns
    if was is None or was.state == "resolved":
        return _begun(rule, finding) if finding.active else None
    now = replace(_not_ahead(was, at), seen=at, finding=_said(was, finding))
    if finding.active:
        return _held(rule, replace(now, active=at), at)
    if now.state == "pending":
        return None
    if at - now.active < rule.keep_firing_for:
        return replace(now, state="firing")
    return replace(now, state="resolved", resolved=at)


def without_data(rule: Rule, was: Tracked, at: int) -> Tracked | None:
    """Return what follows when there is nothing to judge by."""
    if rule.missing == "ok":
        return advance(rule, was, replace(was.finding, active=False, at_ns=at))
    now = replace(_not_ahead(was, at), seen=at)
    if rule.missing == "alert":
        return _held(rule, replace(now, active=at), at)
    if now.state == "pending":
        return None
    if at - now.active >= _HELD:
        return replace(now, state="resolved", resolved=at)
    return replace(now, state="no_data")


def _begun(rule: Rule, finding: Finding) -> Tracked:
    at = finding.at_ns
    what = fingerprint(finding)
    alert_id = hashlib.sha256(f"{what} {at}".encode()).hexdigest()[:24]
    begun = Tracked(id=f"alert_{alert_id}", state="pending", since=at, active=at, seen=at, finding=finding)
    return _held(rule, begun, at)


def _held(rule: Rule, now: Tracked, at: int) -> Tracked:
    if now.state != "pending":
        return replace(now, state="firing")
    if now.finding.once or at - now.since >= rule.for_:
        return replace(now, state="firing", started=at)
    return now


def _not_ahead(was: Tracked, at: int) -> Tracked:
    started = None if was.started is None else min(was.started, at)
    return replace(was, since=min(was.since, at), started=started, active=min(was.active, at))


def _said(was: Tracked, finding: Finding) -> Finding:
    """What ends an alert does not change what it was about, nor how bad it was; its groups know it by its labels."""
    if not finding.active:
        return replace(was.finding, active=False, at_ns=finding.at_ns)
    return replace(finding, labels=was.finding.labels) if finding.key else finding
