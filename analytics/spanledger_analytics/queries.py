"""What may be asked of a store: windows, filters, paging, dimensions. Pure values that adapters translate."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from spanledger_analytics.errors import InvalidQueryError

MAX_NS: Final = 2**63 - 1
"""The latest time a store can hold (year 2262)."""

MAX_LIMIT: Final = 10_000
"""The most rows one query returns."""

Dimension = Literal[
    "tenant",
    "user",
    "session",
    "use_case",
    "service",
    "environment",
    "region",
    "provider",
    "model",
    "request_model",
    "response_model",
    "operation",
    "prompt",
    "finish_reason",
    "error_type",
    "status",
    "stream",
    "dialect",
]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
"""What usage can be grouped by. ``model`` is the requested model, or the one that answered where none was requested
by name; ``prompt`` is ``name@version``."""

UsageOrder = Literal["dimensions", "cost", "calls"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400
_WEEK_S: Final = 7 * _DAY_S
_A_MONDAY_S: Final = -3 * _DAY_S  # 1969-12-29, before every span


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open stretch of time ``[from_ns, to_ns)``, by the start of a span."""

    from_ns: int = 0
    to_ns: int = MAX_NS

    def __post_init__(self) -> None:
        if not 0 <= self.from_ns <= self.to_ns <= MAX_NS:
            raise InvalidQueryError(
                f"the window must satisfy 0 <= from <= to <= {MAX_NS} ns, not from={self.from_ns} to={self.to_ns}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Equality filters; ``None`` lets everything through.

    ``owner`` is the caller's scope, the tenant of a credential: set it from the credential, never from a request.
    ``tenant`` is the displayed ``tenant_id``. ``model`` and ``use_case`` mean the dimensions of the same names.
    ``missing`` names fields that a call must not have at all.
    """

    owner: str | None = None
    tenant: str | None = None
    model: str | None = None
    provider: str | None = None
    use_case: str | None = None
    service: str | None = None
    operation: str | None = None
    status: Literal["ok", "error"] | None = None
    finish_reason: str | None = None
    billable: bool | None = None
    trace_id: str | None = None
    missing: frozenset[Literal["tenant", "model", "provider", "use_case", "service"]] = frozenset()

    @property
    def wanted(self) -> dict[str, Any]:
        """What each field must be, ``None`` for missing."""
        names = (name for name in self.__dataclass_fields__ if name != "missing")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return given | dict.fromkeys(sorted(self.missing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last row of a page of calls; the next page starts below it.

    Calls are ordered newest first, then by trace, span and tenant: rows that arrive between two pages shift nothing.
    """

    time_us: int
    trace_id: str
    span_id: str
    tenant_id: str

    def encode(self) -> str:
        """Return the opaque text handed to clients."""
        fields = [self.time_us, self.trace_id, self.span_id, self.tenant_id]
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")

    @classmethod
    def after(cls, row: Mapping[str, Any]) -> "Cursor":
        """Return the cursor of a page that ends with this row of ``llm_calls`` (times as datetimes)."""
        return cls(
            time_us=(row["time"] - _EPOCH) // timedelta(microseconds=1),
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            tenant_id=row["tenant_id"],
        )

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read what :meth:`encode` wrote.

        Raises:
            InvalidQueryError: the text is not a cursor of ours.
        """
        try:
            fields = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
            time_us, trace_id, span_id, tenant_id = fields
        except (ValueError, TypeError, RecursionError):
            raise InvalidQueryError("the cursor is not one that this service gave out") from None
        ids_are_text = all(isinstance(value, str) for value in (trace_id, span_id, tenant_id))
        if type(time_us) is not int or not 0 <= time_us <= MAX_NS or not ids_are_text:
            raise InvalidQueryError("the cursor is not one that this service gave out")
        return cls(time_us=time_us, trace_id=trace_id, span_id=span_id, tenant_id=tenant_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsQuery:
    """Rows of ``llm_calls``, newest first, below ``cursor``."""

    filters: Filters = field(default_factory=Filters)
    window: Window = field(default_factory=Window)
    limit: int = 100
    cursor: Cursor | None = None

    def __post_init__(self) -> None:
        _check_limit(self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Sums and exact percentiles over the billable calls of a window.

    ``bucket`` is a length in seconds; buckets are aligned to midnight 1970-01-01 UTC, whole weeks to Mondays. Rows come
    ordered by bucket and dimensions, or by ``cost`` or ``calls`` falling (ties by dimensions), NULLs last.
    """

    by: tuple[Dimension, ...] = ()
    bucket: int | None = None
    filters: Filters = field(default_factory=Filters)
    window: Window = field(default_factory=Window)
    limit: int = 1_000
    order: UsageOrder = "dimensions"

    def __post_init__(self) -> None:
        _check_limit(self.limit)
        _check_dimensions(self.by)
        if self.bucket is not None and not 1 <= self.bucket <= 366 * _DAY_S:
            raise InvalidQueryError(f"a bucket lasts from 1 second to 366 days, not {self.bucket} s")
        if self.order not in get_args(UsageOrder):
            raise InvalidQueryError(f"order must be one of {', '.join(get_args(UsageOrder))}, not {self.order!r}")

    @property
    def bucket_origin(self) -> int:
        """Seconds since the epoch at which some bucket starts."""
        return _A_MONDAY_S if self.bucket is not None and self.bucket % _WEEK_S == 0 else 0


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQueryError(f"limit must lie between 1 and {MAX_LIMIT}, not {limit}")


def _check_dimensions(by: tuple[str, ...]) -> None:
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        raise InvalidQueryError(f"unknown dimension {unknown[0]!r}; valid are {', '.join(DIMENSIONS)}")
    if len(set(by)) != len(by):
        raise InvalidQueryError(f"a dimension is named twice in {', '.join(by)}")
