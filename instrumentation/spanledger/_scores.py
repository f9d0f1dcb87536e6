"""Feedback and evaluations as log events; loaded at the first score, because most applications never score."""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.context import get_current
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult

from spanledger import semconv
from spanledger._guard import reports, shielded
from spanledger._runtime import runtime

_lock = threading.Lock()
_loggers: dict[int, Any] = {}
"""The logger of each pipeline, by identity: one per process, and a new one after ``shutdown`` and ``configure``."""


def _renew_lock() -> None:
    """In a forked child: whichever thread of the parent held the lock is not here to release it."""
    global _lock  # noqa: PLW0603  # a lock cannot be released by another thread
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class _LogExporter(LogRecordExporter):
    """Sends events with the exporter of the spans: same address, same headers, same spool."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        try:
            service = str(batch[0].resource.attributes.get("service.name", ""))
            sent = self._pipeline.exporter.send_logs(encode_logs(batch).SerializeToString(), len(batch), service)
        except Exception as error:  # noqa: BLE001  # worker loop: the batch thread must survive any exporter
            reports.report("exporting scores", error)
            return LogRecordExportResult.FAILURE
        return LogRecordExportResult.SUCCESS if sent else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """The exporter belongs to the spans."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return bool(self._pipeline.exporter.force_flush(timeout_millis))


def record(name: str, value: float, span: Any, label: str | None, explanation: str | None) -> None:
    """Emit ``gen_ai.evaluation.result``, parented to ``span``. See :func:`spanledger.record_score`."""
    with shielded("record_score"):
        judged = trace.get_current_span() if span is None else span
        context = judged if isinstance(judged, trace.SpanContext) else judged.get_span_context()
        attributes = {
            semconv.EVALUATION_NAME: str(name),
            semconv.EVALUATION_SCORE: float(value),
            semconv.EVALUATION_LABEL: label,
            semconv.EVALUATION_EXPLANATION: explanation,
            **_identity(judged),
        }
        emit(_logger(), context, {key: item for key, item in attributes.items() if item is not None})


def emit(logger: Any, judged: trace.SpanContext, attributes: dict[str, Any]) -> None:
    """Emit the event under the span ``judged``."""
    now = time.time_ns()
    logger.emit(
        LogRecord(
            timestamp=now,
            observed_timestamp=now,
            context=trace.set_span_in_context(trace.NonRecordingSpan(judged), get_current()),
            event_name=semconv.EVALUATION_EVENT,
            attributes=attributes,
        )
    )


def _identity(judged: Any) -> dict[str, Any]:
    """Tenant, user and the rest of the judged span, else of the current context; and the response that was judged."""
    from spanledger._identity import current  # noqa: PLC0415  # keeps this module's imports those of the logs SDK

    entry = current()
    known = dict(entry.attributes) if entry else {}
    names = (semconv.TENANT_ID, semconv.USER_ID, semconv.SESSION_ID, semconv.USE_CASE, semconv.RESPONSE_ID)
    said = getattr(judged, "attributes", None) or {}
    return known | {key: said[key] for key in names if key in said}


def _logger() -> Any:
    pipeline = runtime.pipeline
    if pipeline is None:
        runtime.configure({})
        pipeline = runtime.pipeline
    with _lock:
        if id(pipeline) not in _loggers:
            processor = BatchLogRecordProcessor(_LogExporter(pipeline), schedule_delay_millis=1000)
            provider = LoggerProvider(shutdown_on_exit=False)
            provider.add_log_record_processor(processor)
            pipeline.beside.append(processor)
            _loggers.clear()
            _loggers[id(pipeline)] = provider.get_logger("spanledger")
        return _loggers[id(pipeline)]
