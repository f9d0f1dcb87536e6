"""Tokens of identity providers: JSON Web Tokens (RFC 7519), read the way RFC 8725 says."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from spanledger_ingest import tenancy
from spanledger_ingest.auth._errors import CredentialError
from spanledger_ingest.auth._jwks import KeySource
from spanledger_ingest.auth._roles import ALL_TENANTS, ROLES, Principal, Role, scopes_of

LEEWAY_SECONDS: Final = 60
_MAX_REMEMBERED: Final = 4096
_REQUIRED: Final = ["exp", "iat", "iss", "aud"]
_WHY: Final[Mapping[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is meant for another audience",
    jwt.MissingRequiredClaimError: "the token lacks one of the claims exp, iat, iss, aud",
}
_HOSTILE: Final = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)
"""What reading a token can raise: its parts are any JSON that a stranger writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An identity provider, and how its claims are read."""

    name: str
    """The ``iss`` of its tokens."""
    audience: str
    keys: KeySource
    tenant_claim: str = "tenant"
    role_claim: str = "role"
    roles: Mapping[str, Role]
    """Values of the role claim that mean something here."""
    all_tenants: bool = False
    """Whether the tenant ``*`` of its tokens stands for all."""


class JwtVerifier:
    """Judges tokens of the issuers given. A token that was found good is remembered until it ends.

    Args:
        issuers: each with a name of its own.
        clock: seconds since the epoch.
    """

    def __init__(self, issuers: Sequence[Issuer], clock: Callable[[], float] = time.time) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._clock = clock
        self._good: dict[bytes, tuple[Principal, float]] = {}

    def check(self, token: str) -> Principal:
        """Return who acts with the token.

        Raises:
            CredentialError: nobody does.
            CredentialUnavailableError: the issuer's keys are not here.
        """
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        principal, end = self._good.get(digest, (None, 0.0))
        if principal is not None and self._clock() < end:
            return principal
        principal, end = self._verify(token)
        if len(self._good) >= _MAX_REMEMBERED:
            self._good.clear()
        self._good[digest] = principal, end
        return principal

    def refresh(self) -> None:
        """Fetch keys that are due; when some changed, nothing is remembered any more."""
        if any([issuer.keys.refresh() for issuer in self._issuers.values()]):  # noqa: C419 - each, not up to the first
            self._good.clear()

    def _verify(self, token: str) -> tuple[Principal, float]:
        try:
            header = jwt.get_unverified_header(token)
            name = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except _HOSTILE:
            raise CredentialError("malformed", "the credential is neither an API key nor a token") from None
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise _refused("the token's issuer is not trusted here")
        claims = _verified(token, header, issuer)
        return _principal(claims, issuer), float(claims["exp"]) + LEEWAY_SECONDS


def _refused(why: str) -> CredentialError:
    return CredentialError("invalid_token", why)


def _verified(token: str, header: Mapping[str, Any], issuer: Issuer) -> dict[str, Any]:
    key, algorithms = issuer.keys.find(header.get("kid"))
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=sorted(algorithms),
            issuer=issuer.name,
            audience=issuer.audience,
            leeway=LEEWAY_SECONDS,
            options={"require": _REQUIRED},
        )
    except _HOSTILE as error:
        why = next((text for kind, text in _WHY.items() if isinstance(error, kind)), "the token is not valid")
        raise _refused(why) from None
    return claims


def _principal(claims: Mapping[str, Any], issuer: Issuer) -> Principal:
    tenant = _tenant(claims.get(issuer.tenant_claim), issuer)
    said = claims.get(issuer.role_claim)
    values = said if isinstance(said, list) else [said]
    roles = [issuer.roles[value] for value in values if isinstance(value, str) and value in issuer.roles]
    if not roles:
        raise _refused(f"the token's claim {issuer.role_claim!r} names no role that is known here")
    return Principal(
        tenant=tenant,
        scopes=scopes_of(roles, tenant=tenant),
        name=f"{issuer.name} {claims.get('sub', '')}".strip(),
        owner=_owner(tenant, roles),
        must_say_why="compliance" in roles,
    )


def _tenant(claim: object, issuer: Issuer) -> str | None:
    if claim == ALL_TENANTS and issuer.all_tenants:
        return None
    if not isinstance(claim, str) or not tenancy.is_tenant(claim):
        raise _refused(f"the token's claim {issuer.tenant_claim!r} names no tenant")
    return claim


def _owner(tenant: str | None, roles: Sequence[Role]) -> str:
    if tenant is None:
        return tenancy.gateway([tenancy.ANY])
    return tenancy.gateway([tenant]) if "gateway" in roles else tenant


def own_roles() -> dict[str, Role]:
    """Return the mapping for issuers whose claim has our own names."""
    return {role: role for role in ROLES}
