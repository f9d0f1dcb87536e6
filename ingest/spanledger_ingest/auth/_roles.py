"""Roles, and the scopes they stand for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from spanledger_ingest.tenancy import ANY

Scope: TypeAlias = Literal[
    "public",
    "ingest:write",
    "budgets:admit",
    "read:metrics",
    "read:traces",
    "read:content",
    "query:sql",
    "scores:write",
    "alerts:read",
    "alerts:write",
    "ops:read",
    "audit:read",
    "admin:keys",
    "admin:data",
    "erase",
]
"""``public`` needs no credential; the rest are granted to a principal."""

Role: TypeAlias = Literal["ingest", "gateway", "product", "engineer", "sre", "compliance", "admin"]

_INGEST: Final[frozenset[str]] = frozenset({"ingest:write", "budgets:admit"})
_PRODUCT: Final[frozenset[str]] = frozenset({"read:metrics", "query:sql", "scores:write", "alerts:read"})
_ENGINEER: Final = _PRODUCT | {"read:traces"}
_SRE: Final = _ENGINEER | {"alerts:write", "ops:read"}

ROLES: Final[Mapping[Role, frozenset[str]]] = {
    "ingest": _INGEST,
    "gateway": _INGEST,
    "product": _PRODUCT,
    "engineer": _ENGINEER,
    "sre": _SRE,
    "compliance": _ENGINEER | {"read:content", "audit:read", "erase"},
    "admin": _SRE | {"audit:read", "admin:keys", "admin:data", "erase"},
}

EXTRA_SCOPES: Final[frozenset[str]] = frozenset().union(*ROLES.values())
"""What can be granted to a key beside its role."""

_WHOLE_SERVICE: Final[frozenset[str]] = frozenset({"ops:read", "admin:keys", "admin:data"})
"""Scopes over what belongs to no single tenant."""

ALL_TENANTS: Final = ANY

VIEW_SCOPES: Final[Mapping[str, Scope]] = {
    "span_content": "read:content",
    "spans": "read:traces",
    "logs": "read:traces",
}
"""Views that need more than the scope to ask in SQL."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. ``tenant`` limits every answer to what came in with that tenant's credential, ``None`` sees all."""

    tenant: str | None
    scopes: frozenset[str]
    name: str = ""
    """Who it is, for the audit: ``key <id>``, or issuer and subject of a token."""
    owner: str = ""
    """Whose data it brings (:mod:`spanledger_ingest.tenancy`)."""
    must_say_why: bool = False
    """Whether reading content needs a reason."""


def scopes_of(roles: Iterable[Role], extra: Iterable[str] = (), *, tenant: str | None) -> frozenset[str]:
    """Return the scopes of roles and grants; who is bound to a tenant has none over the whole service."""
    granted = frozenset(extra).union(*(ROLES[role] for role in roles))
    return granted if tenant is None else granted - _WHOLE_SERVICE
