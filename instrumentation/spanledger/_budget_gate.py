"""The connection to admission of the service: questions, slices from which to admit alone, and what calls came to.

Standard library only, and no thread before the first answer.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from spanledger import _processor
from spanledger._budget_lease import Lease, key_of
from spanledger._budget_report import report_of
from spanledger._export.transport import HttpTransport, Transport
from spanledger._guard import reports, shielded
from spanledger._runtime import runtime
from spanledger.settings import Settings

_ADMIT = "/api/v1/budgets/admit"
_SETTLE = "/api/v1/budgets/settle"
_PAUSE_SECONDS = 2.0
"""How long nobody waits for a service that did not answer."""
_BATCH = 500
_REPORT_SECONDS = 0.25
_REPORT_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the service said: ``allow``, ``clamp``, ``deny``, or ``unknown`` where it did not."""

    decision: str
    budget: str | None = None
    max_tokens: int | None = None
    reset: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    """A call that is going on: the reservation or slice that it is admitted from."""

    reservation: str
    lease: Lease | None = None
    nano: int = 0


class Gate:
    """Asks, remembers, reports. For any thread.

    Args:
        connect: Makes a transport to the service.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        connect: Callable[[Settings, float], Transport] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect or _connect
        self._clock = clock
        self._begin()
        _processor.on_end.append(self._ended)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_in_child)

    def _renew_in_child(self) -> None:
        """Begin anew in a forked child: the parent goes on with its connections and slices."""
        for transport in self._idle:
            transport.forget()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Transport] = []
        self._settings: Settings | None = None
        self._leases: dict[tuple[Any, ...], Lease] = {}
        self._open: dict[int, _Open] = {}
        self._ends: queue.SimpleQueue[tuple[_Open, Mapping[str, Any] | None, str, str]] = queue.SimpleQueue()
        self._reporting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._paused_until = 0.0

    # Asking

    def ask(self, body: Mapping[str, Any], span_id: int) -> Verdict:
        """Say whether a call may be made: from a slice if there is one, else the service."""
        verdict = self.from_lease(body, span_id)
        if verdict is not None:
            return verdict
        if self._clock() < self._paused_until:
            return Verdict("unknown")
        try:
            answer = self._post(_ADMIT, {**body, "lease": True}, runtime.settings.budgets_timeout)
        except (OSError, ValueError) as error:
            self._paused_until = self._clock() + _PAUSE_SECONDS
            reports.report("asking the service about budgets", error)
            return Verdict("unknown")
        return self._taken(body, span_id, answer)

    def from_lease(self, body: Mapping[str, Any], span_id: int) -> Verdict | None:
        """Admit a call from a slice; ``None`` if there is none, or too little is left of it."""
        with self._lock:
            lease = self._leases.get(key_of(body))
            nano = None if lease is None else lease.take(body, self._clock())
            if lease is None or nano is None:
                return None
            self._open[span_id] = _Open(lease.id, lease, nano)
        return Verdict("allow")

    def _taken(self, body: Mapping[str, Any], span_id: int, answer: Mapping[str, Any]) -> Verdict:
        reservation, lease = answer.get("reservation"), answer.get("lease")
        with self._lock:
            if reservation:
                self._open[span_id] = _Open(str(reservation))
            if lease:
                self._replace_lease(body, lease)
            if reservation or lease:
                self._start()
        reset = answer.get("reset")
        return Verdict(
            str(answer["decision"]),
            answer.get("budget"),
            answer.get("max_tokens"),
            None if reset is None else datetime.fromisoformat(reset),
        )

    def _replace_lease(self, body: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        key = key_of(body)
        old = self._leases.get(key)
        self._leases[key] = Lease.of(said, body, self._clock())
        if old is not None:
            self._return(old)

    def _return(self, lease: Lease) -> None:
        self._ends.put((_Open(lease.id, lease), None, "", ""))

    # What became of it

    def give_back(self, span_id: int) -> None:
        """Say that a call cost nothing."""
        with self._lock:
            call = self._open.pop(span_id, None)
        if call is not None:
            self._ends.put((call, {}, "", f"{span_id:016x}"))

    def _ended(self, span: ReadableSpan) -> None:
        if not self._open or span.context is None:
            return
        with self._lock:
            call = self._open.pop(span.context.span_id, None)
        if call is not None:
            ids = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
            self._ends.put((call, report_of(span), *ids))

    def flush(self, timeout: float = _REPORT_TIMEOUT) -> None:
        """Report what has ended, and give slices back that nobody uses."""
        with self._lock:
            leases, self._leases = list(self._leases.values()), {}
        for lease in leases:
            self._return(lease)
        self._report(timeout)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="spanledger-budgets", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(_REPORT_SECONDS)
            with shielded("settling with budgets"):
                self._retire()
                self._report(_REPORT_TIMEOUT)

    def _retire(self) -> None:
        now = self._clock()
        with self._lock:
            over = [key for key, lease in self._leases.items() if lease.is_over(now)]
            leases = [self._leases.pop(key) for key in over]
        for lease in leases:
            self._return(lease)

    def _report(self, timeout: float) -> None:
        """Send what has ended. What cannot be sent is dropped: the service learns it from the spans."""
        with self._reporting:
            while not self._ends.empty():
                items = [item for _ in range(min(_BATCH, self._ends.qsize())) if (item := self._item())]
                if not items:
                    continue
                try:
                    answer = self._post(_SETTLE, {"items": items}, timeout)
                except (OSError, ValueError):
                    self._forget_leases({item["reservation"] for item in items})
                    return
                with self._lock:
                    left = answer.get("leases", {})
                    for lease in self._leases.values():
                        if lease.id in left:
                            lease.left(Decimal(left[lease.id]))

    def _forget_leases(self, names: set[str]) -> None:
        """Use slices no more of which the service does not know what they were used for."""
        with self._lock:
            self._leases = {key: lease for key, lease in self._leases.items() if lease.id not in names}

    def _item(self) -> dict[str, Any] | None:
        call, said, trace_id, span_id = self._ends.get()
        if not span_id:  # a slice that goes back, but for the calls that are still open
            lease = call.lease
            return None if lease is None else {"reservation": lease.id, "keep_usd": lease.outstanding_usd}
        if said is None:
            return None  # nobody knows what it cost: it stays held until its span is there, or for the period
        if call.lease is not None:
            with self._lock:
                call.lease.close(call.nano)
        cost = {"usage": said["usage"]} if said else {"cost_usd": "0"}
        tier = {"service_tier": said["service_tier"]} if said and said["service_tier"] else {}
        return {"reservation": call.reservation, "trace_id": trace_id, "span_id": span_id, **cost, **tier}

    # The wire

    def _post(self, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        settings = runtime.settings
        with self._lock:
            if settings is not self._settings:
                self._settings, old, self._idle = settings, self._idle, []
                for transport in old:
                    transport.close()
            found = self._idle.pop() if self._idle and path == _ADMIT else None
        transport = found or self._connect(settings, timeout)
        headers = {"content-type": "application/json", **settings.request_headers()}
        answer = transport.post(path, json.dumps(body).encode(), headers)
        with self._lock:
            kept = path == _ADMIT and settings is self._settings
            if kept:
                self._idle.append(transport)
        if not kept:
            transport.close()
        if answer.status != 200:  # OK
            raise OSError(f"the service answered {answer.status}")
        said = json.loads(answer.body)
        if not isinstance(said, dict):
            raise ValueError("the service did not answer with an object")  # noqa: TRY004  # not a type: a wrong answer
        return said


def _connect(settings: Settings, timeout: float) -> Transport:
    return HttpTransport(settings.base_url(), timeout)


gate = Gate()
