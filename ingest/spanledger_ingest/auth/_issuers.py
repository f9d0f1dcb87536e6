"""The tables ``[[auth.issuer]]`` of the configuration."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from spanledger_ingest.auth._doors import is_loopback
from spanledger_ingest.auth._jwks import Jwks, KeySource, SharedKey
from spanledger_ingest.auth._jwt import Issuer, JwtVerifier, own_roles
from spanledger_ingest.auth._roles import ROLES, Role
from spanledger_ingest.settings import SettingsError, refuse_unknown, resolve_secret

_WHERE: Final = "auth.issuer"
_KEYS: Final = (
    "issuer", "audience", "jwks", "key", "algorithms", "tenant_claim", "role_claim", "roles", "all_tenants",
)  # fmt: skip
_PUBLIC: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_SHARED: Final = ("HS256", "HS384", "HS512")
_MIN_SHARED_BYTES: Final = 32


def verifier_of(tables: Sequence[Mapping[str, Any]]) -> JwtVerifier | None:
    """Return what judges the tokens of the issuers configured, ``None`` if there are none.

    Raises:
        SettingsError: a table cannot be meant; the message says what is wrong.
    """
    issuers = [_issuer(table) for table in tables]
    names = [issuer.name for issuer in issuers]
    if len(set(names)) < len(names):
        raise SettingsError(f"{_WHERE}: an issuer is listed twice")
    return JwtVerifier(issuers) if issuers else None


def _issuer(table: Mapping[str, Any]) -> Issuer:
    refuse_unknown(_WHERE, table, _KEYS)
    return Issuer(
        name=_text(table, "issuer"),
        audience=_text(table, "audience"),
        keys=_keys(table),
        tenant_claim=_text(table, "tenant_claim", "tenant"),
        role_claim=_text(table, "role_claim", "role"),
        roles=_roles(table.get("roles")),
        all_tenants=table.get("all_tenants") is True,
    )


def _text(table: Mapping[str, Any], key: str, default: str = "") -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{_WHERE}: {key} is needed, a text")
    return value


def _keys(table: Mapping[str, Any]) -> KeySource:
    if ("jwks" in table) == ("key" in table):
        raise SettingsError(f"{_WHERE}: give either jwks, where public keys are, or key, a shared secret")
    if "jwks" in table:
        return Jwks(_place(_text(table, "jwks")), _algorithms(table, _PUBLIC))
    secret = resolve_secret(f"{_WHERE}: key", table["key"])
    if len(secret.reveal().encode()) < _MIN_SHARED_BYTES:
        raise SettingsError(f"{_WHERE}: key is shorter than {_MIN_SHARED_BYTES} bytes, so it can be guessed")
    return SharedKey(secret, _algorithms(table, _SHARED))


def _place(jwks: str) -> str:
    address = urlsplit(jwks)
    if "://" in jwks and address.scheme != "https" and not (
        address.scheme == "http" and is_loopback(address.hostname or "")
    ):  # fmt: skip
        raise SettingsError(f"{_WHERE}: jwks must be an https address or a file, else anybody between could change it")
    return jwks.removeprefix("file:")


def _algorithms(table: Mapping[str, Any], possible: Sequence[str]) -> frozenset[str]:
    """Return the allow-list. That of public keys and that of shared ones never mix: a public key is no secret."""
    chosen = table.get("algorithms", [name for name in possible if name.endswith(("256", "EdDSA"))])
    if not isinstance(chosen, list) or not chosen or not set(chosen) <= set(possible):
        raise SettingsError(f"{_WHERE}: algorithms is a list out of {', '.join(possible)}")
    return frozenset(chosen)


def _roles(table: Any) -> Mapping[str, Role]:
    if table is None:
        return own_roles()
    if not isinstance(table, dict) or not set(table.values()) <= set(ROLES):
        raise SettingsError(f"{_WHERE}: roles maps values of the claim to roles, which are {', '.join(ROLES)}")
    return dict(table)
