"""From an ended span to the exporter: identity stamp, batch thread, enrichment, exporter."""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from spanledger._guard import reports, shielded
from spanledger._processor import IdentityProcessor
from spanledger.settings import Settings, cache_home

if TYPE_CHECKING:
    from spanledger._export import SpoolingExporter


_FORK_SECONDS = 5.0
"""How long a fork waits at most, once in the life of a process."""


def spool_of(settings: Settings, service: str) -> "Path | None":
    """Where the spans of ``service`` wait while the receiver is away; ``None`` is memory."""
    from spanledger._export import spool_path  # noqa: PLC0415  # an HTTP client comes along: not at import

    if settings.spool_dir == "off":
        return None
    return Path(settings.spool_dir) if settings.spool_dir else spool_path(cache_home(), service, settings.base_url())


def build_exporter(settings: Settings, service: str) -> "SpoolingExporter":
    """The exporter that brings the spans of ``service`` to the receiver, with a disk spool for its absences."""
    import http.client  # noqa: F401, PLC0415  # for the sender's thread: a fork must not fall into its imports

    from spanledger._export import SpoolingExporter  # noqa: PLC0415  # an HTTP client: on the export thread

    return SpoolingExporter(
        settings.base_url(),
        headers=settings.request_headers(),
        spool_dir=spool_of(settings, service),
        spool_max_bytes=settings.spool_max_bytes,
        timeout=settings.export_timeout,
    )


class LazyExporter(SpanExporter):
    """Builds the enriching exporter at the first export, on the export thread, and again after new settings.

    So an application pays for an HTTP client and a price table when it has spans to send, not when it starts.
    """

    def __init__(self, settings: Settings, build: Callable[[Settings, str], Any] = build_exporter) -> None:
        self._lock = threading.Lock()
        self._settings = settings
        self._build = build
        self._sender: Any = None
        self._exporter: SpanExporter | None = None
        _be_whole_in_forks(self)

    def reconfigure(self, settings: Settings) -> None:
        """Use ``settings`` from the next export on."""
        with self._lock:
            old, self._exporter, self._settings = self._exporter, None, settings
        if old is not None:
            with shielded("closing the exporter of earlier settings"):
                old.shutdown()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Enrich and export; never raises: a failure is logged once and the spans of that batch are lost."""
        try:
            return self._built(str(spans[0].resource.attributes.get("service.name", ""))).export(spans)
        except Exception as error:  # noqa: BLE001  # worker loop: the batch thread must survive any exporter
            reports.report("exporting spans", error)
            return SpanExportResult.FAILURE

    def resume(self, service: str) -> None:
        """Deliver what an earlier process left behind, on a thread, without waiting for a span of this one."""
        root = Path(self._settings.spool_dir) if self._settings.spool_dir else cache_home() / "spanledger"
        if not root.is_dir():
            return

        def work() -> None:
            with shielded("delivering what an earlier process left"):
                spool = spool_of(self._settings, service)
                if spool is not None and spool.is_dir() and any(spool.iterdir()):
                    self._built(service)

        threading.Thread(target=work, name="spanledger-resume", daemon=True).start()

    def send_logs(self, request: bytes, records: int, service: str) -> bool:
        """Send a serialized ``ExportLogsServiceRequest``; called on a background thread."""
        self._built(service)
        return bool(self._sender.send_logs(request, records))

    def shutdown(self) -> None:
        """Close the exporter if there is one."""
        with self._lock:
            old = self._exporter
        if old is not None:
            with shielded("closing the exporter"):
                old.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Hand the wish on."""
        with self._lock:
            exporter = self._exporter
        return True if exporter is None else exporter.force_flush(timeout_millis)

    def before_fork(self) -> bool:
        """Let a build that is under way come to its end; whether the lock was got in time."""
        return self._lock.acquire(timeout=_FORK_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Take a new lock: another thread of the parent may have held the old one. The exporter renews itself."""
        self._lock = threading.Lock()

    def _built(self, service: str) -> SpanExporter:
        with self._lock:
            if self._exporter is None:
                from spanledger._enrich import EnrichingExporter  # noqa: PLC0415  # with its tables, see above

                self._sender = self._build(self._settings, service)
                self._exporter = EnrichingExporter(self._sender, content=self._settings.capture_content)
            return self._exporter


def _be_whole_in_forks(exporter: LazyExporter) -> None:
    """Have no fork fall into the building of ``exporter``.

    Building imports modules. A child forked meanwhile would find them half imported for the rest of its life.
    """
    if not hasattr(os, "register_at_fork"):
        return
    known = weakref.ref(exporter)
    locked: list[bool] = []

    def before() -> None:
        it = known()
        locked.append(it is not None and it.before_fork())

    def in_parent() -> None:
        if locked.pop() and (it := known()):
            it.after_fork_in_parent()

    def in_child() -> None:
        locked.clear()
        if it := known():
            it.after_fork_in_child()

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


class Pipeline:
    """The span processors of this process and what stands behind them."""

    def __init__(self, settings: Settings) -> None:
        self.exporter = LazyExporter(settings)
        self._batch = BatchSpanProcessor(
            self.exporter,
            schedule_delay_millis=settings.export_interval * 1000,
            export_timeout_millis=settings.export_timeout * 1000,
        )
        self.processors: tuple[SpanProcessor, ...] = (IdentityProcessor(), self._batch)
        self.beside: list[Any] = []
        """What to flush and to stop before the spans: the log processor of scores, once somebody scores."""

    def reconfigure(self, settings: Settings) -> None:
        """Export under new settings from now on; what is waiting goes out under them too."""
        self.exporter.reconfigure(settings)

    def flush(self, timeout: float) -> bool:
        """Export what is waiting; whether the receiver has all of it within ``timeout`` seconds."""
        millis = int(timeout * 1000)

        def flush() -> bool:
            _tell_budgets(timeout)
            for processor in (*self.beside, self._batch):
                processor.force_flush(millis)
            return self.exporter.force_flush(millis)

        return _in_time(timeout, flush)

    def shutdown(self, timeout: float) -> bool:
        """Export what is waiting and stop, within ``timeout`` seconds."""

        def stop() -> bool:
            streams = sys.modules.get("spanledger._open_streams")
            if streams is not None:
                streams.end_all()
            _tell_budgets(timeout)
            for processor in (*self.beside, self._batch):
                with shielded("stopping the export"):
                    processor.shutdown()
            return True

        return _in_time(timeout, stop)


def _tell_budgets(timeout: float) -> None:
    """Settle what has ended, if anybody asked about budgets."""
    budgets = sys.modules.get("spanledger._budget_gate")
    if budgets is not None:
        with shielded("settling with budgets"):
            budgets.gate.flush(timeout)


def _in_time(timeout: float, work: Callable[[], bool]) -> bool:
    """What ``work`` returns, ``False`` if that takes longer: the SDK's processors wait as long as an exporter likes."""
    results: list[bool] = []

    def run() -> None:
        with shielded("handing over what is waiting"):
            results.append(work())

    worker = threading.Thread(target=run, name="spanledger-flush", daemon=True)
    try:
        worker.start()
    except RuntimeError:  # exit handlers may not start threads in some versions of Python (3.12.0, 3.12.1)
        run()
    else:
        worker.join(timeout)
    return results == [True]
