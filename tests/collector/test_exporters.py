"""Every way in which the real Collector can export to the service, and what it does with the service's answers."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Start = Callable[..., Any]

BASE: dict[str, Any] = {
    "extensions": {"health_check": {"endpoint": "${env:OTELCOL_HEALTH}"}},
    "receivers": {
        "otlp": {
            "protocols": {"grpc": {"endpoint": "${env:OTELCOL_GRPC}"}, "http": {"endpoint": "${env:OTELCOL_HTTP}"}}
        }
    },
    "processors": {"batch": {"send_batch_size": 200, "timeout": "200ms"}},
}
METRICS = {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": "${env:OTELCOL_METRICS_PORT}"}}}}


def config(exporter: str, options: Mapping[str, Any], processors: list[str] | None = None) -> dict[str, Any]:
    pipeline = {"receivers": ["otlp"], "processors": processors or [], "exporters": [exporter]}
    service = {
        "extensions": ["health_check"],
        "telemetry": {"metrics": {"readers": [METRICS]}},
        "pipelines": {"traces": pipeline},
    }
    return {**BASE, "exporters": {exporter: options}, "service": service}


def exporting(exporter: str, compression: str, service: Any) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"endpoint": service.http}
    if exporter == "otlp_grpc":
        endpoint = {"endpoint": service.grpc, "tls": {"insecure": True}}
    return config(exporter, {**endpoint, "compression": compression}, ["batch"])


@pytest.mark.parametrize(
    ("exporter", "compression"),
    [*(("otlp_http", name) for name in ("gzip", "zstd", "none")), *(("otlp_grpc", name) for name in ("gzip", "none"))],
)
def test_every_exporter_and_compression_delivers_every_span(
    exporter: str, compression: str, start_spanledger: Start, start_collector: Start, telemetrygen: Start, wait: Start
) -> None:
    service = start_spanledger()
    collector = start_collector(exporting(exporter, compression, service))
    made = telemetrygen(collector, "--traces=500", "--rate=0", "--batch=false")
    assert made.wait(60) == 0
    assert collector.accepted == 1000
    wait(lambda: service.stored() == 1000, "1,000 spans are stored")
    assert (service.doubled(), collector.metric("otelcol_exporter_send_failed_spans")) == (0, 0)


def test_zstd_over_grpc_is_refused_and_the_collector_says_why(
    start_spanledger: Start, start_collector: Start, telemetrygen: Start, wait: Start
) -> None:
    # gRPC's core, under the service, knows gzip and deflate only. The Collector takes that for final and drops.
    service = start_spanledger()
    collector = start_collector(exporting("otlp_grpc", "zstd", service))
    telemetrygen(collector, "--traces=1").wait(60)
    wait(lambda: collector.metric("otelcol_exporter_send_failed_spans") == 2, "the spans are refused")
    assert "grpc-encoding" in collector.log
    assert service.stored() == 0


@pytest.mark.parametrize(("code", "delivered"), [(429, 1), (502, 1), (503, 1), (504, 1), (400, 0), (413, 0), (500, 0)])
def test_what_the_collector_sends_again(
    code: int, delivered: int, start_collector: Start, start_stub: Start, telemetrygen: Start, wait: Start
) -> None:
    """Why the service never answers 500, and 4xx only for what could never be stored."""
    seen: Counter[str] = Counter()
    lock = Lock()

    def answer(_path: str, _headers: Mapping[str, str], body: bytes) -> int:
        with lock:
            for span in ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans:
                seen[span.span_id.hex()] += 1
            return code if max(seen.values()) == 1 else 200

    stub = start_stub(answer)
    options = {
        "endpoint": stub.url,
        "compression": "none",
        "retry_on_failure": {"initial_interval": "50ms", "max_elapsed_time": "0s"},
    }
    collector = start_collector(config("otlp_http", options, ["batch"]))
    telemetrygen(collector, "--traces=1").wait(60)
    done = ("otelcol_exporter_send_failed_spans", "otelcol_exporter_sent_spans")[delivered]
    wait(lambda: collector.metric(done) == 2, done)
    assert set(seen.values()) == {1 + delivered}


def test_a_manifest_of_versions_that_fit() -> None:
    manifest = (Path(__file__).resolve().parents[2] / "deploy" / "collector-builder.yaml").read_text()
    versions = {line.rpartition(" v")[2] for line in manifest.splitlines() if "gomod:" in line}
    assert versions == {"0.161.0", "1.67.0"}
