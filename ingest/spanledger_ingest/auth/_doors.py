"""The doors of the service: how its parts ask for a credential, and how a refusal reads there."""

import ipaddress
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from spanledger_ingest.auth._authenticator import ANYBODY, Authenticator
from spanledger_ingest.auth._errors import CredentialError, CredentialUnavailableError
from spanledger_ingest.auth._roles import Principal
from spanledger_ingest.pipeline import Outcome

_RETRY_SECONDS: Final = 1
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="spanledger"'}


def ingest_door(authenticator: Authenticator) -> Callable[[Mapping[str, str]], str | Outcome]:
    """Return what the intake asks: whose data these headers bring, or the refusal."""

    def owner(headers: Mapping[str, str]) -> str | Outcome:
        try:
            principal = authenticator.check(headers.get("authorization"))
        except CredentialError as error:
            return Outcome("unauthenticated", str(error))
        except CredentialUnavailableError as error:
            return Outcome("overloaded", str(error), retry_after=_RETRY_SECONDS)
        if "ingest:write" not in principal.scopes:
            return Outcome("forbidden", "this credential may not send telemetry: it lacks the scope ingest:write")
        return principal.owner

    return owner


def api_door(authenticator: Authenticator) -> Callable[[Request], Principal]:
    """Return what the API asks: who sends this request."""

    def principal(request: Request) -> Principal:
        try:
            found = authenticator.check(request.headers.get("authorization"))
        except CredentialError as error:
            raise HTTPException(HTTPStatus.UNAUTHORIZED, str(error), _CHALLENGE) from None
        except CredentialUnavailableError as error:
            retry = {"retry-after": str(_RETRY_SECONDS)}
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry) from None
        if found is ANYBODY:
            _refuse_strange_names(request)
        return found

    return principal


def _refuse_strange_names(request: Request) -> None:
    """Refuse a page from elsewhere whose name was made to point at this machine (DNS rebinding)."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if not is_loopback(host):
        raise HTTPException(
            HTTPStatus.FORBIDDEN, "without API keys the service only answers to a loopback address: use 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
