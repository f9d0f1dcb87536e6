"""G5 and G6: how often and in which order spans arrive changes no count, no token and no cent."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import IngestConfig, ServerConfig, Settings, StoreConfig

pytestmark = pytest.mark.timeout(1800)  # for the full length on a busy machine

CORPUS = sorted((Path(__file__).parents[1] / "data" / "corpus").glob("*.binpb"))
NOW = 1_790_000_000 * 10**9
SHORT = os.environ.get("SPANLEDGER_FULL") != "1"
HOUR = 3600 * 10**9
QUERIES = tuple(
    f"SELECT {what} ORDER BY ALL"
    for what in (
        (
            "count(*) AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output, sum(cost_usd) AS cost,"
            " sum(cache_read_tokens) AS cached, sum(reasoning_tokens) AS reasoning FROM llm_calls WHERE billable"
        ),
        "* FROM llm_calls",
        "trace_id, span_id, parent_span_id, name FROM spans",
        (
            "date_trunc('hour', time) AS hour, tenant_id, count(*) AS calls, sum(cost_usd) AS cost"
            " FROM llm_calls WHERE billable GROUP BY 1, 2"
        ),
    )
)


def started(data: Path) -> Service:
    """A service that takes and stores, but listens to nobody."""
    config = IngestConfig(commit_seconds=0.01)
    service = build_service(
        Settings(server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=data, threads=1), ingest=config)
    )
    service.writer.start()
    return service


def ledger(data: Path, deliveries: Sequence[Sequence[bytes]]) -> list[Any]:
    """Deliver groups of requests, each group stored before the next; return what the books say then."""
    service = started(data)
    try:
        for group in deliveries:
            for body in group:
                outcome = asyncio.run(service.intake.accept("", "traces", body, encoding="protobuf"))
                assert outcome.kind in {"success", "partial"}, outcome
            service.writer.wait_until_stored()
        store: Any = service.writer._store
        return [store.run_sql(sql).to_pylist() for sql in QUERIES]
    finally:
        service._close()  # it never listened, so it cannot be stopped


@pytest.fixture(scope="module")
def corpus() -> list[bytes]:
    return [path.read_bytes() for path in CORPUS[::3]]


@pytest.fixture(scope="module")
def once(corpus: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    books = ledger(tmp_path_factory.mktemp("once"), [corpus])
    assert books[0][0]["calls"] > 10
    return books


def in_groups(bodies: Sequence[bytes], cuts: Sequence[int]) -> Iterator[Sequence[bytes]]:
    borders = [0, *sorted({cut % len(bodies) for cut in cuts}), len(bodies)]
    for low, high in pairwise(borders):
        yield bodies[low:high]


@pytest.mark.slow
@settings(deadline=None, max_examples=6 if SHORT else 100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_g5_duplicates_in_any_order_change_nothing(
    corpus: list[bytes], once: list[Any], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    times = data.draw(st.lists(st.integers(1, 5), min_size=len(corpus), max_size=len(corpus)))
    sent = data.draw(st.permutations([body for body, count in zip(corpus, times, strict=True) for _ in range(count)]))
    groups = list(in_groups(sent, data.draw(st.lists(st.integers(1, 1000), max_size=4))))
    assert ledger(tmp_path_factory.mktemp("g5"), groups) == once


def call(scope: Any, number: int, start: int, *, parent: bytes = b"") -> bytes:
    """Add a span of a call; return its id."""
    trace, span_id = (number % 7 + 1).to_bytes(16, "big"), (number + 1).to_bytes(8, "big")
    span = scope.spans.add(trace_id=trace, span_id=span_id, parent_span_id=parent, name="chat gpt-4o", kind=3)
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + 10**9
    texts = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.model": "gpt-4o",
        "tenant.id": f"t{number % 3}", "gen_ai.response.id": f"chatcmpl-{number // 2}-{start}",
    }  # fmt: skip
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 100 + number // 2
    span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 10
    return span_id


def late_and_early() -> list[bytes]:
    """Pairs of parent and child around now, 48 hours late, and up to ten minutes in the future; one span a request."""
    starts = [NOW, NOW - 48 * HOUR, NOW + HOUR // 6, NOW - HOUR // 60, NOW - 47 * HOUR]
    requests = []
    for number in range(20):
        parent = b""
        for half in range(2):
            request = ExportTraceServiceRequest()
            scope = request.resource_spans.add().scope_spans.add()
            parent = call(scope, 2 * number + half, starts[number % len(starts)], parent=parent)
            requests.append(request.SerializeToString())
    return requests


@pytest.mark.slow
@settings(deadline=None, max_examples=6 if SHORT else 100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_g6_late_and_out_of_order_spans_come_to_the_same_books(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    in_order = late_and_early()
    expected = ledger(tmp_path_factory.mktemp("order"), [in_order])
    assert expected[0][0]["calls"] == len(in_order) // 2, "of parent and child one is billed"
    shuffled = data.draw(st.permutations(in_order))
    groups = list(in_groups(shuffled, data.draw(st.lists(st.integers(1, 1000), max_size=6))))
    assert ledger(tmp_path_factory.mktemp("g6"), groups) == expected
