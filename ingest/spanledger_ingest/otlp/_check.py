"""Whether a request can be acknowledged before it is decoded.

An acknowledgement says how many items were rejected, so it has to know. For the requests that instrumentations and
Collectors really send, that is known after a look at the identities and times: an eighth of what decoding costs.
"""

from collections.abc import Iterator
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanledger_ingest.errors import BadDataError, TooLargeError
from spanledger_ingest.otlp._clean import usable_time
from spanledger_ingest.otlp._limits import Limits
from spanledger_ingest.otlp._wire import SUSPICIOUS_BYTES, Budget, fields

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_FEWEST_BYTES: Final = 64 * 1024
"""Smaller requests are decoded at once."""


def count_sound_spans(body: bytes, limits: Limits) -> int | None:
    """Return the number of spans if decoding the request will certainly take every one of them.

    Args:
        body: a serialised ExportTraceServiceRequest.
        limits: what decoding will be held to.

    Returns:
        ``None`` if only decoding can tell, or if the request is so small that decoding it costs nothing.
    """
    if len(body) < _FEWEST_BYTES:
        return None
    count = 0
    try:
        for payload in _spans(body, Budget(limits.max_items)):
            if len(payload) > SUSPICIOUS_BYTES or not _is_sound(Span.FromString(bytes(payload))):
                return None
            count += 1
    except (BadDataError, TooLargeError, DecodeError):
        return None
    return count or None


def _spans(body: bytes, budget: Budget) -> Iterator[memoryview]:
    for number, resource_spans in fields(body, budget):
        if number == 1:
            for part, scope_spans in fields(resource_spans, budget):
                if part == 2:
                    for field, payload in fields(scope_spans, budget):
                        if field == 2:
                            yield payload


def _is_sound(span: Span) -> bool:
    trace_id, span_id = span.trace_id, span.span_id
    return (
        len(trace_id) == 16
        and trace_id != _NO_TRACE
        and len(span_id) == 8
        and span_id != _NO_SPAN
        and bool(usable_time(span.start_time_unix_nano) or usable_time(span.end_time_unix_nano))
    )
