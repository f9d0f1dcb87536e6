"""Silences and planned changes: what is known, and need not be told."""

import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from spanledger_alerts.engine import Kind, Mutes
from spanledger_ingest.alerting import mute_json
from spanledger_ingest.api._admin import note
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._openapi import PROBLEM, lists
from spanledger_ingest.api._params import Time, _nanoseconds
from spanledger_ingest.api.alerts import Reader, Writer
from spanledger_ingest.auth import Principal

_MUTE: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "tenant": {"type": ["string", "null"], "description": "whose alerts; null is everybody's"},
        "matchers": {"type": "array", "items": {"type": "string"}},
        "starts": {"type": "string", "format": "date-time"},
        "ends": {"type": "string", "format": "date-time"},
        "author": {"type": "string"},
        "comment": {"type": "string"},
        "state": {"type": "string", "enum": ["pending", "active", "expired"]},
    },
}
_ONE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "As it is now", "content": {"application/json": {"schema": _MUTE}}},
    **PROBLEM,
}
_KINDS: Final[dict[str, Kind]] = {"silences": "silence", "planned-changes": "planned"}


class MuteBody(BaseModel):
    """A new silence or planned change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    matchers: Annotated[list[str], Field(min_length=1, max_length=20, description='such as `model=~"gpt-.*"`')]
    starts: Annotated[Time | None, Field(description="RFC 3339; now by default")] = None
    ends: Annotated[Time, Field(description="RFC 3339")]
    comment: Annotated[str, Field(min_length=1, max_length=500, description="why; of a change, what it is")]
    author: Annotated[str, Field(max_length=200, description="who; by default the name of the credential")] = ""


class MutesParams(BaseModel):
    """Parameters of the lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    expired: Annotated[bool, Field(description="those that are over, too")] = False


def silence_routes(mutes: Mutes) -> APIRouter:
    """Return the routes ``/silences`` and ``/planned-changes``, which are the same."""
    router = APIRouter(tags=["alerts"])
    for path, kind in _KINDS.items():
        _add(router, mutes, path, kind)
    return router


def _add(router: APIRouter, mutes: Mutes, path: str, kind: Kind) -> None:
    what = path.replace("-", " ")

    @router.get(f"/{path}", responses=lists(_MUTE), name=f"list {what}", description=f"The {what}, next to end first.")
    def listed(params: Annotated[MutesParams, Query()], principal: Reader) -> Response:
        now = time.time_ns()
        found = mutes.listed(kind=kind, owner=principal.tenant, now=now, expired=params.expired)
        return json_response({"items": [mute_json(mute, now) for mute in found], "next_cursor": None})

    @router.post(
        f"/{path}", responses=_ONE, name=f"add {what}", description="Alerts that match are not told meanwhile."
    )
    def add(body: MuteBody, request: Request, principal: Writer) -> Response:
        now = time.time_ns()
        note(request, principal, f"alerts.{kind}", body.model_dump(mode="json"))
        mute = mutes.add(
            kind=kind,
            owner=principal.tenant,
            matchers=body.matchers,
            starts=now if body.starts is None else _nanoseconds(body.starts, now),
            ends=_nanoseconds(body.ends, now),
            author=body.author or _name(principal),
            comment=body.comment,
            now=now,
        )
        return json_response(mute_json(mute, now))

    @router.delete(f"/{path}/{{id}}", responses=_ONE, name=f"expire {what}", description="Ends it now.")
    def expire(id: str, request: Request, principal: Writer) -> Response:  # noqa: A002 - the name in the path
        now = time.time_ns()
        note(request, principal, f"alerts.{kind}.expire", {"id": id})
        mute = mutes.expire(id, kind=kind, owner=principal.tenant, now=now)
        if mute is None:
            raise HTTPException(404, f"there is none of the id {id[:100]!r} that is yours")
        return json_response(mute_json(mute, now))


def _name(principal: Principal) -> str:
    return principal.name or "somebody on this machine"
