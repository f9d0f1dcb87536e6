"""G10, G11 and G13: many names, slow clients and a long time cost bounded memory, and nobody else anything."""

import socket
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Tools

pytestmark = pytest.mark.timeout(3600)  # for the full length on a busy machine

MIB = 1024 * 1024


def distinct(first: int, count: int) -> bytes:
    """Return calls of which each has a model, a tenant and a use case of its own."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now = time.time_ns()
    for number in range(first, first + count):
        span = scope.spans.add(
            trace_id=(number + 1).to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"), name="chat"
        )  # fmt: skip
        span.start_time_unix_nano, span.end_time_unix_nano = now, now + 10**9
        texts = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": f"provider-{number}",
            "gen_ai.response.model": f"model-{number}", "tenant.id": f"tenant-{number}",
            "spanledger.use_case": f"case-{number}",
        }  # fmt: skip
        for key, value in texts.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 1
    return request.SerializeToString()


@pytest.mark.slow
def test_g10_very_many_names_are_bounded(server: "Server", tools: "Tools") -> None:
    total, size = tools.rounds(20_000, 100_000), 2_000
    assert server.post(distinct(10**6, size)).status == 200
    server.wait_until_stored()
    series = server.metrics().keys()
    before = server.rss()
    server.forget_peak()
    for first in range(0, total, size):
        while server.post(distinct(first, size)).status != 200:
            time.sleep(0.1)  # it asked for a little time
    server.wait_until_stored()
    grown = server.metrics().keys() - series  # a rule is counted from its first evaluation on
    assert len(grown) <= 25, f"names of users became names of metrics: {sorted(grown)[:20]}"
    for by in ("model", "tenant", "tenant,model,provider,use_case"):
        answer = server.get(f"/api/v1/usage?by={by}&limit=100")
        assert (answer.status, len(answer.json()["items"]), answer.json()["truncated"]) == (200, 100, True)
    counts = server.one("SELECT count(*) AS calls, count(DISTINCT tenant_id) AS tenants FROM llm_calls")
    assert counts == {"calls": total + size, "tenants": total + size}
    growth = (server.peak() - before) // MIB
    assert growth < 600, "20,000 items of a transaction and the database's own memory; not more with more names"
    tools.report("G10", names=4 * total, growth_mib=growth)


def stalled(port: int, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=90)
    client.sendall(sent)
    return client


@pytest.mark.slow
def test_g11_slow_clients_are_cut_and_cost_the_others_nothing(server: "Server", tools: "Tools") -> None:
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n"
    load = tools.load(server)
    load.start()
    load.wait_for(20)
    files = server.files()
    slow = [stalled(server.port, head + b"\r\n" + bytes(10)) for _ in range(200)]
    slow += [stalled(server.port, head) for _ in range(100)]
    slow += [stalled(server.port, b"") for _ in range(50)]
    load.wait_for(50)
    answers = []
    for client in slow:
        answers.append(client.recv(1000)[:12])  # waits until it is cut; pytest-timeout if it never is
        client.close()
    load.wait_for(20)
    load.stop()
    assert set(answers[:200]) == {b"HTTP/1.1 503"}
    assert set(answers[200:]) <= {b"", b"HTTP/1.1 408"}
    assert set(load.statuses) == {200}
    load.check()
    tools.wait_until(lambda: server.files() <= files + 10, "closed connections")
    tools.report("G11", stalled=len(slow), cut=len(answers), refused_to_others=0)


@pytest.mark.slow
def test_g13_a_long_time_of_load_does_not_grow(server: "Server", tools: "Tools") -> None:
    load = tools.load(server)
    load.start()
    load.wait_for(100)
    sizes: list[int] = []
    files: list[int] = []
    until = time.monotonic() + tools.rounds(25, 1800)
    while time.monotonic() < until:
        time.sleep(0.25)  # between samples
        assert server.get("/api/v1/usage?by=tenant").status == 200
        sizes.append(server.rss())
        files.append(server.files())
    load.stop()
    assert set(load.statuses) == {200}
    third = len(sizes) // 3
    first, last = statistics.median(sizes[third : 2 * third]), statistics.median(sizes[-third:])
    figures = load.check()
    spans = figures["stored"]
    assert max(files[-third:]) <= max(files[:third]) + 5
    # The database keeps its log in memory until the next checkpoint at 128 MiB, so a short run may still grow by that.
    assert last - first < 128 * MIB + 0.1 * first
    after = server.metrics()
    assert (after["spanledger_backlog_bytes"], after["spanledger_store_failures_total"]) == (0, 0)
    tools.report(
        "G13", seconds=tools.rounds(25, 1800), spans=spans, rss_mib_middle=int(first / MIB), rss_mib_end=int(last / MIB)
    )
