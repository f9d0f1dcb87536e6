"""Prompt and completion text: a scope of its own, and a line in the audit before each answer."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import pyarrow as pa
from fastapi import APIRouter, HTTPException, Query, Request, Response

from spanledger_analytics import schema
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response, page
from spanledger_ingest.api._openapi import lists, row
from spanledger_ingest.api._params import MAX_PAGE, TIMEOUT_S, AuditParams, SqlReader, TraceId
from spanledger_ingest.auth import VIEW_SCOPES, Audit, AuditEntry, Principal

_REASON: Final = "spanledger-reason"

_AUDIT_ROW: Final = {
    "type": "object",
    "properties": {
        "seq": {"type": "integer"},
        "time": {"type": "string", "format": "date-time"},
        "actor": {"type": "string"},
        "tenant": {"type": "string"},
        "action": {"type": "string"},
        "detail": {"type": "object"},
        "reason": {"type": "string"},
    },
}

Reader = Annotated[Principal, requires("read:content")]
Auditor = Annotated[Principal, requires("audit:read")]


def content_routes(store: SqlReader) -> APIRouter:
    """Return the route that shows what was said in a trace."""
    router = APIRouter(tags=["traces"])

    @router.get("/traces/{trace_id}/content", responses=lists(row(schema.SPAN_CONTENT.view)))
    def content(trace_id: TraceId, request: Request, principal: Reader) -> Response:
        """Prompts and answers of a trace, where stored. Reading is audited, with the header `Spanledger-Reason`."""
        record_reading(request, principal, {"trace_id": trace_id.lower()})
        found = content_of(store, trace_id.lower(), principal)
        return page(found, truncated=bool(found.schema.metadata))

    return router


def content_of(store: SqlReader, trace_id: str, principal: Principal) -> pa.Table:
    """Return the text of a trace; that it is read must have been recorded."""
    sql = "SELECT * FROM span_content WHERE trace_id = $1 ORDER BY time, span_id, kind, text"
    return store.run_sql(
        sql,
        owner_scope=principal.tenant,
        max_rows=MAX_PAGE,
        timeout_s=TIMEOUT_S,
        permit=lambda _: None,
        values=[trace_id],
    )


def audit_routes(audit: Audit) -> APIRouter:
    """Return the route that shows the audit."""
    router = APIRouter(tags=["operations"])

    @router.get("/audit", responses=lists(_AUDIT_ROW))
    def entries(params: Annotated[AuditParams, Query()], principal: Auditor) -> Response:
        """Who read content and who changed keys, the latest first."""
        found = audit.read(principal.tenant, before=params.before, limit=params.limit)
        full = len(found) == params.limit
        return json_response({"items": [_shown(entry) for entry in found], "next_cursor": _cursor(found, full=full)})

    return router


def _shown(entry: AuditEntry) -> dict[str, Any]:
    return asdict(entry) | {"time": datetime.fromtimestamp(entry.time, UTC)}


def _cursor(found: list[AuditEntry], *, full: bool) -> str | None:
    return str(found[-1].seq) if full else None


def record_reading(request: Request, principal: Principal, detail: Mapping[str, Any], reason: str = "") -> None:
    """Write down that somebody is about to read content; the reason is the header's where none is given.

    Raises:
        HTTPException: 403, they must say why.
    """
    reason = (reason or request.headers.get(_REASON, "")).strip()[:500]
    if principal.must_say_why and not reason:
        raise HTTPException(403, "say why in the header Spanledger-Reason: reading content in this role needs a reason")
    audit: Audit | None = request.app.state.audit
    if audit is not None:
        audit.record(principal, "content.read", detail, reason)


def permit_views(request: Request, principal: Principal, sql: str) -> Callable[[frozenset[str]], None]:
    """Return what decides over the views that a statement reads."""

    def permit(used: frozenset[str]) -> None:
        for view in sorted(used & VIEW_SCOPES.keys()):
            if VIEW_SCOPES[view] not in principal.scopes:
                needed = VIEW_SCOPES[view]
                raise HTTPException(403, f"reading {view} needs the scope {needed}, which this credential lacks")
        if "span_content" in used:
            record_reading(request, principal, {"sql": sql})

    return permit
