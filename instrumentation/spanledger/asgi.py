"""ASGI middleware that puts each request into a context: ``app.add_middleware(ContextMiddleware, tenant=...)``."""

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from spanledger import semconv
from spanledger._context import Scope, context
from spanledger._guard import shielded
from spanledger._runtime import runtime

__all__ = ["ContextMiddleware"]

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[ASGIScope, Receive, Send], Awaitable[None]]
Resolver = Callable[[ASGIScope], Any] | str | None
"""A fixed value, or a function (plain or async) of the ASGI scope that returns one or ``None``."""

_BAGGAGE = {
    "tenant": semconv.TENANT_ID,
    "user": semconv.USER_ID,
    "session": semconv.SESSION_ID,
    "use_case": semconv.USE_CASE,
}


class ContextMiddleware:
    """Puts tenant, user and the rest on every span of a request, streamed responses and websockets included.

    ::

        app.add_middleware(ContextMiddleware, tenant=lambda scope: scope["state"]["user"].tenant, use_case="support")

    A resolver that fails leaves its value out and is logged once; the request goes on.

    Args:
        app: The application behind.
        tenant: Whom calls are billed to.
        user: The end user.
        session: A real session of yours.
        use_case: What the calls are for.
        prompt: ``name@version``.
        region: Region of the provider endpoint.
        trust_baggage: Fill gaps from the request's ``baggage`` header. Only behind callers you trust: whoever sends the
            header chooses whom a call is billed to.
    """

    def __init__(  # one keyword per fact, all optional
        self,
        app: App,
        *,
        tenant: Resolver = None,
        user: Resolver = None,
        session: Resolver = None,
        use_case: Resolver = None,
        prompt: Resolver = None,
        region: Resolver = None,
        trust_baggage: bool = False,
    ) -> None:
        self.app = app
        given = {"tenant": tenant, "user": user, "session": session}
        given |= {"use_case": use_case, "prompt": prompt, "region": region}
        self._resolvers = {name: resolver for name, resolver in given.items() if resolver is not None}
        self._trust_baggage = trust_baggage

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Run the application in the context of the request."""
        if scope["type"] not in ("http", "websocket") or runtime.settings.disabled:
            await self.app(scope, receive, send)
            return
        with await self._context_of(scope):
            await self.app(scope, receive, send)

    async def _context_of(self, scope: ASGIScope) -> Scope:
        values: dict[str, Any] = {}
        if self._trust_baggage:
            with shielded("reading the baggage of a request"):
                values |= _from_baggage(scope)
        for name, resolver in self._resolvers.items():
            with shielded(f"resolving the {name} of a request"):
                value = resolver(scope) if callable(resolver) else resolver
                value = await value if inspect.isawaitable(value) else value
                if value is not None:
                    values[name] = value
        return context(**values)


def _from_baggage(scope: ASGIScope) -> dict[str, str]:
    headers = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"baggage"]
    found = W3CBaggagePropagator().extract({"baggage": ",".join(headers)})
    pairs = {name: baggage.get_baggage(key, found) for name, key in _BAGGAGE.items()}
    return {name: str(value) for name, value in pairs.items() if value}
