"""Anomalies: what the detector found, and looking at stored time again."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from spanledger_analytics import schema
from spanledger_analytics.queries import MAX_NS, Window
from spanledger_ingest.api._admin import Administrator, ContentType, note, refuse_forms
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import page
from spanledger_ingest.api._openapi import PROBLEM, lists, row
from spanledger_ingest.api._params import MAX_PAGE, Time, _nanoseconds
from spanledger_ingest.auth import Principal
from spanledger_ingest.detection.area import Detection, anomaly_json, looked_again
from spanledger_ingest.store import AnomalyFilter, AnomalyPlace, DuckDBStore

Reader = Annotated[Principal, requires("read:metrics")]
_CURSOR: Final = re.compile(r"([0-9]{1,19}):([0-9a-f]{1,64})")
_ONE_US: Final = 1000


class AnomaliesParams(BaseModel):
    """Parameters of ``GET /anomalies``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, frozen=True)

    from_: Annotated[Time | None, Field(alias="from", description="RFC 3339; what went on then or later")] = None
    to: Annotated[Time | None, Field(description="RFC 3339; what began before")] = None
    tenant: str | None = None
    kind: Annotated[str | None, Field(description="such as cost_spike, error_burst or unit_price")] = None
    severity: Annotated[str | None, Field(description="info, warning or critical")] = None
    open: Annotated[bool | None, Field(description="only what goes on, or only what is over")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    cursor: Annotated[str | None, Field(max_length=100, description="next_cursor of the page before")] = None

    def wanted(self, principal: Principal) -> AnomalyFilter:
        """Return the filter, in the scope of the caller."""
        return AnomalyFilter(
            window=Window(_nanoseconds(self.from_, 0), _nanoseconds(self.to, MAX_NS)),
            owner=principal.tenant,
            tenant=self.tenant,
            kind=self.kind,
            severity=self.severity,
            is_open=self.open,
        )

    def after(self) -> AnomalyPlace | None:
        """Return where the page before ended."""
        if self.cursor is None:
            return None
        match = _CURSOR.fullmatch(self.cursor)
        if match is None or int(match[1]) > MAX_NS // _ONE_US:
            raise HTTPException(422, "cursor: not one of ours")
        return int(match[1]), match[2]


class DetectParams(BaseModel):
    """Parameters of looking again."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, frozen=True)

    from_: Annotated[Time, Field(alias="from", description="RFC 3339")]
    to: Annotated[Time, Field(description="RFC 3339")]

    def window(self) -> Window:
        """Return the window asked for."""
        start, end = _nanoseconds(self.from_, 0), _nanoseconds(self.to, 0)
        if start >= end:
            raise HTTPException(422, "to must lie after from")
        return Window(start, end)


def anomaly_routes(store: DuckDBStore, detection: Detection) -> APIRouter:
    """Return the routes about anomalies."""
    router = APIRouter(tags=["anomalies"])
    stream: dict[int | str, dict[str, Any]] = {
        200: {"description": "JSON lines: the share done, and what was found", "content": {"application/x-ndjson": {}}},
        **PROBLEM,
    }

    @router.get("/anomalies", responses=lists(row(schema.ANOMALIES.view)))
    def anomalies(params: Annotated[AnomaliesParams, Query()], principal: Reader) -> Response:
        """What went on in the window, the latest start first. `causes`, `ties` and `detail` are JSON in a string."""
        found = store.anomalies(params.wanted(principal), params.after(), params.limit + 1)
        shown = found.slice(0, params.limit)
        return page(shown, _cursor_after(shown.to_pylist()[-1]) if found.num_rows > params.limit else None)

    @router.post("/admin/detect", responses=stream, response_class=StreamingResponse)
    def detect(
        params: Annotated[DetectParams, Query()],
        request: Request,
        principal: Administrator,
        content_type: ContentType = "",
    ) -> Response:
        """Judges stored time again with what the weeks before it teach. Nothing stored changes."""
        refuse_forms(content_type)
        note(request, principal, "anomalies.detect", {"from": str(params.from_), "to": str(params.to)})
        steps = looked_again(store, detection.options(), params.window())
        return StreamingResponse(_lines(steps), media_type="application/x-ndjson")

    return router


def _cursor_after(last: dict[str, Any]) -> str:
    started = last["started"]
    return f"{int(started.timestamp()) * 1_000_000 + started.microsecond}:{last['id']}"


def _lines(steps: Iterator[tuple[float, list[Any]]]) -> Iterator[bytes]:
    for share, found in steps:
        yield orjson.dumps({"done": share, "items": [anomaly_json(one) for one in found]}) + b"\n"
