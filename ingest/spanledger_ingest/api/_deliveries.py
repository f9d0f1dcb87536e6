"""The routes of deliveries."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from spanledger_alerts.delivery import MAX_SEQ, Message, Outbox, State
from spanledger_ingest.api._admin import ContentType, note, refuse_forms
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._openapi import PROBLEM, lists
from spanledger_ingest.api._params import MAX_PAGE
from spanledger_ingest.auth import Principal

Reader = Annotated[Principal, requires("alerts:read")]
Writer = Annotated[Principal, requires("alerts:write")]

_TEXT: Final = {"type": ["string", "null"]}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_ROW: Final = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "alert_ids": {"type": "array", "items": {"type": "string"}},
        "endpoint": _TEXT,
        "status": _TEXT,
        "state": _TEXT,
        "created": _TIME,
        "next_attempt": _TIME,
        "finished": _TIME,
        "attempts": {"type": "integer"},
        "ok": {"type": "boolean"},
        "http_status": {"type": ["integer", "null"]},
        "detail": _TEXT,
    },
}


class DeliveriesParams(BaseModel):
    """Parameters of ``GET /deliveries``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    receiver: str | None = None
    state: Annotated[State | None, Field(description="pending and queued wait; the others say how it ended")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    cursor: Annotated[str | None, Field(pattern="^[0-9]{1,18}$", description="next_cursor of the page before")] = None


def delivery_routes(outbox: Outbox) -> APIRouter:
    """Return the routes that show messages and send them again."""
    router = APIRouter(tags=["alerts"])

    @router.get("/deliveries", responses=lists(_ROW))
    def deliveries(params: Annotated[DeliveriesParams, Query()], principal: Reader) -> Response:
        """Messages to receivers, the latest first, with how their last attempt ended."""
        found = outbox.messages(
            owner=principal.tenant,
            receiver=params.receiver,
            state=params.state,
            before=MAX_SEQ if params.cursor is None else int(params.cursor),
            limit=params.limit,
        )
        cursor = str(found[-1].seq) if len(found) == params.limit else None
        return json_response({"items": [shown(message) for message in found], "next_cursor": cursor})

    @router.post("/deliveries/{id}/replay", responses={200: {"description": "The message"}, **PROBLEM})
    def replay(request: Request, id: str, principal: Writer, content_type: ContentType = "") -> Response:  # noqa: A002
        """Sends a message again under its id with a new timestamp; one that still waits is left as it is."""
        refuse_forms(content_type)
        note(request, principal, "delivery.replay", {"id": id})
        message = outbox.replay(id, principal.tenant)
        if message is None:
            raise HTTPException(404, f"there is no delivery {id!r}; ended ones are kept for 30 days")
        return json_response(shown(message))

    return router


def shown(message: Message) -> dict[str, Any]:
    """Return what is shown of a message."""
    waits = message.state in ("pending", "queued")
    return {
        "id": message.id,
        "alert_ids": [alert.id for alert in message.notification.alerts],
        "endpoint": message.receiver,
        "status": message.status,
        "state": message.state,
        "created": _time(message.created_ns),
        "next_attempt": _time(message.due_ns) if waits else None,
        "finished": None if message.finished_ns is None else _time(message.finished_ns),
        "attempts": message.attempts,
        "ok": message.state == "delivered",
        "http_status": message.http_status,
        "detail": message.detail,
    }


def _time(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns / 1e9, UTC)
