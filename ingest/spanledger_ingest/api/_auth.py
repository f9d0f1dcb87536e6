"""Who asks, and what for. Routes declare a scope; who may have which is decided by one callable handed to the app."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from fastapi import Depends, HTTPException, Request
from fastapi.routing import APIRoute

Scope = Literal["public", "read:metrics", "query:sql", "ops:read"]
"""``public`` needs no credential; the rest are granted to a principal."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: ``tenant`` limits every answer to what came in with that tenant's credential, ``None`` sees all."""

    tenant: str | None
    scopes: frozenset[str]


Authenticate: TypeAlias = Callable[[Request], Principal]
"""Reads the credential of a request; raises ``HTTPException(401)`` if there is none that is valid."""

_EVERYTHING: Final = Principal(None, frozenset(get_args(Scope)))


def dev_mode(_: Request) -> Principal:
    """Let everyone see everything: for a service that only this machine can reach."""
    return _EVERYTHING


class Requires:
    """The dependency of a route on a scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __call__(self, request: Request) -> Principal | None:
        if self.scope == "public":
            return None
        principal: Principal = request.app.state.authenticate(request)
        if self.scope not in principal.scopes:
            raise HTTPException(403, f"this credential lacks the scope {self.scope}")
        return principal


def requires(scope: Scope) -> Any:
    """Declare the scope of a route; the value of the dependency is the :class:`Principal`."""
    return Depends(Requires(scope))


def declared_scope(route: APIRoute) -> str | None:
    """Return the scope that a route declares."""
    calls = (dependency.call for dependency in route.dependant.dependencies)
    return next((call.scope for call in calls if isinstance(call, Requires)), None)
