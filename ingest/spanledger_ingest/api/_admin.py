"""Care of the database: backup and compaction, for administrators of the whole service."""

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from io import BufferedReader
from pathlib import Path
from typing import IO, Annotated, Any, Final, Protocol

from fastapi import APIRouter, Header, HTTPException, Request, Response
from starlette.responses import StreamingResponse

from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._openapi import PROBLEM
from spanledger_ingest.auth import Audit, Principal

_CHUNK: Final = 1024 * 1024
_JSON: Final = "application/json"

Administrator = Annotated[Principal, requires("admin:data")]
ContentType = Annotated[str, Header(alias="content-type", include_in_schema=False)]


class CareStore(Protocol):
    """What can be done to a store as a whole."""

    def snapshot(self) -> AbstractContextManager[Path]:
        """Write a copy of the database; it is deleted at the end of the context."""
        ...

    def compact(self) -> int:
        """Rewrite the file; return how many bytes shorter it is."""
        ...


def admin_routes(store: CareStore) -> APIRouter:
    """Return the routes below ``/admin``."""
    router = APIRouter(prefix="/admin", tags=["admin"])
    database: dict[int | str, dict[str, Any]] = {
        200: {"description": "A DuckDB file", "content": {"application/octet-stream": {}}},
        **PROBLEM,
    }

    @router.post("/backup", responses=database, response_class=StreamingResponse)
    def backup(request: Request, principal: Administrator, content_type: ContentType = "") -> Response:
        """A copy of the whole database as it is now, text included; ingest goes on. `repr-digest` has its SHA-256."""
        refuse_forms(content_type)
        note(request, principal, "database.backup", {})
        with store.snapshot() as copy:
            file = copy.open("rb")  # lives on without its name, and not longer than the answer
        return file_response(file, "spanledger.duckdb")

    @router.post("/compact", responses={200: {"description": "How many bytes were given back"}, **PROBLEM})
    def compact(request: Request, principal: Administrator, content_type: ContentType = "") -> Response:
        """Rewrites the database file without free space and deleted bytes; what arrives waits in the journal."""
        refuse_forms(content_type)
        note(request, principal, "database.compact", {})
        return json_response({"freed_bytes": store.compact()})

    return router


def file_response(file: BufferedReader, name: str) -> Response:
    """Answer with an open file, which is closed at the end, and with its digest."""
    digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
    headers = {
        "content-length": str(os.fstat(file.fileno()).st_size),
        "content-disposition": f'attachment; filename="{name}"',
        "repr-digest": f"sha-256=:{digest}:",
    }
    return StreamingResponse(_chunks(file), headers=headers, media_type="application/octet-stream")


def refuse_forms(content_type: str) -> None:
    """Refuse what a browser would send for a page of another site without asking first."""
    if content_type != _JSON:
        raise HTTPException(415, f"send content-type: {_JSON}; a body is not needed")


def note(request: Request, principal: Principal, action: str, detail: Mapping[str, Any]) -> None:
    """Write into the audit who does what to the whole database, before it is done."""
    audit: Audit | None = request.app.state.audit
    if audit is not None:
        audit.record(principal, action, detail, "")


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(_CHUNK):
            yield chunk
