"""What an answer means, and how long to wait before asking again (OTLP 1.11, "OTLP/HTTP Response")."""

import random
from dataclasses import dataclass

from spanledger._export.clock import Clock
from spanledger._export.transport import Response

_RETRYABLE = frozenset({429, 502, 503, 504})
_MAX_RETRY_AFTER = 600.0
"""Seconds; a receiver that asks for more is asked again after ten minutes."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Taken; ``rejected`` spans of it were refused one by one, ``message`` says why."""

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused for good: the specification forbids to send it again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Not taken now; worth another attempt, after ``retry_after`` seconds if the receiver named a time."""

    reason: str
    retry_after: float | None = None


Outcome = Delivered | Refused | Failed


def judge(response: Response, clock: Clock) -> Outcome:
    """Turn an HTTP answer into an outcome."""
    if 200 <= response.status < 300:
        return _partial_success(response)
    if response.status in _RETRYABLE:
        return Failed(f"HTTP {response.status}", _retry_after(response.headers.get("retry-after"), clock))
    return Refused(f"HTTP {response.status}{_hint(response)}")


def _hint(response: Response) -> str:
    if response.status in {401, 403}:
        return ": check the API key"
    if response.status == 404:
        return ": check the endpoint"
    if 300 <= response.status < 400:
        return f": redirected to {response.headers.get('location', 'nowhere')!r}; set that endpoint"
    text = _status_message(response)
    return f": {text}" if text else ""


def _is_protobuf(response: Response) -> bool:
    return bool(response.body) and "protobuf" in response.headers.get("content-type", "")


def _status_message(response: Response) -> str:
    """Return the message of a google.rpc.Status body; field 2 is all we read of it."""
    if not _is_protobuf(response):
        return ""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 -- see transport.py
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # noqa: PLC0415 -- only after an error

    try:
        return str(Status.FromString(response.body).message)[:500]
    except DecodeError:
        return ""


def _partial_success(response: Response) -> Delivered:
    if not _is_protobuf(response):
        return Delivered()
    from google.protobuf.message import DecodeError  # noqa: PLC0415 -- see transport.py
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415 -- loaded by the encoder

    try:  # the answers for logs have the same field numbers
        partial = trace_service_pb2.ExportTraceServiceResponse.FromString(response.body).partial_success
    except DecodeError:
        return Delivered()
    return Delivered(max(0, partial.rejected_spans), partial.error_message[:500])


def _retry_after(value: str | None, clock: Clock) -> float | None:
    """Return the seconds that a Retry-After header asks for, a number or an HTTP date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    seconds = float(value) if value.strip().isdecimal() else _seconds_until(value, clock)
    return None if seconds is None else min(max(0.0, seconds), _MAX_RETRY_AFTER)


def _seconds_until(date: str, clock: Clock) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 -- loaded with http.client, see transport.py

    try:
        return parsedate_to_datetime(date).timestamp() - clock.now()
    except ValueError:
        return None


class Backoff:
    """Exponential waits with jitter, so that a thousand clients do not return in step."""

    def __init__(self, rng: random.Random, first: float = 1.0, longest: float = 30.0) -> None:
        self._rng = rng
        self._first = first
        self._longest = longest
        self._failures = 0

    def next(self) -> float:
        """Return the seconds to wait after one more failure: half to all of 1, 2, 4, ... 30."""
        wait = min(self._longest, self._first * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return wait * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._failures = 0
