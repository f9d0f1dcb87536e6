"""Query parameters: names that do not exist are refused, because a misspelt filter would silently show everything."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Protocol

import pyarrow as pa
from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from spanledger_analytics.errors import InvalidQueryError
from spanledger_analytics.queries import MAX_NS, CallsQuery, Cursor, Filters, UsageQuery, Window
from spanledger_ingest.auth import Principal

MAX_PAGE: Final = 5_000
"""Most rows in one answer."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _time(text: object) -> object:
    if not isinstance(text, str):
        return text
    # A '+' that was not escaped arrives as a space.
    moment = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text))
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, for example 2026-03-03T12:00:00Z")
    return moment


Time = Annotated[datetime, BeforeValidator(_time)]


TIMEOUT_S: Final = 10.0
"""Longest that a statement may run."""

TraceId = Annotated[str, Path(pattern="^[0-9a-fA-F]{32}$", description="32 hexadecimal digits")]


class SqlReader(Protocol):
    """A store that answers SQL."""

    def run_sql(
        self,
        sql: str,
        *,
        owner_scope: str | None,
        max_rows: int,
        timeout_s: float,
        permit: Callable[[frozenset[str]], None],
        values: Sequence[Any] = (),
    ) -> pa.Table:
        """Return the result of one SELECT over the public views, limited to the rows of ``owner_scope``.

        ``permit`` is called with the views that it reads before it does; what it raises is passed on. ``values`` are
        bound as ``$1`` and so on.
        """
        ...


class Params(BaseModel):
    """What every list of calls can be narrowed by."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, frozen=True)

    from_: Annotated[Time | None, Field(alias="from", description="RFC 3339; calls that start then or later")] = None
    to: Annotated[Time | None, Field(description="RFC 3339; calls that start before")] = None
    tenant: str | None = None
    model: Annotated[str | None, Field(description="requested model, or the one that answered if none was")] = None
    provider: str | None = None
    use_case: str | None = None
    service: str | None = None

    def window(self) -> Window:
        """Return the window asked for, everything where open."""
        return Window(_nanoseconds(self.from_, 0), _nanoseconds(self.to, MAX_NS))

    def filters(self, principal: Principal) -> Filters:
        """Return the filters, in the scope of the caller."""
        return Filters(
            owner=principal.tenant,
            tenant=self.tenant,
            model=self.model,
            provider=self.provider,
            use_case=self.use_case,
            service=self.service,
        )


class CallsParams(Params):
    """Parameters of ``GET /calls``."""

    trace_id: str | None = None
    billable: bool | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    cursor: Annotated[str | None, Field(max_length=1_000, description="next_cursor of the page before")] = None

    def query(self, principal: Principal) -> CallsQuery:
        """Return the query for one row more than asked, which tells whether there is a next page."""
        trace_id = None if self.trace_id is None else self.trace_id.lower()
        return CallsQuery(
            filters=replace(self.filters(principal), trace_id=trace_id, billable=self.billable),
            window=self.window(),
            limit=self.limit + 1,
            cursor=None if self.cursor is None else Cursor.decode(self.cursor),
        )


class UsageParams(Params):
    """Parameters of ``GET /usage``."""

    by: Annotated[str, Field(description="dimensions, separated by commas")] = ""
    bucket: Annotated[str | None, Field(description="length of a bucket: a number and s, m, h, d or w")] = None
    order: Literal["dimensions", "cost", "calls"] = "dimensions"
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1_000

    def query(self, principal: Principal) -> UsageQuery:
        """Return the query for one row more than asked, which tells whether rows were left out."""
        names = [name.strip() for name in self.by.split(",") if name.strip()]
        return UsageQuery(
            by=tuple(names),  # type: ignore[arg-type]  # the query itself names the valid ones
            bucket=None if self.bucket is None else seconds_of(self.bucket),
            filters=self.filters(principal),
            window=self.window(),
            limit=self.limit + 1,
            order=self.order,
        )


class QueryParams(BaseModel):
    """Parameters of ``/query`` beside the statement."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="most rows; `truncated` tells of more")] = 1_000


class SqlParams(QueryParams):
    """Parameters of ``GET /query``."""

    sql: Annotated[str, Field(description="one SELECT over the public views")]


class AuditParams(BaseModel):
    """Parameters of ``GET /audit``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    cursor: Annotated[str | None, Field(pattern="^[0-9]{1,18}$", description="next_cursor of the page before")] = None

    @property
    def before(self) -> int:
        """The number that those wanted are below."""
        return MAX_NS if self.cursor is None else int(self.cursor)


def seconds_of(text: str) -> int:
    """Return the length of a bucket such as ``90s``, ``5m`` or ``1h`` in seconds.

    Raises:
        InvalidQueryError: it is not a number and a unit.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if match is None:
        raise InvalidQueryError(f"a bucket is a number and s, m, h, d or w, for example 1h, not {text!r}")
    return int(match[1]) * _SECONDS[match[2]]


def _nanoseconds(moment: datetime | None, default: int) -> int:
    if moment is None:
        return default
    return min(max((moment - _EPOCH) // timedelta(microseconds=1) * 1000, 0), MAX_NS)
