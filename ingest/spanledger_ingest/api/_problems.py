"""Every error is an RFC 9457 problem document."""

import logging
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from spanledger_alerts.errors import MatcherError, RuleError
from spanledger_analytics.errors import (
    InvalidQueryError,
    SqlRefusedError,
    SqlTimeoutError,
    SqlTooLargeError,
    StoreError,
)
from spanledger_ingest.auth import StateError
from spanledger_ingest.frames import frames

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_RETRY: Final = {"retry-after": "2"}
_STATUS: Final[dict[type[Exception], int]] = {
    InvalidQueryError: 422,
    SqlRefusedError: 422,
    SqlTooLargeError: 422,
    MatcherError: 422,
    RuleError: 422,
    SqlTimeoutError: 504,
    StoreError: 503,
    StateError: 503,
}


def install(app: FastAPI) -> None:
    """Answer every exception with a problem document."""
    for exception in _STATUS:
        app.add_exception_handler(exception, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> Response:
    """Return a problem document."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def _ours(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    return problem(status, _utf8(str(error)), _RETRY if status == HTTPStatus.SERVICE_UNAVAILABLE else None)


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # the handler is registered for nothing else
        raise error
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is nothing at {_utf8(request.url.path)}; /docs lists what there is"
    return problem(error.status_code, detail, dict(error.headers or {}))


def _validation(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # the handler is registered for nothing else
        raise error
    errors = [{"where": _utf8(".".join(map(str, e["loc"]))), "why": _utf8(e["msg"])} for e in error.errors()]
    return problem(422, "; ".join(f"{e['where']}: {e['why']}" for e in errors), errors=errors)


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("a request to %s failed unexpectedly: %s", request.scope.get("route"), frames(error))
    return problem(500, "something went wrong inside the service; its log says what")


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
