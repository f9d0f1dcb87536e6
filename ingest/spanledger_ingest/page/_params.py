"""What the address of a page may say. A misspelt filter is refused: it would silently show everything."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from spanledger_analytics.queries import MAX_NS, CallsQuery, Cursor, Filters, Window
from spanledger_dashboards.page import CHOICES, NONE, PRESETS, REFRESHES, Period, State
from spanledger_ingest.auth import Principal

DEFAULT_RANGE: Final = "24h"
CALLS_PER_PAGE: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _utc(text: object) -> object:
    """Read a time; without an offset it is in UTC, as a browser without scripts sends it."""
    if not isinstance(text, str):
        return text
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, BeforeValidator(_utc)]
P = TypeVar("P", bound="PageParams")
Name = Annotated[str, Field(max_length=1_000)]


class PageParams(BaseModel):
    """What every page understands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    range: Literal["1h", "6h", "24h", "7d", "30d", "90d"] | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None
    tenant: Name = ""
    model: Name = ""
    provider: Name = ""
    use_case: Name = ""
    service: Name = ""
    refresh: int = 0
    numbers: Annotated[str, Field(max_length=100)] = ""

    def state(self, default: str = DEFAULT_RANGE) -> State:
        """Return what is chosen.

        Raises:
            ValueError: the times do not go together.
        """
        chosen = {name: getattr(self, name) for name in CHOICES if getattr(self, name)}
        refresh = self.refresh if self.refresh in REFRESHES else 0
        return State(period=self._period(default), choices=chosen, refresh=refresh, numbers=self.numbers)

    def _period(self, default: str) -> Period:
        if self.from_ is None and self.to is None:
            return preset_of(self.range or default)
        if self.range is not None:
            raise ValueError("give a range, or from and to, not both")
        to_ns = time.time_ns() if self.to is None else _nanoseconds(self.to)
        from_ns = to_ns - PRESETS[default][0] * 10**9 if self.from_ is None else _nanoseconds(self.from_)
        if not 0 <= from_ns < to_ns:
            raise ValueError("the time that 'from' says must be before that of 'to'")
        return Period(from_ns, to_ns)


class CallsParams(PageParams):
    """What the table of calls understands beside."""

    status: Literal["", "ok", "error"] = ""
    finish_reason: Name = ""
    billable: Literal["", "all", "false"] = ""
    trace_id: Annotated[str, Field(pattern="^([0-9a-fA-F]{32})?$")] = ""
    cursor: Annotated[str, Field(max_length=1_000)] = ""

    @property
    def extra(self) -> dict[str, str]:
        """The filters of this page alone that are set."""
        found = {
            "status": self.status,
            "finish_reason": self.finish_reason,
            "billable": self.billable,
            "trace_id": self.trace_id.lower(),
        }
        return {name: value for name, value in found.items() if value}

    def query(self, state: State, principal: Principal) -> CallsQuery:
        """Return the query for one row more than a page has, which tells whether there is a next one."""
        filters = filters_of(
            state,
            principal,
            status=self.status or None,
            finish_reason=self.finish_reason or None,
            billable={"": True, "all": None, "false": False}[self.billable],
            trace_id=self.trace_id.lower() or None,
        )
        return CallsQuery(
            filters=filters,
            window=Window() if self.trace_id else window_of(state),
            limit=CALLS_PER_PAGE + 1,
            cursor=Cursor.decode(self.cursor) if self.cursor else None,
        )


def read(kind: type[P], request: Request) -> P:
    """Return the parameters of a request.

    Raises:
        HTTPException: 422, they are not well formed.
    """
    given = {name: value for name, value in request.query_params.items() if value}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise HTTPException(422, "; ".join(map(_words, error.errors()))) from None


def _words(problem: Any) -> str:
    place = ".".join(map(str, problem["loc"]))
    reason = "is not known" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}"


def state_of(params: PageParams, default: str = DEFAULT_RANGE) -> State:
    """Return what is chosen.

    Raises:
        HTTPException: 422, the times do not go together.
    """
    try:
        return params.state(default)
    except (ValueError, OverflowError) as error:
        raise HTTPException(422, str(error)) from None


def filters_of(state: State, principal: Principal, **more: Any) -> Filters:
    """Return the filters of what is chosen, within what the reader may see."""
    named: dict[str, Any] = {name: value for name, value in state.choices.items() if value != NONE}
    missing: frozenset[Any] = frozenset(state.choices.keys() - named.keys())
    return Filters(owner=principal.tenant, missing=missing, **named, **more)


def window_of(state: State) -> Window:
    """Return the period that is shown; its end is included."""
    return Window(state.period.from_ns, min(state.period.to_ns + 1, MAX_NS))


def preset_of(name: str) -> Period:
    """Return a stretch of time that ends now."""
    now = time.time_ns()
    return Period(now - PRESETS[name][0] * 10**9, now, name)


def _nanoseconds(moment: datetime) -> int:
    return min(max((moment - _EPOCH) // timedelta(microseconds=1) * 1000, 0), MAX_NS)
