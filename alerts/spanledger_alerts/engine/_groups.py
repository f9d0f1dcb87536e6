"""When a group of alerts is told, and what. Pure."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from spanledger_alerts.engine._states import TELLING, Tracked
from spanledger_alerts.records import Alert, Notification
from spanledger_alerts.rules import MINUTE

_RANK: Final[Mapping[str, int]] = {"": -1, "info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts that are told to one receiver together. Times in nanoseconds."""

    receiver: str
    key: str
    labels: Mapping[str, str]
    created: int
    seq: int = 0
    """Messages so far."""
    due: int | None = None
    """When to look at it; ``None`` while it is empty."""
    sent: int | None = None
    """When its last message was made."""
    wait: int = 0
    interval: int = 0
    repeat: int = 0

    def changed(self, now: int) -> "Group":
        """Return it with the moment at which a change may be told."""
        earliest = now + self.wait
        if self.sent is not None:
            earliest = max(earliest, self.sent + self.interval)
        return replace(self, due=earliest if self.due is None else min(self.due, earliest))

    def not_ahead(self, now: int) -> "Group":
        """Return it with no time further from the clock than its rhythm allows, whatever became of the clock."""
        sent = None if self.sent is None else min(self.sent, now)
        latest = now + max(self.wait, self.pause)
        due = None if self.due is None else min(self.due, latest)
        return replace(self, sent=sent, due=due)

    @property
    def pause(self) -> int:
        """How long until it is looked at again while it is not empty: silences end, repeats are due."""
        return max(self.interval, MINUTE)


@dataclass(frozen=True, slots=True)
class Member:
    """An alert of a group, and what the receiver knows of it: nothing, ``firing``, or (of an event) ``muted``."""

    alert: Tracked
    told: str
    severity: str

    @property
    def fires(self) -> bool:
        """Whether it is not over."""
        return self.alert.state in TELLING

    @property
    def event_over(self) -> bool:
        """Whether it is an event of which nothing more is to be said."""
        return self.alert.finding.once and bool(self.told)


@dataclass(frozen=True, slots=True)
class Flush:
    """What comes of looking at a group."""

    group: Group
    notification: Notification | None
    told: list[Tracked] = field(default_factory=list)
    """Firing, and the receiver will know it."""
    muted: list[Tracked] = field(default_factory=list)
    """Events that it will never know of."""
    ended: list[Tracked] = field(default_factory=list)
    """Resolved, and the receiver will know it."""
    dropped: list[Tracked] = field(default_factory=list)
    """Resolved before anybody knew."""


def look_at(
    group: Group, members: Sequence[Member], muted: Callable[[Tracked], bool], now: int, max_alerts: int
) -> Flush:
    """Decide what is told of a group now.

    A message is due when something fires that the receiver does not know or that has become worse, when something that
    it knows is over, or when nothing was said for long. Who was told of an alert is told of its end, muted or not.
    """
    known = [member for member in members if member.told == "firing" and not member.alert.finding.once]
    ended = [member.alert for member in known if not member.fires]
    dropped = [member.alert for member in members if not member.fires and member.alert not in ended]
    live = [member for member in members if member.fires and not member.event_over]
    tellable = [member for member in live if member.alert.state != "no_data" or member.told]
    open_ = [member for member in tellable if not muted(member.alert)]
    silent = [member.alert for member in live if member not in open_ and member.alert.finding.once]
    news = any(_RANK[member.alert.finding.severity] > _RANK[member.severity] for member in open_)
    again = bool(open_) and group.sent is not None and now - group.sent >= group.repeat
    left = replace(group, due=now + group.pause if live else None)
    if not (news or ended or again):
        return Flush(left, None, muted=silent, dropped=dropped)
    firing = [member.alert for member in open_]
    fires = bool(firing) or any(member.fires for member in known)
    message = _message(group, firing, ended, now, max_alerts, fires=fires)
    left = replace(left, seq=group.seq + 1, sent=now)
    return Flush(left, message, told=firing, muted=silent, ended=ended, dropped=dropped)


def _message(
    group: Group, firing: list[Tracked], ended: list[Tracked], now: int, max_alerts: int, *, fires: bool
) -> Notification:
    firing = sorted(firing, key=lambda alert: -_RANK[alert.finding.severity])
    alerts: list[Alert] = [alert.told() for alert in [*firing, *ended]]
    # The same for the same message of the same group, so that one that is made twice is known by its id.
    name = f"{group.receiver}\n{group.key}\n{group.created}\n{group.seq}"
    return Notification(
        id=f"msg_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}",
        receiver=group.receiver,
        group_key=group.key,
        group_labels=group.labels,
        status="firing" if fires else "resolved",
        alerts=tuple(alerts[:max_alerts]),
        created_ns=now,
        truncated=max(len(alerts) - max_alerts, 0),
    )
