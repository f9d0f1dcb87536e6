"""Nothing is lost and nothing doubled while the service, or the Collector before it, is killed again and again.

``SPANLEDGER_LONG_TESTS=1`` sends 100,000 spans instead of 20,000.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Start = Callable[..., Any]

GATEWAY = Path(__file__).resolve().parents[2] / "deploy" / "otelcol.yaml"
LONG = os.environ.get("SPANLEDGER_LONG_TESTS") == "1"
TRACES = 50_000 if LONG else 10_000
"""telemetrygen makes two spans of each."""
KILLS = 10 if LONG else 5


def durable(endpoint: str) -> dict[str, Any]:
    """The queue of deploy/otelcol.yaml: on disk, synchronous, retried for ever."""
    exporter = {
        "endpoint": endpoint,
        "compression": "zstd",
        "sending_queue": {
            "storage": "file_storage",
            "sizer": "items",
            "queue_size": 1_000_000,
            "batch": {"flush_timeout": "100ms", "min_size": 500, "max_size": 1000},
        },
        "retry_on_failure": {"initial_interval": "100ms", "max_interval": "1s", "max_elapsed_time": "0s"},
    }
    storage = {"directory": "${env:OTELCOL_QUEUE}", "create_directory": True, "fsync": True}
    metrics = {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": "${env:OTELCOL_METRICS_PORT}"}}}}
    protocols = {"grpc": {"endpoint": "${env:OTELCOL_GRPC}"}, "http": {"endpoint": "${env:OTELCOL_HTTP}"}}
    return {
        "extensions": {"health_check": {"endpoint": "${env:OTELCOL_HEALTH}"}, "file_storage": storage},
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"otlp_http": exporter},
        "service": {
            "extensions": ["health_check", "file_storage"],
            "telemetry": {"metrics": {"readers": [metrics]}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp_http"]}},
        },
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_service_loses_and_doubles_nothing_of_telemetrygen(
    start_spanledger: Start, start_collector: Start, telemetrygen: Start, wait: Start
) -> None:
    service = start_spanledger()
    collector = start_collector(GATEWAY, SPANLEDGER_ENDPOINT=service.http, SPANLEDGER_API_KEY="k")
    sender = telemetrygen(collector, f"--traces={TRACES // 4}", "--workers=4", "--rate=500")
    for kill in range(1, KILLS + 1):
        due = kill * TRACES // KILLS
        wait(
            lambda due=due: sender.poll() is not None or collector.metric("otelcol_exporter_sent_spans") >= due,
            f"{due} spans on their way",
            collector,
            seconds=300,
        )
        service.kill()
        service.start()
    assert sender.wait(300) == 0
    accepted = collector.accepted
    assert accepted >= TRACES  # telemetrygen's SDK may drop before it sends, and does not say so
    wait(lambda: service.stored() >= accepted, "all that was accepted is stored", collector, service, seconds=300)
    assert (service.stored(), service.doubled()) == (accepted, 0)
    collector.stop()
    assert service.stored() == accepted


SPANS = 50


def request(number: int) -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "outage"
    scope = resource.scope_spans.add()
    for index in range(SPANS):
        digest = sha256(f"{number} {index}".encode()).digest()
        span = scope.spans.add(trace_id=digest[:16], span_id=digest[16:24], name="chat gpt-4o", kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = 1_790_000_000 * 10**9, 1_790_000_001 * 10**9
        for key, text in {"gen_ai.operation.name": "chat", "gen_ai.response.id": digest.hex()}.items():
            span.attributes.add(key=key).value.string_value = text
    return message.SerializeToString()


def accepts(collector: Any, body: bytes) -> bool:
    headers = {"content-type": "application/x-protobuf"}
    try:
        urllib.request.urlopen(urllib.request.Request(f"{collector.http}/v1/traces", body, headers), timeout=30).close()  # noqa: S310 -- loopback
    except (OSError, urllib.error.URLError):
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_collector_killed_after_our_answer_sends_again_and_nothing_is_doubled(
    start_spanledger: Start, start_collector: Start, start_stub: Start, wait: Start
) -> None:
    service = start_spanledger()
    up, lock = Event(), Lock()
    answers, kills = count(1), count(1)

    def forward(path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Hand on; the Collector is killed after the service has answered and before it hears of that."""
        kept = {name: headers[name] for name in ("content-type", "content-encoding") if name in headers}
        urllib.request.urlopen(urllib.request.Request(service.http + path, body, kept), timeout=30).close()  # noqa: S310 -- loopback
        with lock:
            if up.is_set() and next(answers) % 3 == 0 and next(kills) <= KILLS:
                up.clear()
                collector.kill()
        return 200

    collector = start_collector(durable(start_stub(forward).url))
    up.set()

    def revive() -> None:
        collector.start()
        up.set()

    requests = TRACES // SPANS
    for number in range(requests):
        body = request(number)
        while not accepts(collector, body):
            wait(lambda: not collector.running, "the Collector is down, nothing else refuses")
            revive()

    def done() -> bool:
        if not collector.running:
            revive()
        again = service.metric("spanledger_duplicate_spans") > 0
        return bool(service.stored() >= requests * SPANS and again)

    wait(done, "all is stored, and what was answered before a kill came again", collector, service, seconds=300)
    assert next(kills) > KILLS
    assert (service.stored(), service.doubled()) == (requests * SPANS, 0)
    assert service.metric("spanledger_duplicate_spans") > 0
