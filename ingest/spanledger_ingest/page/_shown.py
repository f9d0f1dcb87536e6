"""Answers that browsers show: pages, and errors as pages."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from spanledger_analytics.errors import InvalidQueryError, StoreError
from spanledger_dashboards.page import Shell, render_error, render_login
from spanledger_ingest.auth import StateError

VERSION: Final = version("spanledger")

_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    # Browsers say where a form comes from only if the page lets them.
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
}
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="spanledger"'}
_TITLES: Final = {400: "Not understood", 403: "Not allowed", 404: "Not found", 413: "Too large", 422: "Not understood"}


def html(text: str, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """Return a page."""
    # Lone surrogates, which a store can hold, are no UTF-8.
    body = text.encode("utf-8", "replace")
    return HTMLResponse(body, status, {**_HEADERS, **(headers or {})})


def login_page(target: str, message: str, status: int) -> Response:
    """Return the form that takes a key; ``target`` is where it leads."""
    shell = Shell(title="Log in", version=VERSION)
    headers = _CHALLENGE if status == HTTPStatus.UNAUTHORIZED else {}
    return html(render_login(shell, message=message, next_page=target), status, headers)


def error_page(status: int, message: str) -> Response:
    """Return a page that says what went wrong."""
    shell = Shell(title=_TITLES.get(status, "Something is wrong"), version=VERSION)
    return html(render_error(shell, message[:1].upper() + message[1:].rstrip(".") + "."), status)


class PageRoute(APIRoute):
    """A route whose errors are pages; who is not known is asked to log in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler."""
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as error:
                return _refusal(request, error)
            except InvalidQueryError as error:
                return error_page(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
            except (StoreError, StateError):
                return error_page(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer: try again in a moment")

        return handle_as_page


def _refusal(request: Request, error: HTTPException) -> Response:
    if error.status_code != HTTPStatus.UNAUTHORIZED:
        return error_page(error.status_code, str(error.detail))
    asked = request.method == "GET"
    query = f"?{request.url.query}" if request.url.query else ""
    target = quote(request.url.path) + query if asked else "/"
    known = "authorization" in request.headers or bool(request.cookies)
    return login_page(target, f"{error.detail}." if known else "", HTTPStatus.UNAUTHORIZED)
