"""What the service has of delivery, put together."""

import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

from spanledger_alerts.database import Database
from spanledger_alerts.delivery import Deliverer, Outbox
from spanledger_ingest.api import Metric
from spanledger_ingest.delivery._mirror import Mirror, RowStore
from spanledger_ingest.delivery._receivers import Receivers
from spanledger_ingest.jobs import Job

_MIRROR_SECONDS: Final = 5.0
_FORGET_SECONDS: Final = 3600.0
_KEPT_NS: Final = 30 * 86_400 * 10**9
"""For how long what ended can be looked up and replayed."""


class Delivery:
    """The outbox, and the thread that empties it.

    Args:
        receivers: those of the configuration.
        database: keeps the outbox.
        store: keeps the public table of attempts.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self, receivers: Receivers, database: Database, store: RowStore, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.outbox = Outbox(database, receivers.by_name, clock=clock)
        self._deliverer = Deliverer(self.outbox, receivers.notifiers, clock=clock)
        self._mirror = Mirror(self.outbox, store)
        self._clock = clock

    def start(self) -> None:
        """Begin to deliver."""
        self._deliverer.start()

    def stop(self) -> None:
        """Begin nothing new; what is under way has a moment to end. Idempotent."""
        self._deliverer.stop()

    def jobs(self) -> list[Job]:
        """Return what has to be done from time to time."""
        return [
            Job("deliveries", _MIRROR_SECONDS, self._mirror.step),
            Job("deliveries_forget", _FORGET_SECONDS, self._forget),
        ]

    def _forget(self) -> bool:
        self.outbox.forget(self._clock() - _KEPT_NS)
        return False

    def metrics(self) -> Iterator[Metric]:
        """Yield how delivery goes, by receiver."""
        stats = self._deliverer.stats()

        def by_receiver(name: str, kind: Literal["counter", "gauge"], help_: str, values: dict[str, float]) -> Metric:
            samples = [({"receiver": receiver}, value) for receiver, value in values.items()]
            return Metric(f"spanledger_delivery_{name}", kind, help_, samples)

        yield by_receiver("attempts_total", "counter", "Attempts to deliver a message.", {**stats.attempts})
        yield by_receiver("failures_total", "counter", "Attempts that failed.", {**stats.failures})
        yield by_receiver("dead_letters_total", "counter", "Messages given up.", {**stats.dead})
        waiting, now = self.outbox.waiting(), self._clock()
        names = self.outbox.receivers
        number = {name: float(waiting[name].messages) if name in waiting else 0.0 for name in names}
        oldest = {name: max(now - waiting[name].oldest_ns, 0) / 1e9 if name in waiting else 0.0 for name in names}
        yield by_receiver("waiting", "gauge", "Messages that wait.", number)
        yield by_receiver("oldest_seconds", "gauge", "Age of the oldest message that waits.", oldest)
        closed = {*self._deliverer.open_circuits(), *self.outbox.disabled()}
        yield by_receiver(
            "stopped", "gauge", "1 while a receiver is left alone.", {name: float(name in closed) for name in names}
        )
