"""Pricing stored calls again, step by step: the client asks on until there is no cursor left."""

import base64
import binascii
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from spanledger_analytics.queries import MAX_NS, Window
from spanledger_ingest.api._admin import Administrator, ContentType, note, refuse_forms
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._openapi import PROBLEM
from spanledger_ingest.api._params import Time, _nanoseconds
from spanledger_ingest.reprice import After, Repricing

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "What one step changed"}, **PROBLEM}


class RepriceParams(BaseModel):
    """Which calls, and from where on."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, frozen=True)

    from_: Annotated[Time | None, Field(alias="from", description="RFC 3339; calls that start then or later")] = None
    to: Annotated[Time | None, Field(description="RFC 3339; calls that start before")] = None
    cursor: Annotated[str | None, Field(description="`next_cursor` of the step before", max_length=4096)] = None
    dry_run: Annotated[bool, Field(description="change nothing")] = False


def reprice_routes(repricing: Repricing) -> APIRouter:
    """Return the route ``/admin/reprice``."""
    router = APIRouter(prefix="/admin", tags=["admin"])

    @router.post("/reprice", responses=_RESPONSES)
    def reprice(
        params: Annotated[RepriceParams, Query()],
        request: Request,
        principal: Administrator,
        content_type: ContentType = "",
    ) -> Response:
        """Prices the next stored calls of a time again; ask on with `cursor` until `next_cursor` is null."""
        refuse_forms(content_type)
        if params.cursor is None and not params.dry_run:
            note(request, principal, "database.reprice", params.model_dump(mode="json", include={"from_", "to"}))
        window = Window(_nanoseconds(params.from_, 0), _nanoseconds(params.to, MAX_NS))
        step = repricing.step(window, _after(params.cursor), dry_run=params.dry_run)
        return json_response(step.as_json() | {"next_cursor": None if step.after is None else _encoded(step.after)})

    return router


def _encoded(after: After) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(after)).decode()


def _after(cursor: str | None) -> After | None:
    if cursor is None:
        return None
    try:
        start, owner, trace_id, span_id = orjson.loads(base64.urlsafe_b64decode(cursor))
    except (binascii.Error, ValueError, TypeError) as error:
        raise HTTPException(422, "cursor: not one of ours") from error
    if type(start) is not int or not 0 <= start < MAX_NS or not all(type(x) is str for x in (owner, trace_id, span_id)):
        raise HTTPException(422, "cursor: not one of ours")
    return start, owner, trace_id, span_id
