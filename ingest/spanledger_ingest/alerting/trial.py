"""What a rule would say now, and the message with which a receiver is tried out."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
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
    muted = alerting.engine.muted_at(now_ns)
    return [_saying(alerting, rule, finding, muted) for finding in mine]


def _saying(alerting: Alerting, rule: AnyRule, finding: Finding, muted: Callable[[Tracked], bool]) -> Saying:
    receivers = tuple(target.receiver for target in alerting.engine.targets(finding))
    alert = _alert(rule, finding)
    return Saying(finding, receivers, alert is not None and muted(alert))


def _alert(rule: AnyRule, finding: Finding) -> Tracked | None:
    return advance(replace(rule, for_=0), None, replace(finding, active=True))


def trial_messages(
    alerting: Alerting, rule: AnyRule, said: Sequence[Saying], owner: str | None, now_ns: int
) -> Iterator[Notification]:
    """Yield one marked message of a rule, about the first thing that it says, for each receiver that would be told."""
    finding = Finding(rule=rule.name, owner=owner or "", labels={}, active=True, at_ns=now_ns, severity=rule.severity)
    finding = replace(said[0].finding if said else finding, active=True)
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
