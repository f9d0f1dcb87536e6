"""The engine: findings in, notifications out. All it knows is in the database, so a restart changes nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from spanledger_alerts.database import Database
from spanledger_alerts.engine._book import Book
from spanledger_alerts.engine._groups import Flush, Group, look_at
from spanledger_alerts.engine._mutes import Inhibition, Mutes, muting
from spanledger_alerts.engine._routes import Routes, Target
from spanledger_alerts.engine._states import TELLING, Tracked, advance, fingerprint, without_data
from spanledger_alerts.records import Finding, Notification
from spanledger_alerts.rules import DAY, SEVERITIES, EventRule, Rule

_KEPT: Final = 90 * DAY
_KEPT_ROWS: Final = 5_000
_GROUPS_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the engine goes by."""

    rules: Mapping[str, Rule]
    routes: Routes
    inhibitions: Sequence[Inhibition] = ()
    max_per_message: int = 20
    """Alerts in one message; the rest is counted."""

    def rule(self, name: str) -> Rule:
        """Return a rule; ``budget:x`` goes by ``budget``. What no rule is configured for fires at once."""
        return self.rules.get(name) or self.rules.get(name.partition(":")[0]) or EventRule(name=name)


class AlertEngine:
    """Turns findings into alerts, and alerts into notifications.

    Every change of state and every notification that follows from it is written in one transaction, together with what
    the caller writes in the transaction around it. Not for several threads at once.

    Args:
        database: keeps the state (``alert_tables.TABLES``).
        policy: rules, routes and inhibitions.
        enqueue: takes a notification within the transaction. One that is made twice, because the first time did not
            come to its end, has the same id.
    """

    def __init__(self, database: Database, policy: Policy, enqueue: Callable[[Notification], None]) -> None:
        self._database = database
        self._book = Book(database)
        self._policy = policy
        self._enqueue = enqueue
        self.mutes = Mutes(database)
        self.dropped: dict[str, int] = {}
        """By rule: sets of labels beyond ``max_alerts`` at the last evaluation."""
        self.version = 0
        """Rises when alerts change."""

    def observe(self, findings: Iterable[Finding]) -> None:
        """Take findings that come by themselves, in the order in which they were made."""
        with self._database.transaction():
            for finding in (self._levelled(finding) for finding in findings):
                rule = self._policy.rule(finding.rule)
                was = self._book.open_one(fingerprint(finding))
                self._change(rule, was, advance(rule, was, finding), finding.at_ns)

    def _levelled(self, finding: Finding) -> Finding:
        rule = self._policy.rule(finding.rule)
        levels = rule.levels if isinstance(rule, EventRule) else {}
        return replace(finding, severity=levels.get(finding.labels.get("threshold", ""), finding.severity))

    def evaluated(self, name: str, findings: Sequence[Finding], at_ns: int) -> None:
        """Take everything that a rule found at a moment: what it found nothing about is without data."""
        rule = self._policy.rule(name)
        with self._database.transaction():
            known = self._book.open_of(name)
            room = max(rule.max_alerts - len(known), 0)
            dropped = 0
            for what, finding in _one_each(findings).items():
                was = known.pop(what, None)
                now = advance(rule, was, finding)
                if was is None and now is not None:
                    if not room:
                        dropped += 1
                        continue
                    room -= 1
                self._change(rule, was, now, at_ns)
            for was in known.values():
                self._change(rule, was, without_data(rule, was, at_ns), at_ns)
        self.dropped[name] = dropped

    def retire(self, names: Iterable[str], now: int) -> None:
        """Resolve what is left of rules that do not exist any more: nobody would judge it again."""
        existing = set(names)
        with self._database.transaction():
            open_ = {rule for rule, _ in self._book.counts()}
            for name in (rule for rule in open_ if rule.partition(":")[0] not in existing):
                gone = EventRule(name=name)
                for was in self._book.open_of(name).values():
                    if not was.finding.once:
                        self._change(gone, was, without_data(gone, was, now), now)

    def tick(self, now: int) -> int:
        """Make the notifications that are due; return how many.

        Many groups take several transactions, so that others who write have their turn.
        """
        made, muted = 0, None
        while due := self._book.due(now, _GROUPS_AT_ONCE):
            with self._database.transaction():
                muted = muted or self.muted_at(now)
                for group in due:
                    made += self._flush(group.not_ahead(now), muted, now)
        return made

    def expire(self, now: int) -> None:
        """Forget alerts that were resolved long ago."""
        with self._database.transaction():
            self._book.expire(now - _KEPT, _KEPT_ROWS)
        self.version += 1

    def page(
        self, *, owner: str | None, states: Iterable[str], before: tuple[int, str] = (2**63 - 1, ""), limit: int = 100
    ) -> list[Tracked]:
        """Return alerts of an owner, and with ``None`` all, those that began last first."""
        return self._book.page(owner=owner, states=states, before=before, limit=limit)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many alerts are open, by rule and state."""
        return self._book.counts()

    def targets(self, finding: Finding) -> list[Target]:
        """Return who would be told of a finding."""
        return list(self._policy.routes.targets(finding, self._policy.rule(finding.rule).grouping))

    def muted_at(self, now: int) -> Callable[[Tracked], bool]:
        """Return what tells whether an alert is not to be told now."""
        return muting(self._policy.inhibitions, self.mutes.active(now), self._book.firing())

    def _change(self, rule: Rule, was: Tracked | None, now: Tracked | None, at: int) -> None:
        """Write a new state, and wake the groups that it concerns."""
        if now is None:
            if was is not None:
                self._book.forget(was.id)
                self.version += 1
            return
        if was is None or was.state == "pending":
            now = self._reopened(was, now)
        self._book.save(now)
        if was is None or (was.state, was.finding.severity) != (now.state, now.finding.severity):
            self.version += 1
            self._wake(rule, now, at)

    def _reopened(self, was: Tracked | None, now: Tracked) -> Tracked:
        """What fires again before its end was told has not ended: whoever was told of it keeps one alert."""
        before = self._book.untold_end(now.fingerprint) if now.state == "firing" and not now.finding.once else None
        if before is None:
            return now
        if was is not None:
            self._book.forget(was.id)
        return replace(now, id=before.id, since=before.since, started=before.started)

    def _wake(self, rule: Rule, alert: Tracked, at: int) -> None:
        if alert.state in TELLING:
            for target in self._policy.routes.targets(alert.finding, rule.grouping):
                group = self._group(target, at)
                self._book.save_group(group.changed(at))
                self._book.join(group, alert.id)
            if alert.finding.once and not self._book.waiting_for(alert.id):
                self._book.save(replace(alert, state="resolved", resolved=at))  # there is nobody to tell
        elif alert.state == "resolved":
            for group in self._book.groups_of(alert.id):
                self._book.save_group(group.not_ahead(at).changed(at))

    def _group(self, target: Target, at: int) -> Group:
        known = self._book.group(target.receiver, target.key)
        group = known or Group(target.receiver, target.key, target.labels, created=at)
        how = target.grouping
        return replace(group, wait=how.wait, interval=how.interval, repeat=how.repeat).not_ahead(at)

    def _flush(self, group: Group, muted: Callable[[Tracked], bool], now: int) -> int:
        if group.due is None or group.due > now:
            self._book.save_group(group)  # only its times were mended
            return 0
        flush = look_at(group, self._book.members(group), muted, now, self._policy.max_per_message)
        if flush.notification is not None:
            self._enqueue(flush.notification)
        self._write_down(group, flush, now)
        self._book.save_group(flush.group)
        return int(flush.notification is not None)

    def _write_down(self, group: Group, flush: Flush, now: int) -> None:
        for alert in flush.told:
            self._book.mark(group, alert.id, "firing", alert.finding.severity)
        for alert in flush.muted:
            self._book.mark(group, alert.id, "muted", alert.finding.severity)
        for alert in (*flush.ended, *flush.dropped):
            self._book.leave(group, alert.id)
        for alert in flush.ended:
            self._book.save(replace(alert, closed=True))
        for alert in (*flush.told, *flush.muted):
            if alert.finding.once and not self._book.waiting_for(alert.id):
                self._book.save(replace(alert, state="resolved", resolved=now))
                self._book.leave(group, alert.id)
                self.version += 1


def _one_each(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return one finding for each set of labels: of several the worst that is active."""
    found: dict[str, Finding] = {}
    for finding in findings:
        what = fingerprint(finding)
        found[what] = max(found.get(what, finding), finding, key=_badness)
    return found


def _badness(finding: Finding) -> tuple[bool, int]:
    return finding.active, SEVERITIES.index(finding.severity)
