"""Health, readiness and the service's own metrics."""

from collections.abc import Callable, Iterable
from typing import Final

from fastapi import APIRouter, Response

from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._problems import problem
from spanledger_ingest.api._prometheus import Metric, render
from spanledger_ingest.pipeline import Stats

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


def operations_routes(stats: Callable[[], Stats], extra: Callable[[], Iterable[Metric]]) -> APIRouter:
    """Return the routes outside ``/api``; ``extra`` adds metrics to those of the intake."""
    router = APIRouter(tags=["operations"])

    @router.head("/healthz", dependencies=[requires("public")], include_in_schema=False)
    @router.get("/healthz", dependencies=[requires("public")])
    def healthz() -> Response:
        """Tells that the process answers."""
        return json_response({"status": "ok"})

    @router.head("/readyz", dependencies=[requires("public")], include_in_schema=False)
    @router.get("/readyz", dependencies=[requires("public")])
    def readyz() -> Response:
        """Tells whether spans are taken: 200, or 503 while the journal is replayed or the service stops."""
        if stats().ready:
            return json_response({"status": "ready"})
        return problem(503, "starting or stopping; spans are not taken now", {"retry-after": "1"})

    @router.get("/metrics", dependencies=[requires("ops:read")])
    def metrics() -> Response:
        """The service's own metrics in Prometheus' text format."""
        return Response(render([*_intake_metrics(stats()), *extra()]), media_type=_TEXT)

    return router


def _intake_metrics(stats: Stats) -> Iterable[Metric]:
    requests = [({"signal": signal, "outcome": outcome}, n) for (signal, outcome), n in stats.requests.items()]
    yield Metric("spanledger_requests_total", "counter", "OTLP requests by signal and outcome.", requests)
    accepted = [({"signal": signal}, n) for signal, n in stats.accepted_items.items()]
    yield Metric("spanledger_accepted_items_total", "counter", "Spans, log records and points taken.", accepted)
    rejected = [({"signal": signal, "reason": reason}, n) for (signal, reason), n in stats.rejected_items.items()]
    yield Metric(
        "spanledger_rejected_items_total", "counter", "Spans, log records and points refused, by reason.", rejected
    )
    yield Metric.single(
        "spanledger_foreign_items_total",
        "counter",
        "Items that named another tenant than their credential does.",
        stats.foreign_items,
    )
    yield Metric.single("spanledger_received_bytes_total", "counter", "Bytes of OTLP bodies.", stats.received_bytes)
    yield Metric.single("spanledger_backlog_bytes", "gauge", "Journal not yet stored.", stats.backlog_bytes)
    yield Metric.single("spanledger_lag_seconds", "gauge", "Age of the oldest request not stored.", stats.lag_seconds)
    yield Metric.single("spanledger_journal_end_bytes", "gauge", "End of the journal.", stats.journal_end)
    yield Metric.single("spanledger_journal_stored_bytes", "gauge", "Journal known to be stored.", stats.journal_stored)
    yield Metric.single("spanledger_journal_damages", "gauge", "Damaged places found in the journal.", stats.damages)
    yield Metric.single("spanledger_ready", "gauge", "1 while spans are taken.", int(stats.ready))
    writer = stats.writer
    stored = {"spans": writer.stored_spans, "logs": writer.stored_logs, "metrics": writer.stored_metrics}
    by_signal = [({"kind": kind}, number) for kind, number in stored.items()]
    yield Metric("spanledger_stored_rows_total", "counter", "Rows written to the store.", by_signal)
    yield Metric.single(
        "spanledger_duplicate_spans_total", "counter", "Spans that were stored already.", writer.duplicate_spans
    )
    yield Metric.single("spanledger_dead_letters_total", "counter", "Rejections stored.", writer.dead_letters)
    yield Metric.single("spanledger_store_failures_total", "counter", "Failed tries to store.", writer.store_failures)
    commits = writer.commit_seconds.distribution()
    yield Metric.histogram("spanledger_commit_seconds", "How long the store takes for a batch.", commits)
