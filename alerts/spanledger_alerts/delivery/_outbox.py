"""What has to be delivered, kept until it is or is given up: a transactional outbox.

Nothing is ever dropped silently: every message ends as delivered, dead (with the reason), collapsed (with the id of the
message that says it instead) or skipped (its receiver does not want it).
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from spanledger_alerts.database import Database
from spanledger_alerts.delivery import _tables as sql
from spanledger_alerts.delivery._message import Draft, Message, State, alerts_named, drafts
from spanledger_alerts.delivery._obituary import given_up
from spanledger_alerts.delivery._receiver import Receiver
from spanledger_alerts.delivery._schedule import GIVE_UP_SECONDS, SECOND, Attempt, Schedule
from spanledger_alerts.delivery._states import ReceiverStates
from spanledger_alerts.records import Notification

MAX_SEQ: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One line of the record of attempts; ``alerts`` is JSON, a list of id, owner and tenant."""

    seq: int
    id: str
    attempt: int
    receiver: str
    time_ns: int
    ok: int
    http_status: int | None
    detail: str
    alerts: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits for a receiver, and since when the oldest does."""

    messages: int
    oldest_ns: int


class Outbox:
    """The messages, for any thread.

    Args:
        database: has the tables of ``TABLES``.
        receivers: by name.
        clock: nanoseconds since the epoch.
        schedule: when to try again.
        added: called when something was added; the transaction may not be over yet.
    """

    def __init__(
        self,
        database: Database,
        receivers: Mapping[str, Receiver],
        *,
        clock: Callable[[], int] = time.time_ns,
        schedule: Schedule | None = None,
        added: Callable[[], None] = lambda: None,
    ) -> None:
        self.receivers = dict(receivers)
        self.added = added
        self._database = database
        self._clock = clock
        self._schedule = schedule or Schedule()
        self._states = ReceiverStates(database, self.receivers)

    def enqueue(self, notification: Notification) -> None:
        """Add a message, in the transaction of the caller if there is one. The same id again changes nothing."""
        if not notification.alerts:
            return
        receiver = self.receivers.get(notification.receiver)
        with self._database.transaction():
            if receiver is None:
                unknown = Receiver(name=notification.receiver, url="https://unknown.invalid", shape="alertmanager")
                self._add(drafts(notification, unknown), notification, "dead", "there is no receiver of this name")
                return
            narrowed = receiver.narrowed(notification)
            if narrowed is None:
                self._add(drafts(notification, receiver), notification, "skipped", "not for this receiver's tenants")
            else:
                self._add(drafts(narrowed, receiver), narrowed, self._wanted(receiver, narrowed), "")
        self.added()

    def _wanted(self, receiver: Receiver, notification: Notification) -> State:
        return "skipped" if notification.status == "resolved" and not receiver.send_resolved else "pending"

    def _add(self, found: Iterable[Draft], notification: Notification, state: State, detail: str) -> None:
        for draft in found:
            self._database.execute(
                sql.ENQUEUE,
                (
                    draft.id, notification.receiver, draft.lane, draft.owner, draft.status, state, draft.payload,
                    notification.created_ns, self._clock(), detail, draft.subject,
                ),
            )  # fmt: skip

    def due(self, receiver: str, limit: int) -> list[Message]:
        """Return messages to send now, at most one of each lane, the longest due first."""
        if self._states.is_disabled(receiver):
            return []
        return [Message.of(row) for row in self._database.execute(sql.DUE, (receiver, self._clock(), limit))]

    def next_due_ns(self) -> int | None:
        """Return when the next message will be due that is not yet."""
        now = self._clock()
        times = [self._database.execute(sql.NEXT_DUE, (name, now))[0][0] for name in self.receivers]
        return min((moment for moment in times if moment is not None), default=None)

    def collapse(self, message: Message) -> bool:
        """Let the resolution that waits behind a firing that was never delivered speak for both.

        Returns:
            Whether there was one; the message is then no more to be sent.
        """
        if message.status != "firing" or message.replayed:
            return False
        where = (message.receiver, message.lane, message.subject)
        with self._database.transaction():
            found = self._database.execute(sql.FIRST_RESOLVED, (*where, message.seq))
            if not found:
                return False
            [(seq, id_)] = found
            now = self._clock()
            self._database.execute(sql.COLLAPSE, (*where, message.seq, seq, now, f"said by {id_}"))
            self._database.execute(sql.COLLAPSED_INTO, (seq,))
            self._database.execute(sql.PROMOTE, (message.receiver, message.lane, now))
        return True

    def record(self, ended: Sequence[tuple[Message, Attempt]]) -> list[Message]:
        """Write down how attempts ended, all in one transaction.

        Returns:
            The messages that were given up.
        """
        dead: list[Message] = []
        with self._database.transaction():
            for message, attempt in ended:
                self._note(message, attempt)
                if attempt.ok:
                    self._succeeded(message, attempt)
                else:
                    dead += self._failed(message, attempt)
            for message in dead:
                self._tell(message)
        return dead

    def _tell(self, message: Message) -> None:
        """Tell somebody else that a message was given up."""
        receiver = self.receivers.get(message.receiver)
        if receiver is not None and receiver.fallback:
            said = given_up(message, receiver.fallback, self._clock())
            if said is not None:
                self.enqueue(said)

    def _note(self, message: Message, attempt: Attempt) -> None:
        alerts = alerts_named(message.notification.alerts)
        number = message.attempts + 1
        self._database.execute(
            sql.ATTEMPTED,
            (
                message.id, number, message.receiver, self._clock(), int(attempt.ok), attempt.http_status,
                attempt.detail, alerts,
            ),
        )  # fmt: skip

    def _succeeded(self, message: Message, attempt: Attempt) -> None:
        self._finish(message, "delivered", attempt)
        if self._states.succeeded(message.receiver):
            self._database.execute(sql.HURRY, (message.receiver, self._clock()))

    def _failed(self, message: Message, attempt: Attempt) -> list[Message]:
        now = self._clock()
        if attempt.outcome == "refused":  # it is there, and does not want this one
            self._finish(message, "dead", attempt)
            return [message]
        failing_since = self._states.failed(message.receiver, now, disable=attempt.outcome == "gone")
        if attempt.outcome == "gone" or self._schedule.is_over(message.since_ns, now):
            self._finish(message, "dead", attempt)
            gone = [message]
        else:
            wait = self._schedule.wait_ns(message.failures + 1, attempt.retry_after)
            held = int(bool(attempt.retry_after))
            self._database.execute(sql.POSTPONE, (message.seq, now + wait, held, attempt.http_status, attempt.detail))
            gone = []
        if self._schedule.is_over(failing_since, now):
            gone += self._give_up_old(message.receiver, now)
        return gone

    def _give_up_old(self, receiver: str, now: int, why: str = "the receiver failed for 72 hours") -> list[Message]:
        """Give up what has waited all the time that a receiver has failed; its turn to be tried may never come."""
        before = now - round(GIVE_UP_SECONDS * SECOND)
        overdue = [Message.of(row) for row in self._database.execute(sql.OVERDUE, (receiver, before))]
        for message in overdue:
            self._database.execute(sql.FINISH, (message.seq, "dead", now, 0, message.http_status, why))
        for lane in {message.lane for message in overdue}:
            self._database.execute(sql.PROMOTE, (receiver, lane, now))
        return overdue

    def _finish(self, message: Message, state: State, attempt: Attempt) -> None:
        now = self._clock()
        self._database.execute(sql.FINISH, (message.seq, state, now, 1, attempt.http_status, attempt.detail))
        self._database.execute(sql.PROMOTE, (message.receiver, message.lane, now))

    def replay(self, id_: str, owner: str | None = None) -> Message | None:
        """Send a message again under its id, as if it were new; one that is still open is left as it is.

        Args:
            id_: of the message.
            owner: only if it is about this one's data; ``None`` for anybody's.

        Returns:
            The message as it was, ``None`` if there is none.
        """
        found = [Message.of(row) for row in self._database.execute(sql.FIND, (id_,))]
        if not found or (owner is not None and found[0].owner != owner):
            return None
        [message] = found
        with self._database.transaction():
            now = self._clock()
            self._states.enable(message.receiver)
            self._database.execute(sql.REPLAY, (message.seq, now))
            self._database.execute(sql.PROMOTE, (message.receiver, message.lane, now))
        self.added()
        return message

    def messages(
        self,
        *,
        owner: str | None = None,
        receiver: str | None = None,
        state: State | None = None,
        before: int = MAX_SEQ,
        limit: int = 100,
    ) -> list[Message]:
        """Return messages, the latest first: those with a ``seq`` below ``before``, of an owner, receiver or state."""
        rows = self._database.execute(sql.LIST, (before, owner, receiver, state, limit))
        return [Message.of(row) for row in rows]

    def new_attempts(self, mark: str, limit: int) -> list[AttemptRow]:
        """Return attempts after a mark, in order."""
        found = self._database.execute(sql.MARK, (mark,))
        after = found[0][0] if found else 0
        return [AttemptRow(*row) for row in self._database.execute(sql.ATTEMPTS, (after, limit))]

    def set_mark(self, mark: str, seq: int) -> None:
        """Remember that the attempts up to a number are done with."""
        self._database.execute(sql.SET_MARK, (mark, seq))

    def waiting(self) -> dict[str, Waiting]:
        """Return what is open, by receiver."""
        return {name: Waiting(number, oldest) for name, number, oldest in self._database.execute(sql.COUNTS)}

    def disabled(self) -> dict[str, int]:
        """Return the receivers that asked to be left alone, and when they did."""
        return self._states.disabled()

    def forget(self, before_ns: int) -> None:
        """Delete what ended before a time; it can then be neither seen nor replayed. Give up what nobody can send."""
        with self._database.transaction():
            for name in self.waiting().keys() - self.receivers.keys():
                self._give_up_old(name, self._clock(), "there has been no receiver of this name for 72 hours")
            self._database.execute(sql.FORGET, (before_ns,))
            self._database.execute(sql.FORGET_ATTEMPTS, (before_ns,))
