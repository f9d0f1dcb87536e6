"""A service that is killed while it takes spans loses nothing that it acknowledged, and counts nothing twice."""

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SPANS = 20
DEADLINE = 60


def request(number: int) -> bytes:
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    now = time.time_ns()
    for index in range(SPANS):
        digest = sha256(f"{number} {index}".encode()).digest()
        span = scope.spans.add(trace_id=digest[:16], span_id=digest[16:24], name="chat gpt-4o", kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = now, now + 10**9
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.response.model": "gpt-4o",
            "gen_ai.response.id": digest.hex(),
        }
        for key, value in texts.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 10
        span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 1
    return message.SerializeToString()


@contextmanager
def serving(data: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    program = str(Path(sys.executable).parent / "spanledger")
    command = [program, "serve", "--data", str(data), "--port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline().rsplit(":", 1)[1])
        finally:
            process.kill()


def get(port: int, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, json.loads(body)


def send(port: int, first: int, count: int) -> int:
    """Send so many requests; return how many were acknowledged."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    acknowledged = 0
    for number in range(first, first + count):
        connection.request("POST", "/v1/traces", request(number), {"content-type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        acknowledged += response.status == 200
    connection.close()
    return acknowledged


@pytest.mark.slow
def test_killed_services_lose_nothing_acknowledged_and_count_nothing_twice(tmp_path: Path) -> None:
    acknowledged = 0
    for round_ in range(3):
        with serving(tmp_path) as (process, port):
            acknowledged += send(port, round_ * 100, 100)
            send(port, round_ * 100, 20)  # a client that did not hear the answer repeats itself
            process.kill()
    assert acknowledged == 300
    with serving(tmp_path) as (process, port):
        until = time.monotonic() + DEADLINE
        while get(port, "/readyz")[0] != 200:
            assert time.monotonic() < until
            time.sleep(0.05)  # between polls; nothing is measured
        sql = "select count(*) as calls, count(distinct span_id) as spans, sum(cost_usd) as cost from llm_calls"
        sql += " where billable"
        status, answer = get(port, "/api/v1/query?" + urllib.parse.urlencode({"sql": sql}))
        assert status == 200
        (row,) = answer["items"]
        assert (row["calls"], row["spans"]) == (300 * SPANS, 300 * SPANS)
        assert float(row["cost"]) == pytest.approx(300 * SPANS * (10 * 2.5e-6 + 1 * 10e-6))
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
