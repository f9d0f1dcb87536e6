"""Read-only SQL over the caller's rows."""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._content import permit_views
from spanledger_ingest.api._json import page
from spanledger_ingest.api._openapi import lists
from spanledger_ingest.api._params import TIMEOUT_S, QueryParams, SqlParams, SqlReader
from spanledger_ingest.auth import Principal

_MAX_BODY: Final = 128 * 1024
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["sql"], "properties": {"sql": {"type": "string"}}}
            }
        },
    }
}

Analyst = Annotated[Principal, requires("query:sql")]


def query_routes(store: SqlReader) -> APIRouter:
    """Return the routes of ``/query``."""
    router = APIRouter(prefix="/query", tags=["sql"])
    rows = lists({"type": "object", "description": "columns as selected"})

    def answer(sql: str, limit: int, principal: Principal, request: Request) -> Response:
        permit = permit_views(request, principal, sql)
        found = store.run_sql(sql, owner_scope=principal.tenant, max_rows=limit, timeout_s=TIMEOUT_S, permit=permit)
        columns = [{"name": field.name, "type": str(field.type)} for field in found.schema]
        return page(found, columns=columns, truncated=bool(found.schema.metadata))

    @router.get("", responses=rows)
    def query(request: Request, params: Annotated[SqlParams, Query()], principal: Analyst) -> Response:
        """Run one SELECT over the public views; it sees the caller's rows only."""
        return answer(params.sql, params.limit, principal, request)

    @router.post("", responses=rows, openapi_extra=_BODY)
    async def post_query(request: Request, params: Annotated[QueryParams, Query()], principal: Analyst) -> Response:
        """Run one SELECT, sent as `{"sql": ...}`."""
        return await run_in_threadpool(answer, await _statement(request), params.limit, principal, request)

    return router


async def _statement(request: Request) -> str:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise HTTPException(413, f"a statement fits in {_MAX_BODY // 1024} KiB")
    try:
        sent: Any = orjson.loads(bytes(body))
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    if not isinstance(sent, dict) or not isinstance(sent.get("sql"), str) or len(sent) != 1:
        raise HTTPException(422, 'the body must be {"sql": "SELECT ..."}')
    return str(sent["sql"])
