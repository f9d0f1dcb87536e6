"""What waits in the outbox."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from spanledger_alerts.delivery._codec import decode, encode
from spanledger_alerts.delivery._receiver import SINGLE, Receiver
from spanledger_alerts.records import Alert, Notification, Status

State: TypeAlias = Literal["pending", "queued", "delivered", "dead", "collapsed", "skipped"]
"""``pending`` and ``queued`` are open; the others say how it ended. ``skipped`` was not wanted."""

_MOST_ALERTS_NAMED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A notification on its way to one receiver."""

    seq: int
    id: str
    receiver: str
    lane: str
    """Messages of one lane are delivered one after the other, in order."""
    subject: str
    """What a resolution must be about to take the place of a firing: the alert, or the whole lane where empty."""
    owner: str
    status: Status
    state: State
    payload: str
    created_ns: int
    since_ns: int
    """When trying began; replaying begins anew."""
    due_ns: int
    held: bool
    """Whether it is due when its receiver asked for, and not before."""
    attempts: int
    failures: int
    """Since trying began."""
    replayed: bool
    collapsed: bool
    """Whether it also stands for firing messages that were never delivered."""
    finished_ns: int | None
    http_status: int | None
    detail: str

    @classmethod
    def of(cls, row: Sequence[Any]) -> "Message":
        """Return the message of a row of the outbox."""
        names = cls.__dataclass_fields__
        values = dict(zip(names, row, strict=True))
        return cls(**values | {name: bool(values[name]) for name in ("held", "replayed", "collapsed")})

    @property
    def notification(self) -> Notification:
        """What is said."""
        return decode(self.payload)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it is stored."""

    id: str
    lane: str
    subject: str
    owner: str
    status: Status
    payload: str


def drafts(notification: Notification, receiver: Receiver) -> Iterator[Draft]:
    """Yield the messages that a notification makes: one, or one per alert where the shape has room for one only."""
    if receiver.shape not in SINGLE:
        yield _draft(notification.id, "", notification)
        return
    for number, alert in enumerate(notification.alerts):
        id_ = notification.id if len(notification.alerts) == 1 else f"{notification.id}.{number}"
        own = replace(notification, id=id_, alerts=(alert,), status=alert.status)
        yield _draft(id_, alert.fingerprint, own)


def _draft(id_: str, subject: str, notification: Notification) -> Draft:
    owners = {alert.owner for alert in notification.alerts}
    owner = owners.pop() if len(owners) == 1 else ""
    return Draft(id_, notification.group_key, subject, owner, notification.status, encode(notification))


def alerts_named(alerts: Sequence[Alert]) -> str:
    """Return what the record of an attempt keeps of alerts: id, owner and tenant, as JSON."""
    return json.dumps([[alert.id, alert.owner, alert.tenant] for alert in alerts[:_MOST_ALERTS_NAMED]])
