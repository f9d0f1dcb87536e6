"""The rules by which both decoders clean values, so that the same telemetry is the same in JSON and protobuf.

Times are clean when they lie between 1990 and 2262 (what an int64 of nanoseconds, and the store, can hold). A value
that can be mended without guessing is mended; only an item without identity or without any usable time is rejected.
"""

import math
from typing import Final

from spanledger_analytics.records import SpanKind, SpanStatus

OLDEST_NS: Final = 631_152_000 * 10**9
"""1990-01-01T00:00:00Z."""
NEWEST_NS: Final = 9_214_646_400 * 10**9
"""2262-01-01T00:00:00Z, shortly before an int64 of nanoseconds ends."""

REPLACEMENT: Final = "\ufffd"
"""Stands for characters that cannot be stored: NUL and lone surrogates."""

KINDS: Final[tuple[SpanKind, ...]] = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES: Final[tuple[SpanStatus, ...]] = ("unset", "ok", "error")

MAX_INT64: Final = 2**63 - 1
MIN_INT64: Final = -(2**63)


class Rejected(Exception):  # noqa: N818 - control flow inside the decoder, never seen outside
    """One item cannot be taken; the text says why."""


def usable_time(time_ns: int) -> int:
    """Return the time if it is one, else 0."""
    return time_ns if OLDEST_NS <= time_ns < NEWEST_NS else 0


def clean_text(text: str, longest: int) -> str:
    """Cut the text to ``longest`` characters and replace NUL, which PostgreSQL clients cannot carry."""
    return text[:longest].replace("\0", REPLACEMENT)


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 text can hold; pairs become the character they stand for."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def safe_double(number: float) -> float | str:
    """Return the number, or its OTLP/JSON text if it is not finite: NaN poisons every sum it takes part in."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def finite(number: float) -> float | None:
    """Return the number, or ``None`` if it is not finite."""
    return number if math.isfinite(number) else None


def kind_of(number: int) -> SpanKind:
    """Return the kind of span by its OTLP number; numbers of the future are unspecified."""
    return KINDS[number] if 0 <= number < len(KINDS) else "unspecified"


def status_of(number: int) -> SpanStatus:
    """Return the status by its OTLP number; numbers of the future are unset."""
    return STATUSES[number] if 0 <= number < len(STATUSES) else "unset"
