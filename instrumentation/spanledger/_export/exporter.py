"""The span exporter that users get: encode, hand over, never raise, never block."""

import functools
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spanledger._export.backlog import Backlog, MemoryQueue
from spanledger._export.clock import Clock, SystemClock
from spanledger._export.parcel import Signal
from spanledger._export.sender import Sender
from spanledger._export.spool import DiskSpool
from spanledger._export.stats import ExportStats
from spanledger._export.transport import HttpTransport, Transport, check_endpoint

_MAX_MEMORY = 16 * 2**20
_MAX_REQUEST = 4 * 2**20
"""Bytes before compression; a bigger batch is split, because receivers refuse what exceeds their cap."""
_EXIT_MILLIS = 3000.0


class SpoolingExporter(SpanExporter):
    """Sends spans to ``<endpoint>/v1/traces`` and keeps them through outages and restarts.

    Args:
        endpoint: Base address of the receiver.
        headers: Sent with every request; where the API key goes.
        spool_dir: Directory for what cannot be delivered yet, shared by any number of processes; ``None`` keeps it in
            memory. See ``spool_path``.
        spool_max_bytes: Cap of the files of one process; the oldest spans go first.
        timeout: Seconds for one request.
        clock: Time, for tests.
        transport: How requests travel, for tests and for private certificates.

    Raises:
        ValueError: The endpoint is not an http or https address, or a header cannot be sent.
    """

    def __init__(
        self,
        endpoint: str = "http://127.0.0.1:4318",
        *,
        headers: Mapping[str, str] | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        spool_max_bytes: int = 64 * 2**20,
        timeout: float = 10.0,
        clock: Clock | None = None,
        transport: Transport | None = None,
    ) -> None:
        clock = clock or SystemClock()
        url = check_endpoint(endpoint)
        _check_headers(headers or {})
        root = None if spool_dir is None else Path(spool_dir)
        self._sender = Sender(
            name=f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}",
            headers=headers or {},
            transport=transport or HttpTransport(endpoint, timeout),
            backlog=functools.partial(_new_backlog, root, spool_max_bytes, clock),
            clock=clock,
        )
        _open_senders.add(self._sender)
        self._sender.start()

    @property
    def stats(self) -> ExportStats:
        """What happened to the spans so far."""
        return self._sender.stats

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver a batch or keep it; never raises. Called on the batch processor's thread."""
        kept = sum(
            len(part) for part, message in self._encode(spans) if self._sender.submit(Signal.TRACES, len(part), message)
        )
        return SpanExportResult.SUCCESS if kept == len(spans) else SpanExportResult.FAILURE

    def _encode(self, spans: Sequence[ReadableSpan]) -> list[tuple[Sequence[ReadableSpan], bytes]]:
        """Return the batch as requests: halved while too big, and until a span that cannot be encoded is alone."""
        try:
            message = encode_spans(spans).SerializeToString()
        except Exception:  # noqa: BLE001 -- attribute values are the application's; the encoder raises what it likes
            message = None
        if message is not None and (len(message) <= _MAX_REQUEST or len(spans) == 1):
            return [(spans, message)]
        if len(spans) <= 1:
            self._sender.drop(len(spans), "an attribute cannot be encoded")
            return []
        middle = len(spans) // 2
        return self._encode(spans[:middle]) + self._encode(spans[middle:])

    def send_logs(self, request: bytes, records: int) -> bool:
        """Send a serialized ``ExportLogsServiceRequest`` the same way; return whether it is delivered or kept.

        Call it from a background thread: like ``export`` it may wait up to a second while the receiver is slow.
        """
        return self._sender.submit(Signal.LOGS, records, request)

    def force_flush(self, timeout_millis: float = 30000) -> bool:
        """Try to deliver all that waits; return whether it was. What was not stays kept."""
        return self._sender.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = _EXIT_MILLIS) -> None:
        """Deliver what ``timeout_millis`` allows, but leave at once when the receiver is away."""
        # The SDK passes what is left of its 30 s at exit; that is longer than a user waits for a prompt.
        self._sender.close(min(timeout_millis, _EXIT_MILLIS) / 1000)
        _open_senders.discard(self._sender)


def spool_path(base: str | os.PathLike[str], service: str, endpoint: str) -> Path:
    """Return the spool directory of a service and an endpoint below ``base``, the user's cache directory."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", service)[:40] or "unknown"
    digest = hashlib.sha256(f"{service}\0{endpoint.rstrip('/')}".encode()).hexdigest()[:12]
    return Path(base) / "spanledger" / f"{readable}-{digest}"


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():  # the message does not quote the value: it may be the API key
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"the value of header {name!r} has a line break or a character outside ASCII")


def _new_backlog(root: Path | None, max_bytes: int, clock: Clock) -> Backlog:
    spool = None if root is None else DiskSpool(root, max_bytes, clock)
    return Backlog(spool, MemoryQueue(min(max_bytes, _MAX_MEMORY)))


_open_senders: set[Sender] = set()


def _reset_in_child() -> None:
    """Close what a forked child inherited, before it can hold the parent's lock beyond the parent's life."""
    for sender in tuple(_open_senders):
        sender.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
