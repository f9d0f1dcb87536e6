"""A copy of what the service keeps beside the telemetry, for backups."""

import tempfile
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from spanledger_ingest.api._admin import Administrator, ContentType, file_response, note, refuse_forms
from spanledger_ingest.api._openapi import PROBLEM
from spanledger_ingest.auth import copy_state

_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "An SQLite file", "content": {"application/octet-stream": {}}},
    **PROBLEM,
}


def state_routes(data: Path) -> APIRouter:
    """Return the route below ``/admin`` that copies the state in a data directory."""
    router = APIRouter(prefix="/admin", tags=["admin"])

    @router.post("/backup/state", responses=_FILE)
    def backup_state(request: Request, principal: Administrator, content_type: ContentType = "") -> Response:
        """A copy of budgets, alerts, silences, deliveries, audit and API keys (not the pepper) as they are now."""
        refuse_forms(content_type)
        note(request, principal, "state.backup", {})
        with tempfile.TemporaryDirectory(dir=data, prefix="state-copy-") as folder:
            copy = Path(folder) / "state.db"
            copy_state(data, copy)
            file = copy.open("rb")  # lives on without its name, and not longer than the answer
        return file_response(file, "state.db")

    return router
