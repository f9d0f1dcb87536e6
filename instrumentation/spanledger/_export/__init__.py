"""The exporter: spans over OTLP/HTTP, kept on disk while the receiver is away.

The seam, for whoever builds the tracer provider::

    exporter = SpoolingExporter(
        endpoint="http://127.0.0.1:4318",              # base address; /v1/traces and /v1/logs are added
        headers={"authorization": "Bearer ..."},       # sent, never stored, never logged
        spool_dir=spool_path(cache_home, service, endpoint),  # None: memory only
        spool_max_bytes=64 * 2**20,                    # oldest dropped first beyond it, and counted
        timeout=10.0,                                  # seconds for one request
        clock=..., transport=...,                      # for tests; HttpTransport(ca_file=...) for private authorities
    )
    BatchSpanProcessor(exporter)                       # export() belongs on its worker thread

``exporter.stats`` is a snapshot of the counters, ``exporter.send_logs(request, records)`` sends an encoded
``ExportLogsServiceRequest`` the same way, ``force_flush`` and ``shutdown`` are bounded in time.

When does a batch touch the disk? As long as requests succeed, never: the batch is handed to the sender thread and is
delivered before the next one comes. A batch is written to the spool *before* it is sent when the receiver has not yet
proved itself (the first batch of a process), when the last attempt failed, when older batches still wait, and as soon
as a request takes longer than a second. So whatever ends the process, ``kill -9`` included, at most the one batch of a
request younger than a second is lost, and only if the request before it had succeeded. An exit during an outage
leaves everything on disk: the next process with the same spool directory adopts and delivers it. There is no fsync: the
page cache survives the process; a crash of the machine may cost the last seconds.

Delivery is at least once. A receiver tells duplicates by trace and span id.
"""

from spanledger._export.exporter import SpoolingExporter, spool_path
from spanledger._export.stats import ExportStats
from spanledger._export.transport import HttpTransport, Response, Transport

__all__ = ["ExportStats", "HttpTransport", "Response", "SpoolingExporter", "Transport", "spool_path"]
