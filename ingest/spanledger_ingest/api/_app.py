"""The web application: the OTLP routes as they are, the REST API beside them."""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Final, Protocol

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from spanledger_analytics.ports import SpanStore
from spanledger_ingest.api import _problems
from spanledger_ingest.api._admin import CareStore, admin_routes
from spanledger_ingest.api._auth import Authenticate, declared_scope, dev_mode
from spanledger_ingest.api._content import audit_routes, content_routes
from spanledger_ingest.api._docs import docs_routes
from spanledger_ingest.api._headers import SecurityHeaders
from spanledger_ingest.api._jaeger import jaeger_routes
from spanledger_ingest.api._ledger import ledger_routes
from spanledger_ingest.api._operations import operations_routes
from spanledger_ingest.api._params import SqlReader
from spanledger_ingest.api._prometheus import Metric
from spanledger_ingest.api._query import query_routes
from spanledger_ingest.api._reprice import reprice_routes
from spanledger_ingest.api._traces import Price, trace_routes
from spanledger_ingest.auth import Audit
from spanledger_ingest.pipeline import Stats
from spanledger_ingest.reprice import Repricing

_DESCRIPTION: Final = (
    "What every LLM call cost, for whom, and how it ended. Lists are items and next_cursor, times RFC 3339 in UTC, "
    "money decimal numbers in strings (a JSON number would lose digits), errors RFC 9457 problem documents."
)


class ApiStore(SpanStore, SqlReader, CareStore, Protocol):
    """What the API needs of a store."""


def build_app(
    store: ApiStore,
    *,
    stats: Callable[[], Stats],
    otlp_routes: Sequence[Route] = (),
    explain: Price | None = None,
    metrics: Callable[[], Iterable[Metric]] = tuple,
    authenticate: Authenticate = dev_mode,
    repricing: Repricing | None = None,
    audit: Audit | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        store: What is read.
        stats: Counts of the intake, for ``/readyz`` and ``/metrics``.
        otlp_routes: Routes of the receiver, mounted first; they check credentials themselves, and say for which scope.
        explain: Says how the price of a call comes about.
        metrics: Further metrics for ``/metrics``.
        authenticate: Who a request comes from. By default everyone may read everything.
        repricing: Prices stored calls again.
        audit: Where it is written down who reads content.

    Raises:
        RuntimeError: a route of the API declares no scope.
    """
    app = FastAPI(
        title="Spanledger",
        version=version("spanledger"),
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        routes=list(otlp_routes),
    )
    app.state.authenticate = authenticate
    app.state.audit = audit
    app.state.scopes = {("POST", route.path): _scope(route) for route in otlp_routes}
    app.add_middleware(SecurityHeaders)
    _problems.install(app)
    for router in (
        ledger_routes(store),
        trace_routes(store, explain),
        content_routes(store),
        query_routes(store),
        admin_routes(store),
    ):
        add_routes(app, router, "/api/v1")
    if repricing is not None:
        add_routes(app, reprice_routes(repricing), "/api/v1")
    add_routes(app, jaeger_routes(store))
    if audit is not None:
        add_routes(app, audit_routes(audit), "/api/v1")
    add_routes(app, operations_routes(stats, metrics))
    add_routes(app, docs_routes())
    return app


def add_routes(app: FastAPI, router: APIRouter, prefix: str = "") -> None:
    """Mount a router, after writing down the scope of each route.

    Raises:
        RuntimeError: a route declares no scope.
    """
    for route in router.routes:
        scope = _scope(route) if isinstance(route, APIRoute) else None
        if not isinstance(route, APIRoute) or scope is None:
            raise RuntimeError(f"nothing asks for a scope at the route {route}")
        app.state.scopes |= {(method, prefix + route.path): scope for method in route.methods or ()}
    app.include_router(router, prefix=prefix)


def _scope(route: BaseRoute) -> str:
    scope = declared_scope(route)
    if scope is None:
        raise RuntimeError(f"the route {route} declares no scope")
    return scope
