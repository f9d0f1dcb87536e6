"""Who asks, and what for. Routes declare a scope; who may have which is decided by one callable handed to the app."""

from collections.abc import Callable
from typing import Any, TypeAlias

from fastapi import Depends, HTTPException, Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from spanledger_ingest.auth import ANYBODY, Principal, Scope

Authenticate: TypeAlias = Callable[[Request], Principal]
"""Reads the credential of a request; raises ``HTTPException(401)`` if there is none that is valid."""


def dev_mode(_: Request) -> Principal:
    """Let everyone see everything: for a service that only this machine can reach."""
    return ANYBODY


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


def declared_scope(route: BaseRoute) -> str | None:
    """Return the scope that a route declares: as a dependency, or as an attribute of a plain ASGI endpoint."""
    if not isinstance(route, APIRoute):
        return getattr(getattr(route, "endpoint", None), "required_scope", None)
    calls = (dependency.call for dependency in route.dependant.dependencies)
    return next((call.scope for call in calls if isinstance(call, Requires)), None)
