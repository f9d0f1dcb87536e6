"""Who reads a page: a browser with a session, a client with a header, or, in dev mode, whoever is on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request

from spanledger_ingest.api import Requires
from spanledger_ingest.auth import Authenticator, CredentialError, Principal, Scope, Session, Sessions, api_door

COOKIE: Final = "spanledger_session"
SECURE_COOKIE: Final = "__Host-spanledger_session"
"""The prefix makes browsers take it from this host over TLS only."""

_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="spanledger"'}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, and the session of their browser if there is one."""

    principal: Principal
    session: Session | None = None

    @property
    def form_token(self) -> str:
        """What forms must bring; empty where no cookie speaks for the reader."""
        return "" if self.session is None else self.session.form_token


class PageDoor:
    """Finds out who sends a request for a page."""

    def __init__(self, authenticator: Authenticator, sessions: Sessions) -> None:
        self._authenticator = authenticator
        self._sessions = sessions
        self._api = api_door(authenticator)

    def reader(self, request: Request) -> Reader:
        """Return the reader.

        Raises:
            HTTPException: 401, nobody who may.
        """
        token = request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE)
        if not token or "authorization" in request.headers or not self._authenticator.required:
            return Reader(self._api(request))
        try:
            session = self._sessions.find(token)
        except CredentialError as error:
            raise HTTPException(HTTPStatus.UNAUTHORIZED, str(error), _CHALLENGE) from None
        return Reader(session.principal, session)

    @property
    def closed(self) -> bool:
        """Whether a credential is asked for at all."""
        return self._authenticator.required


class PageRequires(Requires):
    """The dependency of a page on a scope; its value is the :class:`Reader`."""

    def __init__(self, scope: Scope, door: PageDoor) -> None:
        super().__init__(scope)
        self._door = door

    def __call__(self, request: Request) -> Any:
        """Return who reads; nobody in particular where that is open to all.

        Raises:
            HTTPException: 401 or 403.
        """
        if self.scope == "public":
            return None
        reader = self._door.reader(request)
        if self.scope not in reader.principal.scopes:
            raise HTTPException(HTTPStatus.FORBIDDEN, f"this key lacks the scope {self.scope}")
        return reader


Door: TypeAlias = Callable[[Scope], Any]


def door_of(door: PageDoor) -> Door:
    """Return what declares the scope of a page."""
    return lambda scope: Depends(PageRequires(scope, door))


def refuse_foreign_form(request: Request) -> None:
    """Refuse a form that a page from elsewhere sent, as browsers tell of themselves.

    Raises:
        HTTPException: 403.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if site not in ("same-origin", "none") or (origin is not None and urlsplit(origin).netloc != host):
        raise HTTPException(HTTPStatus.FORBIDDEN, "this form came from another site: open the page itself")
