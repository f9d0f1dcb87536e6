"""The sender: one thread that carries parcels to the receiver and keeps what it cannot deliver."""

import logging
import random
import threading
import zlib
from collections.abc import Callable, Mapping

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

from spanledger._export.backlog import Backlog
from spanledger._export.clock import Clock
from spanledger._export.parcel import Parcel, Signal
from spanledger._export.retry import Backoff, Delivered, Failed, Outcome, Refused, judge
from spanledger._export.stats import Counters, ExportStats
from spanledger._export.transport import Transport

_logger = logging.getLogger(__name__)

_HANDOVER_SECONDS = 1.0
"""How long ``submit`` waits for the delivery of its parcel, on the exporting thread, before it goes to the disk."""
_ADOPT_SECONDS = 60.0
"""How often the directories of dead processes are looked for."""
_PROTOCOL_HEADERS = {
    "content-type": "application/x-protobuf",
    "content-encoding": "gzip",
    "user-agent": "spanledger-python",
}


class Sender:
    """Delivers encoded OTLP requests in order, at least once.

    ``step`` does the work of one turn and never sleeps; the thread only repeats it. Where no thread can be started
    (at the end of an interpreter) ``flush`` and ``close`` take the steps themselves.
    """

    def __init__(
        self,
        *,
        name: str,
        headers: Mapping[str, str],
        transport: Transport,
        backlog: Callable[[], Backlog],
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        self._name = name
        self._headers = {**headers, **_PROTOCOL_HEADERS}
        self._transport = transport
        self._new_backlog = backlog
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 -- jitter, not a secret
        self._told: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        """Set everything that a forked child must not share with its parent."""
        self._changed = threading.Condition()
        self._backlog = self._new_backlog()
        self._backoff = Backoff(self._rng)
        self._counters = Counters()
        self._slot: Parcel | None = None  # waits for the thread, known to nobody else
        self._inflight: Parcel | None = None
        self._proven = False  # the last attempt was answered, so the next one may do without the disk
        self._outage = False
        self._attempt_at = 0.0
        self._adopt_at = self._clock.monotonic()
        self._surveyed = False
        self._asked_to_wait = False
        self._hurry = False
        self._failures = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def stats(self) -> ExportStats:
        """A snapshot of the counters."""
        with self._changed:
            counters, backlog = self._counters, self._backlog
            return ExportStats(
                exported=counters.exported,
                rejected=counters.rejected,
                dropped_spans=counters.dropped + backlog.dropped,
                retries=counters.retries,
                spooled_spans=backlog.items,
                spooled_bytes=backlog.bytes,
                damaged=backlog.damaged,
            )

    def start(self) -> bool:
        """Start the thread unless it runs; return whether it does."""
        with self._changed:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name="SpanledgerSender", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending, or the machine is out of threads
                    return False
                self._thread = thread
            return self._thread is not None

    def submit(self, signal: Signal, items: int, message: bytes) -> bool:
        """Take an encoded request; return whether it is delivered or kept.

        Waits for the delivery, so that a flush of the batch processor means something: a second at most, and not at
        all while the receiver is away or others are ahead.
        """
        parcel = Parcel(signal, items, _gzip(message))
        running = self.start()
        with self._changed:
            if self._closed:
                self._counters.dropped += items
                return False
            wait = running and self._idle and not self._outage
            self._accept(parcel)
            self._changed.notify_all()
            if wait:
                self._changed.wait_for(lambda: self._idle or self._outage or self._closed, _HANDOVER_SECONDS)
            self._secure()
            return True

    def _accept(self, parcel: Parcel) -> None:
        self._secure()
        if self._proven and self._inflight is None and self._backlog.empty:
            self._slot = parcel
        else:
            self._backlog.append(parcel)

    def _secure(self) -> None:
        """Put on disk what only memory knows; it is older than whatever comes next."""
        if self._inflight is not None and self._inflight.place is None:
            self._backlog.append(self._inflight, held=True)
        if self._slot is not None:
            self._backlog.append(self._slot)
            self._slot = None

    def drop(self, items: int, reason: str) -> None:
        """Count spans that could not even be encoded."""
        with self._changed:
            self._counters.dropped += items
            self._tell_once(reason, "for %s: dropped %d spans: %s", items)

    # The turn of the thread.

    def _run(self) -> None:
        while self._wait_for_work():
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 -- the worker loop: one bad turn must not end delivery
                self._note_bug(error)

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not self._closed and (delay := self._delay()) > 0:
                self._changed.wait(delay)
            return not self._closed

    def _delay(self) -> float:
        """Return the seconds until there is something to do; 0 means now."""
        now = self._clock.monotonic()
        until_adoption = max(0.0, self._adopt_at - now)
        if self._slot is None and self._backlog.empty:
            return until_adoption
        if self._hurry and not self._asked_to_wait:
            return 0.0
        return min(until_adoption, max(0.0, self._attempt_at - now))

    def step(self) -> bool:
        """Make one attempt to deliver the oldest parcel if it is time; return whether there was one."""
        parcel = self._pick()
        if parcel is None:
            return False
        outcome = self._send(parcel)
        with self._changed:
            self._settle(parcel, outcome)
            self._changed.notify_all()
        return True

    def _pick(self) -> Parcel | None:
        with self._changed:
            now = self._clock.monotonic()
            if now >= self._adopt_at:
                self._adopt_at = now + _ADOPT_SECONDS
                self._backlog.adopt()
                self._surveyed = True
                self._changed.notify_all()
            if now < self._attempt_at and not (self._hurry and not self._asked_to_wait):
                return None
            self._inflight, self._slot = self._slot or self._backlog.head(), None
            return self._inflight

    def _send(self, parcel: Parcel) -> Outcome:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
        try:
            return judge(self._transport.post(parcel.signal.path, parcel.body, self._headers), self._clock)
        except OSError as error:
            return Failed(str(error) or type(error).__name__)
        finally:
            detach(token)

    def _settle(self, parcel: Parcel, outcome: Outcome) -> None:
        self._inflight = None
        self._hurry = False
        if self._backlog.closed:
            return
        if isinstance(outcome, Failed):
            self._keep(parcel, outcome)
            return
        self._proven = True
        self._end_outage()
        if parcel.place is not None:
            self._backlog.done(parcel)
        if isinstance(outcome, Refused):
            self._counters.rejected += parcel.items
            self._tell_once(outcome.reason, "%s refused %d spans for good: %s", parcel.items)
        else:
            self._count_delivery(parcel, outcome)

    def _count_delivery(self, parcel: Parcel, outcome: Delivered) -> None:
        rejected = min(outcome.rejected, parcel.items)
        self._counters.exported += parcel.items - rejected
        self._counters.rejected += rejected
        if rejected or outcome.message:
            self._tell_once(outcome.message, "%s rejected %d spans: %s", rejected)

    def _keep(self, parcel: Parcel, outcome: Failed) -> None:
        self._counters.retries += 1
        self._failures += 1
        self._proven = False
        self._asked_to_wait = outcome.retry_after is not None
        wait = self._backoff.next()
        self._attempt_at = self._clock.monotonic() + (wait if outcome.retry_after is None else outcome.retry_after)
        if parcel.place is None:
            self._backlog.append(parcel)
        else:
            self._backlog.release(parcel)
        if not self._outage and not self._closed:
            _logger.warning(
                "%s takes no spans (%s); keeping them in %s", self._name, outcome.reason, self._backlog.where
            )
        self._outage = True

    def _end_outage(self) -> None:
        self._backoff.reset()
        self._attempt_at = 0.0
        self._asked_to_wait = False
        if self._outage:
            self._outage = False
            _logger.info("%s takes spans again; %d wait", self._name, self._backlog.items)

    def _tell_once(self, reason: str, message: str, items: int) -> None:
        if reason not in self._told and len(self._told) < 100:
            self._told.add(reason)
            _logger.warning(message, self._name, items, reason)

    def _note_bug(self, error: Exception) -> None:
        with self._changed:
            parcel, self._inflight = self._inflight, None
            if parcel is not None:
                self._keep(parcel, Failed(type(error).__name__))
            # Only the type: the message of a ValueError from http.client would quote the API key.
            self._tell_once(type(error).__name__, "%s: unexpected error, %d spans wait: %s", self._backlog.items)
            self._attempt_at = self._clock.monotonic() + self._backoff.next()
            self._changed.notify_all()

    # The end.

    def flush(self, seconds: float) -> bool:
        """Try to deliver all that waits; return whether it was. A failed attempt ends the wait: it is kept anyway."""
        deadline = self._clock.monotonic() + seconds
        if not self.start():
            return self._flush_here(deadline)
        with self._changed:
            failures, self._hurry = self._failures, True
            if self._asked_to_wait and self._attempt_at > deadline:
                return self._idle
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._all_sent or self._failures != failures or self._closed, seconds)
            return self._all_sent

    @property
    def _idle(self) -> bool:
        return self._slot is None and self._inflight is None and self._backlog.empty

    @property
    def _all_sent(self) -> bool:
        """Whether nothing waits, what dead processes left included."""
        return self._idle and self._surveyed

    def _flush_here(self, deadline: float) -> bool:
        failures, self._hurry = self._failures, True
        while self._failures == failures and self._clock.monotonic() < deadline and self.step():
            pass
        return self._all_sent

    def close(self, seconds: float) -> None:
        """Deliver what a bounded time allows; the rest stays on disk for the next process."""
        if self._closed:
            return
        self.flush(seconds)
        with self._changed:
            self._closed = True
            self._secure()
            self._changed.notify_all()
        self._transport.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(min(seconds, _HANDOVER_SECONDS))
        with self._changed:
            lost = self._backlog.close()
            self._counters.dropped += lost
        if lost:
            _logger.warning("%s did not take %d spans in time and they were only in memory: lost", self._name, lost)

    def after_fork(self) -> None:
        """Begin anew in a forked child: the parent keeps its parcels, its files and its connection."""
        self._backlog.forget()
        closed = self._closed
        self._begin()
        self._closed = closed
        self._transport.forget()


def _gzip(message: bytes) -> bytes:
    """Compress at the level that costs least; spans shrink to a fifth all the same."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return compressor.compress(message) + compressor.flush()
