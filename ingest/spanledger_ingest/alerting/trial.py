"""What a rule would say now, and the message with which a receiver is tried out."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from spanledger_alerts.engine import Target, Tracked, advance
from spanledger_alerts.records import Finding, Notification
from spanledger_alerts.rules import AnyRule, evaluate
from spanledger_ingest.alerting._alerting import Alerting

TEST_LABEL = "test"


@dataclass(frozen=True, slots=True)
class Saying:
    """A finding, and what would become of it."""

    finding: Finding
    receivers: tuple[str, ...]
    muted: bool
    """By a silence, a planned change or another alert."""


def sayings(alerting: Alerting, rule: AnyRule, owner: str | None, now_ns: int) -> list[Saying]:
    """Return what a rule finds now, what is active first; nothing is changed or told.

    Raises:
        AnalyticsError: the store cannot answer.
    """
    (findings,) = evaluate(rule, alerting.data, [now_ns])
    mine = [finding for finding in findings if owner is None or finding.owner == owner]
    mine.sort(key=lambda finding: not finding.active)
    return [_saying(alerting, rule, finding) for finding in mine]


def _saying(alerting: Alerting, rule: AnyRule, finding: Finding) -> Saying:
    receivers = tuple(target.receiver for target in alerting.engine.targets(finding))
    alert = _alert(rule, finding)
    muted = alert is not None and alerting.engine.muted(alert, finding.at_ns)
    return Saying(finding, receivers, muted)


def _alert(rule: AnyRule, finding: Finding) -> Tracked | None:
    return advance(replace(rule, for_=0), None, replace(finding, active=True))


def trial_messages(alerting: Alerting, rule: AnyRule, owner: str | None, now_ns: int) -> Iterator[Notification]:
    """Yield one marked message of a rule for each receiver that would be told."""
    found = next(iter(sayings(alerting, rule, owner, now_ns)), None)
    finding = Finding(rule=rule.name, owner=owner or "", labels={}, active=True, at_ns=now_ns, severity=rule.severity)
    finding = replace(finding if found is None else found.finding, active=True)
    targets = alerting.engine.targets(finding)
    marked = replace(
        finding, labels={**finding.labels, TEST_LABEL: "true"}, summary=f"TEST, nothing is wrong: {finding.summary}"
    )
    alert = _alert(rule, marked)
    if alert is not None:
        for target in targets:
            yield _message(target, alert, now_ns)


def _message(target: Target, alert: Tracked, now_ns: int) -> Notification:
    name = hashlib.sha256(f"{target.receiver} {alert.id}".encode()).hexdigest()[:32]
    told = replace(alert.told(), id=f"test_{alert.id}")
    return Notification(
        id=f"msg_test_{name}",
        receiver=target.receiver,
        group_key=f"test:{target.key}:{now_ns}",
        group_labels={**target.labels, TEST_LABEL: "true"},
        status="firing",
        alerts=(told,),
        created_ns=now_ns,
    )
