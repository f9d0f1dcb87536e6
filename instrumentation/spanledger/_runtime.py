"""The process-wide state: settings in force, the pipeline that they describe, start and stop."""

import atexit
import os
import threading
from typing import Any

from spanledger import _propagation
from spanledger._guard import reports, shielded
from spanledger.settings import Settings, resolve


class Runtime:
    """Settings and pipeline of this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._arguments: dict[str, Any] = {}
        self._settings: Settings | None = None
        self._pipeline: Any = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        """In a forked child: whichever thread of the parent held the lock is not here to release it."""
        self._lock = threading.RLock()

    @property
    def settings(self) -> Settings:
        """The settings in force; worked out from the environment when nobody configured anything."""
        if self._settings is None:
            self._settings = resolve({})
        return self._settings

    @property
    def pipeline(self) -> Any:
        """The running pipeline, or ``None``."""
        return self._pipeline

    def configure(self, arguments: dict[str, Any]) -> None:
        """Bring settings into force and start, change or stop the pipeline accordingly.

        Arguments of earlier calls hold unless given again, so that a second call need not repeat them.
        """
        with self._lock:
            merged = self._arguments | {key: value for key, value in arguments.items() if value is not None}
            settings = resolve(merged)
            unchanged = settings == self._settings and (self._pipeline is not None or settings.disabled)
            self._arguments, self._settings = merged, settings
            reports.reraise = settings.raise_errors
            if not unchanged:
                with shielded("starting the export of spans"):
                    self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        if settings.disabled:
            self.shutdown()
            return
        from spanledger._capture import set_capturing  # noqa: PLC0415  # a disabled process loads no SDK
        from spanledger._pipeline import Pipeline  # noqa: PLC0415  # same
        from spanledger._tracing import providers  # noqa: PLC0415  # same

        set_capturing(on=settings.capture_content != "none")
        if self._pipeline is not None:
            self._pipeline.reconfigure(settings)
            return
        self._pipeline = Pipeline(settings)
        _propagation.on_context(providers.adopt)
        providers.start(self._pipeline.processors)
        resource = getattr(providers.in_force(), "resource", None)
        if resource is not None:
            self._pipeline.exporter.resume(str(resource.attributes.get("service.name", "")))
        atexit.register(self.shutdown)

    def flush(self, timeout: float) -> bool:
        """Export what is waiting; ``False`` if the receiver did not have all of it after ``timeout`` seconds."""
        pipeline = self._pipeline
        return True if pipeline is None else bool(pipeline.flush(timeout))

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Export what is waiting and stop; ``False`` if that took longer than ``timeout`` seconds."""
        with self._lock:
            pipeline, self._pipeline = self._pipeline, None
            if pipeline is None:
                return True
            from spanledger._tracing import providers  # noqa: PLC0415  # loaded with the pipeline

            atexit.unregister(self.shutdown)
            providers.stop()
            return bool(pipeline.shutdown(timeout))


runtime = Runtime()
