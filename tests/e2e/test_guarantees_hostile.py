"""G8 and G9: bombs cost bounded memory, poison costs only itself, and neither costs anybody else anything."""

import gzip
import json
import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from tests.e2e.conftest import Load, Server, Tools

pytestmark = pytest.mark.timeout(1800)  # for the full length on a busy machine

MIB = 1024 * 1024
CAP = 64 * MIB
NOW = 1_790_000_000 * 10**9


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field of the wire format."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def in_request(*spans: bytes) -> bytes:
    return field(1, field(2, b"".join(field(2, span) for span in spans)))


def span_of(number: int, *attributes: bytes) -> bytes:
    """Return a good span with some attributes in wire format."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="bomb"
    )  # fmt: skip
    span.start_time_unix_nano, span.end_time_unix_nano = NOW, NOW + 1
    return span.SerializeToString() + b"".join(field(9, one) for one in attributes)


def attribute(key: bytes, value: bytes) -> bytes:
    """Return a KeyValue; ``value`` is an AnyValue in wire format."""
    return field(1, key) + field(2, value)


def nested(depth: int) -> bytes:
    value = field(1, b"deep")
    for _ in range(depth):
        value = field(5, field(1, value))
    return value


def zeros(mib: int) -> bytes:
    """Return gzip of so many MiB of zeros, made of one member."""
    return gzip.compress(bytes(mib * MIB), 9)


Bomb = tuple[Callable[[], bytes], str, set[int]]
BOMBS: dict[str, Bomb] = {
    "gzip 1000:1": (lambda: zeros(256), "gzip", {413}),
    "gzip of many members": (lambda: gzip.compress(b"") * 200_000, "gzip", {400, 413, 200}),
    "gzip twice": (lambda: gzip.compress(gzip.compress(bytes(MIB))), "gzip", {400}),
    "100 MB": (lambda: bytes(100_000_000), "", {413}),
    "1M empty spans": (lambda: gzip.compress(field(1, field(2, b"\x12\0" * 1_000_000))), "gzip", {413}),
    "1M empty resources": (lambda: gzip.compress(b"\x0a\0" * 1_000_000), "gzip", {200, 413}),
    "1M attributes": (lambda: gzip.compress(in_request(span_of(1, *[b""] * 1_000_000))), "gzip", {200}),
    "10 MB string": (lambda: in_request(span_of(2, attribute(b"k", field(1, b"x" * 10_000_000)))), "", {200}),
    "depth 100": (lambda: in_request(span_of(3, attribute(b"k", nested(100)))), "", {200}),
    "depth 10,000": (lambda: in_request(span_of(4, attribute(b"k", nested(10_000)))), "", {200}),
    "30 MB of fields that mean nothing": (lambda: b"\x7a\0" * 15_000_000, "", {200, 413}),
}


@pytest.fixture
def neighbours(server: "Server", tools: "Tools") -> "Load":
    return tools.load(server, workers=2)


@pytest.mark.slow
def test_g8_bombs_cost_bounded_memory_and_harm_nobody(server: "Server", tools: "Tools", neighbours: "Load") -> None:
    neighbours.start()
    neighbours.wait_for(20)
    growth: dict[str, int] = {}
    for name, (make, encoding, expected) in BOMBS.items():
        body = make()
        before = server.rss()
        server.forget_peak()
        headers = {"content_encoding": encoding} if encoding else {}
        answers = [server.post(body, **headers) for _ in range(2)]
        if not encoding:
            code, _ = server.call(body)
            assert code in {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT}
        growth[name] = (server.peak() - before) // MIB
        assert {answer.status for answer in answers} <= expected, (name, answers)
        neighbours.wait_for(5)
    neighbours.stop()
    assert set(neighbours.statuses) == {200}
    neighbours.check()
    worst = max(growth, key=lambda name: growth[name])
    # Twice the cap for the body itself, and what the neighbours' own requests and the database need meanwhile.
    assert growth[worst] <= 2 * CAP // MIB + 96, growth
    tools.report("G8", bombs=len(BOMBS), worst=worst, growth_mib=growth[worst])


@pytest.mark.slow
def test_g8_many_bombs_at_once_are_bounded_together(server: "Server", tools: "Tools", neighbours: "Load") -> None:
    body = zeros(200)
    neighbours.start()
    neighbours.wait_for(10)
    before = server.rss()
    server.forget_peak()
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(server.post(body, content_encoding="gzip").status))
        for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    growth = (server.peak() - before) // MIB
    neighbours.wait_for(10)
    neighbours.stop()
    assert set(statuses) <= {413, 503}
    assert set(neighbours.statuses) <= {200, 503}
    neighbours.check()
    # Two are decompressed at a time, up to the cap each.
    assert growth <= 2 * CAP // MIB + 128
    tools.report("G8 24 at once", growth_mib=growth)


GOOD = 5


def poisoned(spoil: Callable[[Any], None], name: str) -> ExportTraceServiceRequest:
    """Return five good spans around a spoiled one; the good ones have the session of that name."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for index in range(GOOD + 1):
        number = abs(hash((name, index))) % 2**60 + 1
        span = scope.spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="chat gpt-4o"
        )
        span.start_time_unix_nano, span.end_time_unix_nano = NOW, NOW + 10**9
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="gen_ai.response.model").value.string_value = "gpt-4o"
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 10
        if index == 2:
            spoil(span)
        else:
            span.attributes.add(key="session.id").value.string_value = name
    return request


def put(key: str, **value: Any) -> Callable[[Any], None]:
    """Replace an attribute by one of this kind and value."""

    def spoil(span: Any) -> None:
        kept = [one for one in span.attributes if one.key != key]
        del span.attributes[:]
        span.attributes.extend(kept)
        kind, content = next(iter(value.items()))
        setattr(span.attributes.add(key=key).value, f"{kind}_value", content)

    return spoil


def change(**fields: Any) -> Callable[[Any], None]:
    def spoil(span: Any) -> None:
        for name, value in fields.items():
            setattr(span, name, value)

    return spoil


INPUT = "gen_ai.usage.input_tokens"
POISON: dict[str, tuple[Callable[[Any], None], int]] = {
    "zero ids": (change(trace_id=bytes(16), span_id=bytes(8)), 1),
    "short ids": (change(trace_id=b"x" * 8, span_id=b"x" * 4), 1),
    "no ids": (change(trace_id=b"", span_id=b""), 1),
    "no times": (change(start_time_unix_nano=0, end_time_unix_nano=0), 1),
    "times of 2^64-1": (change(start_time_unix_nano=2**64 - 1, end_time_unix_nano=2**64 - 1), 1),
    "end of 2^64-1": (change(end_time_unix_nano=2**64 - 1), 0),
    "negative duration": (change(end_time_unix_nano=NOW - 10**12), 0),
    "10k-character name": (change(name="n" * 10_000), 0),
    "NUL in the name": (change(name="a\0b"), 0),
    "enum of the future": (change(kind=99), 0),
    "tokens are a text": (put(INPUT, string="abc"), 0),
    "tokens are negative": (put(INPUT, int=-1), 0),
    "tokens are 2^63-1": (put(INPUT, int=2**63 - 1), 0),
    "tokens are 1e308": (put(INPUT, double=1e308), 0),
    "tokens are NaN": (put(INPUT, double=math.nan), 0),
    "tokens are infinite": (put(INPUT, double=math.inf), 0),
    "tokens are true": (put(INPUT, bool=True), 0),
    "tokens are bytes": (put(INPUT, bytes=b"\xff"), 0),
    "cost is NaN": (put("gen_ai.usage.cost", double=math.nan), 0),
    "cost is 1e308": (put("gen_ai.usage.cost.amount", double=1e308), 0),
    "__proto__": (put("__proto__.polluted", string="yes"), 0),
    "constructor": (put("constructor.prototype.x", string="yes"), 0),
    "SQL in a key": (put("x'); DROP TABLE priv.spans; --", string="'; DELETE FROM priv.spans; --"), 0),
    "SQL in a tenant": (put("tenant.id", string="a'; DROP VIEW ledger.spans; --"), 0),
    "HTML in a model": (put("gen_ai.request.model", string="<script>alert(1)</script>"), 0),
    "empty key": (put("", string="x"), 0),
    "path in a key": (put("../../etc/passwd", string="x"), 0),
    "duplicate keys": (lambda span: span.attributes.extend([span.attributes[1]] * 50), 0),
}


@pytest.fixture
def raw_utf8() -> bytes:
    request = poisoned(change(name="MARK"), "utf8").SerializeToString()
    return request.replace(b"MARK", b"\xff\xfe\xfd\xfc")


@pytest.mark.slow
def test_g9_poison_costs_only_itself(server: "Server", tools: "Tools", raw_utf8: bytes) -> None:
    rejected = 0
    for name, (spoil, refused) in POISON.items():
        body = poisoned(spoil, f"http {name}").SerializeToString()
        answer = server.post(body)
        assert answer.status == 200, (name, answer)
        assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == refused, name
        code, response = server.call(poisoned(spoil, f"grpc {name}").SerializeToString())
        assert code == grpc.StatusCode.OK, name
        assert ExportTraceServiceResponse.FromString(response).partial_success.rejected_spans == refused, name
        rejected += 2 * refused
    answer = server.post(raw_utf8)
    assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 1
    server.wait_until_stored()
    counts = {row["session_id"]: row["n"] for row in server.query(
        "SELECT session_id, count(*) AS n FROM llm_calls WHERE session_id IS NOT NULL GROUP BY 1"
    )}  # fmt: skip
    assert counts == {f"{way} {name}": GOOD for way in ("http", "grpc") for name in POISON} | {"utf8": GOOD}
    letters = server.get("/api/v1/ingest/rejected").json()["items"]
    assert sum(row["count"] for row in letters) == rejected + 1
    assert all(row["reason"] for row in letters)
    totals = server.one(
        "SELECT sum(cost_usd) AS cost, sum(input_tokens) AS tokens FROM llm_calls WHERE session_id <> ''"
    )
    assert totals["tokens"] == 10 * GOOD * (2 * len(POISON) + 1)
    for path in (
        "/api/v1/calls?limit=500",
        "/api/v1/usage?by=tenant,model",
        "/metrics",
        "/api/v1/query?sql=SELECT%201",
    ):
        assert server.get(path).status == 200, path
    tools.report("G9", poisons=2 * len(POISON) + 1, good_spans_lost=0, rejected=rejected + 1)


JSON_POISON: dict[str, Any] = {
    "lone surrogate": {"name": "\ud800"},
    "deep": {"attributes": [{"key": "k", "value": {"arrayValue": {"values": [{"arrayValue": {"values": []}}]}}}]},
    "wrong types": {"attributes": "none"},
    "kind is a name": {"kind": "SPAN_KIND_CLIENT"},
    "times are floats": {"startTimeUnixNano": 1.5e18},
    "ids are numbers": {"traceId": 5},
    "ids are not hex": {"spanId": "zzzzzzzzzzzzzzzz"},
    "NaN": {"attributes": [{"key": "k", "value": {"doubleValue": "NaN"}}]},
    "null": {"name": None, "attributes": None, "events": None},
    "__proto__": {"__proto__": {"polluted": True}, "constructor": {"prototype": 1}},
}


@pytest.mark.slow
def test_g9_poison_in_json_costs_only_itself(server: "Server", tools: "Tools") -> None:
    for number, (name, changes) in enumerate(JSON_POISON.items(), 1):
        good = [{
            "traceId": f"{number:032x}", "spanId": f"{index:016x}", "name": "chat",
            "startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW + 1),
            "attributes": [{"key": "good", "value": {"stringValue": name}}],
        } for index in range(1, GOOD + 1)]  # fmt: skip
        bad = {**good[0], "spanId": f"{99:016x}", **changes}
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [*good, bad]}]}]})
        answer = server.post(body.encode(), media="application/json")
        assert answer.status == 200, (name, answer)
        assert int(answer.json().get("partialSuccess", {}).get("rejectedSpans", 0)) <= 1, name
    server.wait_until_stored()
    rows = server.query("SELECT trace_id, count(*) AS n FROM spans WHERE span_id <> '0000000000000063' GROUP BY 1")
    assert {row["trace_id"]: row["n"] for row in rows} == {
        f"{number:032x}": GOOD for number in range(1, len(JSON_POISON) + 1)
    }
    tools.report("G9 JSON", poisons=len(JSON_POISON), good_spans_lost=0)
