"""The table of calls."""

from typing import Final

from fastapi import APIRouter, Request, Response

from spanledger_analytics.ports import SpanStore
from spanledger_analytics.queries import Cursor
from spanledger_dashboards.page import FINISH_REASONS, Choice, call_row, render_calls
from spanledger_ingest.page._boards import BoardReader
from spanledger_ingest.page._door import Door, Reader
from spanledger_ingest.page._frame import Frame
from spanledger_ingest.page._params import CALLS_PER_PAGE, CallsParams, read, state_of
from spanledger_ingest.page._shown import PageRoute, html
from spanledger_ingest.settle import REASONS

PATH: Final = "/calls"


def calls_routes(store: SpanStore, boards: BoardReader, door: Door, frame: Frame) -> APIRouter:
    """Return the route of the table of calls."""
    router = APIRouter(include_in_schema=False, route_class=PageRoute)

    metrics = door("read:metrics")

    @router.get(PATH)
    def calls(request: Request, reader: Reader = metrics) -> Response:
        params = read(CallsParams, request)
        state = state_of(params)
        found = store.calls(params.query(state, reader.principal))
        rows = found.slice(0, CALLS_PER_PAGE).to_pylist()
        more = found.num_rows > CALLS_PER_PAGE
        choices, _ = boards.choices(state, reader.principal)
        shell = frame.shell("Calls", PATH, state, reader, current="calls", extra=params.extra)
        traces = "read:traces" in reader.principal.scopes
        alone = not rows and not params.cursor
        return html(
            render_calls(
                shell,
                calls=[call_row(row, state, REASONS, traces=traces) for row in rows],
                choices=choices,
                fields=_fields(params),
                first_page=state.to(PATH, **params.extra) if params.cursor else "",
                next_page=state.to(PATH, **params.extra, cursor=Cursor.after(rows[-1]).encode()) if more else "",
                nothing=frame.nothing(request, PATH, reader) if alone else None,
            )
        )

    return router


def _fields(params: CallsParams) -> list[Choice]:
    reasons = [(name, name.replace("_", " ")) for name in FINISH_REASONS]
    return [
        Choice(name="status", label="Status", value=params.status, options=[("ok", "ok"), ("error", "error")]),
        Choice(name="finish_reason", label="Finish reason", value=params.finish_reason, options=reasons),
        Choice(
            name="billable",
            label="Billed",
            value=params.billable,
            every="Billed calls",
            options=[("all", "All spans of calls"), ("false", "Not billed")],
        ),
        Choice(
            name="trace_id",
            label="Trace id",
            value=params.trace_id,
            options=None,
            hint="32 hexadecimal digits",
            pattern="[0-9a-fA-F]{32}",
        ),
    ]
