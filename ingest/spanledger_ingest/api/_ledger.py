"""Calls, usage and dead letters."""

from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Response

from spanledger_analytics import schema
from spanledger_analytics.ports import SpanStore
from spanledger_analytics.queries import DIMENSIONS, Cursor
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import page
from spanledger_ingest.api._openapi import lists, row
from spanledger_ingest.api._params import CallsParams, UsageParams
from spanledger_ingest.auth import Principal

Reader = Annotated[Principal, requires("read:metrics")]


def ledger_routes(store: SpanStore) -> APIRouter:
    """Return the routes that read calls, usage and dead letters."""
    router = APIRouter(tags=["ledger"])

    @router.get("/calls", responses=lists(row(schema.LLM_CALLS.view)))
    def calls(params: Annotated[CallsParams, Query()], principal: Reader) -> Response:
        """Model calls, newest first. `cost_usd` is a decimal number in a string, null where unknown."""
        found = store.calls(params.query(principal))
        shown = found.slice(0, params.limit)
        return page(shown, _cursor_after(shown) if found.num_rows > params.limit else None)

    @router.get("/usage", responses=lists(row(schema.usage_schema(DIMENSIONS, bucketed=True))))
    def usage(params: Annotated[UsageParams, Query()], principal: Reader) -> Response:
        """Sums and exact percentiles over billable calls; `truncated` tells that `limit` left rows out."""
        found = store.usage(params.query(principal))
        return page(found.slice(0, params.limit), truncated=found.num_rows > params.limit)

    @router.get("/ingest/rejected", responses=lists(row(schema.REJECTION_SUMMARY)))
    def rejected(principal: Reader) -> Response:
        """What could not be taken, by signal, reason and service."""
        return page(store.rejections(principal.tenant))

    return router


def _cursor_after(shown: pa.Table) -> str:
    last: dict[str, Any] = shown.slice(shown.num_rows - 1).to_pylist()[0]
    return Cursor.after(last).encode()
