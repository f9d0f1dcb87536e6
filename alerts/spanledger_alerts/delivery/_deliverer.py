"""Sends what is due: one thread decides and writes, others wait for the receivers."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spanledger_alerts.delivery._circuit import Circuit
from spanledger_alerts.delivery._message import Message
from spanledger_alerts.delivery._notifiers import Notifier
from spanledger_alerts.delivery._outbox import Outbox
from spanledger_alerts.delivery._schedule import SECOND, Attempt, Schedule

_log = logging.getLogger(__name__)

MOST_THREADS: Final = 256
"""Messages under way at the same time; above it receivers share. Each receiver has its own few."""
_LONGEST_SLEEP_SECONDS: Final = 1.0
"""Until the outbox is looked at again, whatever nobody told."""
_RETRY_SECONDS: Final = 1.0
_LAST_RETRY_SECONDS: Final = 30.0
_GRACE_SECONDS: Final = 2.0

Spawn = Callable[[Callable[[], None]], None]


def on_a_thread(work: Callable[[], None]) -> None:
    """Run something on a thread that does not keep the process alive."""
    threading.Thread(target=work, name="delivery", daemon=True).start()


@dataclass(slots=True)
class DeliveryStats:
    """Counts since the start, by receiver."""

    attempts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)


class Deliverer:
    """Brings the messages of an outbox to their receivers, at least once each, in order within a group.

    A message is marked after its answer has come, so a killed process sends it again, under the same id. The results
    of many attempts are written in one transaction.

    Args:
        outbox: what has to be delivered.
        notifiers: by receiver.
        clock: nanoseconds since the epoch.
        schedule: of the circuits.
        spawn: runs an attempt; tests run it at once.
    """

    def __init__(
        self,
        outbox: Outbox,
        notifiers: Mapping[str, Notifier],
        *,
        clock: Callable[[], int] = time.time_ns,
        schedule: Schedule | None = None,
        spawn: Spawn = on_a_thread,
    ) -> None:
        self._outbox = outbox
        self._notifiers = dict(notifiers)
        self._clock = clock
        self._spawn = spawn
        schedule = schedule or Schedule()
        self._circuits = {name: Circuit(schedule) for name in self._notifiers}
        self._under_way: dict[str, set[int]] = {name: set() for name in self._notifiers}
        self._ended: queue.SimpleQueue[tuple[Message, Attempt]] = queue.SimpleQueue()
        self._unwritten: list[tuple[Message, Attempt]] = []
        self._stats = DeliveryStats(*(dict.fromkeys(self._notifiers, 0) for _ in range(3)))
        self._stats_lock = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deliverer", daemon=True)
        outbox.added = self._wake.set

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new, let what is under way end for a moment, and write how it ended. Idempotent.

        What has no answer by then is cut off and sent again, under its id, at the next start.
        """
        self._stop.set()
        self._wake.set()
        if self._thread.ident is None:
            return
        self._thread.join(_GRACE_SECONDS + 5.0)

    def stats(self) -> DeliveryStats:
        """Return a copy of the counts."""
        with self._stats_lock:
            return DeliveryStats(
                *(dict(part) for part in (self._stats.attempts, self._stats.failures, self._stats.dead))
            )

    def open_circuits(self) -> list[str]:
        """Return the receivers that are left alone for a while because they fail."""
        return [name for name, circuit in self._circuits.items() if circuit.is_open]

    def step(self) -> float:
        """Write what ended, begin what is due; return the seconds until there is something to do again."""
        self._write()
        for name in self._notifiers:
            self._begin(name)
        return self._pause()

    def _write(self) -> None:
        while not self._ended.empty():
            self._unwritten.append(self._ended.get())
        if not self._unwritten:
            return
        dead = self._outbox.record(self._unwritten)
        ended, self._unwritten = self._unwritten, []
        for message, attempt in ended:
            self._under_way[message.receiver].discard(message.seq)
            self._circuits[message.receiver].note(attempt, self._clock())
        self._count(ended, dead)
        for message in dead:
            _log.warning("a message to %s was given up: see /api/v1/deliveries?state=dead", message.receiver)

    def _count(self, ended: list[tuple[Message, Attempt]], dead: list[Message]) -> None:
        with self._stats_lock:
            for message, attempt in ended:
                self._stats.attempts[message.receiver] += 1
                self._stats.failures[message.receiver] += not attempt.ok
            for message in dead:
                self._stats.dead[message.receiver] += 1

    def _begin(self, name: str) -> None:
        under_way = self._under_way[name]
        free = self._circuits[name].free(self._clock(), len(under_way))
        free = min(free, MOST_THREADS - sum(map(len, self._under_way.values())))
        if free <= 0 or self._stop.is_set():
            return
        # Those under way are still the first due ones.
        for message in self._outbox.due(name, free + len(under_way)):
            if message.seq in under_way or free <= 0 or self._outbox.collapse(message):
                continue
            free -= 1
            under_way.add(message.seq)
            self._spawn(lambda message=message: self._attempt(message))  # type: ignore[misc]

    def _attempt(self, message: Message) -> None:
        try:
            attempt = self._notifiers[message.receiver].notify(message)
        except Exception as error:  # noqa: BLE001 - the worker loop: one receiver must not stop the others
            _log.error("a message to %s cannot be sent: %s", message.receiver, type(error).__name__)
            attempt = Attempt("retry", None, f"it cannot be sent ({type(error).__name__})")
        self._ended.put((message, attempt))
        self._wake.set()

    def _pause(self) -> float:
        """Return how long nothing will be due; what is under way wakes us by itself."""
        if not self._ended.empty():
            return 0.0
        now = self._clock()
        moments = [circuit.closed_until_ns for circuit in self._circuits.values() if circuit.closed_until_ns > now]
        due = self._outbox.next_due_ns()
        wait = min([*moments, *([] if due is None else [due])], default=None)
        return _LONGEST_SLEEP_SECONDS if wait is None else min(max((wait - now) / SECOND, 0.0), _LONGEST_SLEEP_SECONDS)

    def _run(self) -> None:
        retry = _RETRY_SECONDS
        while not self._stop.is_set():
            self._wake.clear()
            try:
                pause = self.step()
                retry = _RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - the worker loop: a full disk must not end it
                _log.error("delivery failed, trying again in %.0f s: %s", retry, error)
                self._stop.wait(retry)
                retry = min(2 * retry, _LAST_RETRY_SECONDS)
                continue
            self._wake.wait(pause)
        self._drain()

    def _drain(self) -> None:
        deadline = time.monotonic() + _GRACE_SECONDS
        while any(self._under_way.values()) and (left := deadline - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()
            self._last_write()
        for notifier in self._notifiers.values():
            notifier.abort()

    def _last_write(self) -> None:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - the worker loop: the same will be sent again
            _log.error("how the last messages ended is not written, they will be sent again: %s", error)
            self._under_way = {name: set() for name in self._under_way}
