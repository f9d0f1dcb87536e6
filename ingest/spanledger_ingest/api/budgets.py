"""Budgets: how they stand, and making, changing and removing them."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, HTTPException, Query, Request, Response

from spanledger_alerts.budgets import Budget, BudgetStatus, parse_budget
from spanledger_alerts.errors import BudgetError, BudgetReadOnlyError
from spanledger_analytics import schema
from spanledger_ingest.api._admin import note
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._openapi import PROBLEM, lists, row
from spanledger_ingest.auth import Principal
from spanledger_ingest.budgets import BudgetArea, status_row
from spanledger_ingest.tenancy import is_tenant

Reader = Annotated[Principal, requires("alerts:read")]
Writer = Annotated[Principal, requires("alerts:write")]
Owner = Annotated[
    str | None, Query(description="whose budget: a tenant's, who then sees it; only for keys of all tenants")
]
Definition = Annotated[dict[str, Any], Body(description="amount, period, scope, thresholds; see docs/budgets.md")]

_ROW: Final = row(schema.BUDGETS.view)
_ROW["properties"] |= {"owner": {"type": "string"}, "definition": {"type": "object"}}


def budget_routes(area: BudgetArea) -> APIRouter:
    """Return the routes below ``/budgets``."""
    router = APIRouter(prefix="/budgets", tags=["budgets"])

    @router.get("", responses=lists(_ROW))
    def budgets(principal: Reader) -> Response:
        """How every budget stands in the period that is on; `definition` is as it was written."""
        found = area.statuses(principal.tenant)
        return json_response({"items": [_shown(status) for status in found], "next_cursor": None})

    @router.put("/{name}", responses={200: {"description": "As it is kept now"}, **PROBLEM})
    def put(name: str, definition: Definition, request: Request, principal: Writer, owner: Owner = None) -> Response:
        """Makes a budget, or changes it. A key of one tenant makes budgets over that tenant's calls alone."""
        try:
            budget = parse_budget(name, definition, owner=_owner(principal, owner))
            note(request, principal, "budget.put", {"name": name, "owner": budget.owner, "definition": definition})
            area.put(budget)
        except BudgetError as error:
            raise _refusal(error) from error
        return json_response(_kept(budget))

    @router.delete("/{name}", responses={200: {"description": "It was removed"}, **PROBLEM})
    def delete(name: str, request: Request, principal: Writer, owner: Owner = None) -> Response:
        """Removes a budget; its events stay."""
        whose = _owner(principal, owner)
        note(request, principal, "budget.delete", {"name": name, "owner": whose})
        try:
            found = area.delete(whose, name)
        except BudgetError as error:
            raise _refusal(error) from error
        if not found:
            raise HTTPException(404, f"there is no budget of the name {name[:100]!r} that is yours")
        return json_response({"deleted": name})

    return router


def _owner(principal: Principal, asked: str | None) -> str:
    if principal.tenant is not None:
        if asked not in (None, principal.tenant):
            raise HTTPException(403, "this credential makes budgets of its own tenant alone")
        return principal.tenant
    if asked and not is_tenant(asked):
        raise HTTPException(422, f"owner: {asked[:100]!r} cannot name a tenant")
    return asked or ""


def _refusal(error: BudgetError) -> HTTPException:
    return HTTPException(409 if isinstance(error, BudgetReadOnlyError) else 422, str(error))


def _shown(status: BudgetStatus) -> dict[str, Any]:
    return status_row(status) | {"definition": status.budget.body}


def _kept(budget: Budget) -> dict[str, Any]:
    return {"name": budget.name, "owner": budget.owner, "definition": budget.body}
