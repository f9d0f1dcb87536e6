"""Logging in with an API key, and out again."""

import re
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from spanledger_ingest.auth import LIFE_SECONDS, CredentialError, Session, Sessions
from spanledger_ingest.page._door import COOKIE, SECURE_COOKIE, Door, Reader, refuse_foreign_form
from spanledger_ingest.page._shown import PageRoute, login_page

_MAX_FORM: Final = 16 * 1024
_LOCAL: Final = re.compile(r"/(?![/\\])[^\x00-\x20\\]*")
"""An address on this host; two slashes, or a backslash, would name another one."""


def login_routes(sessions: Sessions, door: Door) -> APIRouter:
    """Return ``/login`` and ``/logout``."""
    router = APIRouter(include_in_schema=False, route_class=PageRoute)
    metrics = door("read:metrics")

    @router.get("/login", dependencies=[door("public")])
    def form(request: Request) -> Response:
        return login_page(local_address(request.query_params.get("next", "/")), "", HTTPStatus.OK)

    @router.post("/login", dependencies=[door("public")])
    async def login(request: Request) -> Response:
        refuse_foreign_form(request)
        sent = await read_form(request)
        target = local_address(sent.get("next", "/"))
        try:
            session = sessions.open(sent.get("key", ""))
        except CredentialError as error:
            return login_page(target, f"{error}.", HTTPStatus.UNAUTHORIZED)
        if "read:metrics" not in session.principal.scopes:
            sessions.close(session)
            return login_page(target, "This key sends data and may not read any: use another.", HTTPStatus.FORBIDDEN)
        answer = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        _set_cookie(answer, session, secure=_is_secure(request))
        return answer

    @router.post("/logout")
    async def logout(request: Request, reader: Reader = metrics) -> Response:
        refuse_foreign_form(request)
        check_form(reader, await read_form(request))
        if reader.session is not None:
            sessions.close(reader.session)
        answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        answer.delete_cookie(SECURE_COOKIE, path="/", httponly=True, samesite="strict", secure=True)
        return answer

    return router


def check_form(reader: Reader, sent: dict[str, str]) -> None:
    """Refuse a form that no page of this session had.

    Raises:
        HTTPException: 403.
    """
    if reader.session is not None and not reader.session.owns(sent.get("form_token", "")):
        raise HTTPException(HTTPStatus.FORBIDDEN, "this form is from another session: open the page again")


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        HTTPException: 400 or 413, there is no form of a sensible size.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form cannot be read") from None


def local_address(address: str) -> str:
    """Return the address if it is one of this host's pages, else the first page."""
    return address if _LOCAL.fullmatch(address) else "/"


def _is_secure(request: Request) -> bool:
    """Tell whether the browser speaks TLS, to us or to a proxy in front."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _set_cookie(answer: Response, session: Session, *, secure: bool) -> None:
    answer.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        session.token,
        max_age=LIFE_SECONDS,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )
