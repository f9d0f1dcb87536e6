"""What is acknowledged before it is decoded is what decoding takes as a whole."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_ingest.errors import IngestError
from spanledger_ingest.otlp import DEFAULT_LIMITS, Limits, count_sound_spans, decode

T0 = 1_790_000_000_000_000_000
SPANS = 120


def request(changes: dict[int, dict[str, Any]] | None = None) -> ExportTraceServiceRequest:
    """More than 64 KiB of sound spans, some of them changed."""
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for number in range(1, SPANS + 1):
        span = scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="n" * 600)
        span.start_time_unix_nano = span.end_time_unix_nano = T0
        for name, value in (changes or {}).get(number, {}).items():
            setattr(span, name, value)
    return message


def test_sound_spans_are_counted() -> None:
    body = request().SerializeToString()
    assert count_sound_spans(body, DEFAULT_LIMITS) == SPANS
    assert len(decode("traces", body, "protobuf", "").items) == SPANS


@pytest.mark.parametrize(
    "change",
    [
        {"trace_id": b""},
        {"trace_id": bytes(16)},
        {"trace_id": b"x" * 15},
        {"span_id": bytes(8)},
        {"span_id": b"x" * 9},
        {"start_time_unix_nano": 0, "end_time_unix_nano": 0},
        {"start_time_unix_nano": 2**64 - 1, "end_time_unix_nano": 5},
        {"name": "x" * 70_000},
    ],
)
def test_any_doubt_is_left_to_the_decoder(change: dict[str, Any]) -> None:
    assert count_sound_spans(request({SPANS: change}).SerializeToString(), DEFAULT_LIMITS) is None


def test_small_large_and_empty_requests_are_left_to_the_decoder() -> None:
    body = request().SerializeToString()
    assert count_sound_spans(body[:1000], DEFAULT_LIMITS) is None
    assert count_sound_spans(b"", DEFAULT_LIMITS) is None
    assert count_sound_spans(body, Limits(max_items=SPANS - 1)) is None
    assert count_sound_spans(b"\x12\x00" * 40_000, DEFAULT_LIMITS) is None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), max_size=4), st.booleans())
def test_whatever_is_in_it_a_count_is_what_decoding_takes(damages: list[tuple[int, bytes]], cut: bool) -> None:  # noqa: FBT001 - drawn
    body = bytearray(request().SerializeToString())
    for place, noise in damages:
        at = place % len(body)
        body[at : at + len(noise)] = noise
    sent = bytes(body[:-3]) if cut else bytes(body)
    count = count_sound_spans(sent, DEFAULT_LIMITS)
    if count is None:
        return
    try:
        decoded = decode("traces", sent, "protobuf", "")
    except IngestError as error:
        pytest.fail(f"acknowledged and then refused: {error}")
    assert (len(decoded.items), decoded.rejected, decoded.warning) == (count, 0, "")
