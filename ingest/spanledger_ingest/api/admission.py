"""Admission: asking before a call is made, and saying what became of it.

A denial is an answer like the others (200): the question was understood. What fails is no answer, and what happens then
is decided where the call is made.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, HTTPException, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from spanledger.pricing import TOKEN_FIELDS, TokenUsage
from spanledger_alerts.admission import Hold, Reply
from spanledger_alerts.budgets import amount_of, nano_of
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._openapi import PROBLEM
from spanledger_ingest.auth import Principal
from spanledger_ingest.budgets import Admission, AdmitRequest, moment
from spanledger_ingest.tenancy import is_gateway, is_tenant, may_send_for

Application = Annotated[Principal, requires("budgets:admit")]
Text = Annotated[str, Field(max_length=256)]
_MOST_TOKENS: Final = 10**8
Tokens = Annotated[int, Field(ge=0, le=_MOST_TOKENS)]
_LEASE: Final = timedelta(seconds=30)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AdmitBody(_Body):
    """A call that is about to be made."""

    model: Text
    provider: Text = ""
    tenant: Text | None = None
    use_case: Text | None = None
    service: Text | None = None
    environment: Text | None = None
    input_tokens: Tokens = 0
    max_tokens: Tokens | None = None
    min_tokens: Annotated[int, Field(ge=1, le=_MOST_TOKENS)] = 1
    choices: Annotated[int, Field(ge=1, le=1000)] = 1
    classes: Annotated[list[Text], Field(max_length=32)] | None = None
    service_tier: Text | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    start_ns: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    trace_id: Text = ""
    span_id: Text = ""
    lease: bool = False


class SettleItem(_Body):
    """What became of a call: its cost, or the tokens that it used; of a lease, what of it is still out."""

    reservation: Text
    cost_usd: Annotated[Decimal, Field(ge=0, le=10**6)] | None = None
    usage: dict[str, Tokens] | None = None
    service_tier: Text | None = None
    trace_id: Text = ""
    span_id: Text = ""
    keep_usd: Annotated[Decimal, Field(ge=0, le=10**6)] | None = None


class SettleBody(_Body):
    """Calls that ended."""

    items: Annotated[list[SettleItem], Field(max_length=1000)]


class ReleaseBody(_Body):
    """Reservations of calls that were not made."""

    reservations: Annotated[list[Text], Field(max_length=1000)]


_ANSWER: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "The answer"}, **PROBLEM}


def admission_routes(admission: Admission) -> APIRouter:
    """Return the routes below ``/budgets`` that applications use."""
    router = APIRouter(prefix="/budgets", tags=["budgets"])

    @router.post("/admit", responses=_ANSWER)
    async def admit(body: Annotated[AdmitBody, Body()], principal: Application) -> Response:
        """Holds what a call can cost against every hard budget that it counts for, or against none of them.

        `decision` is `allow`, `clamp` (make the call with `max_tokens`) or `deny` (until `reset`, where that is known).
        """
        request = _request(body, principal)
        reply = admission.ask(request, lease=body.lease)
        if reply is None:
            return json_response({"decision": "allow", "reservation": None, "reason": "the price is not known"})
        if not reply.safe:
            await run_in_threadpool(admission.desk.save)
        return json_response(_shown(reply, body) | _leased(admission, reply.lease, request))

    @router.post("/lease", responses=_ANSWER)
    async def lease(body: Annotated[AdmitBody, Body()], principal: Application) -> Response:
        """Hands out a slice from which a process admits calls like this one by itself; `lease` is null for none."""
        request = _request(body, principal)
        reply = admission.lease(request)
        if reply is not None and not reply.safe:
            await run_in_threadpool(admission.desk.save)
        return json_response(_leased(admission, None if reply is None else reply.lease, request))

    _add_telling(router, admission)
    return router


def _add_telling(router: APIRouter, admission: Admission) -> None:
    """Add the routes by which applications say what became of calls."""

    @router.post("/settle", responses=_ANSWER)
    async def settle(body: Annotated[SettleBody, Body()], principal: Application) -> Response:
        """Says what calls have cost. It stays held until the ledger has it. `unknown` are those that it has already."""
        mine = {item.reservation for item in body.items if _is_own(admission, item.reservation, principal)}
        unknown = [
            item.reservation for item in body.items if not (item.reservation in mine and _settle(admission, item))
        ]
        return json_response({"unknown": unknown, "leases": _leases_left(admission, mine)})

    @router.post("/release", responses=_ANSWER)
    async def release(body: Annotated[ReleaseBody, Body()], principal: Application) -> Response:
        """Lets go of what was held for calls that were not made."""
        mine = [name for name in body.reservations if _is_own(admission, name, principal)]
        return json_response({"released": sum(admission.desk.release(name) for name in mine)})


def _request(body: AdmitBody, principal: Principal) -> AdmitRequest:
    owner, tenant = _owner(principal, body.tenant)
    names = {"tenant": tenant, "use_case": body.use_case, "service": body.service, "environment": body.environment}
    return AdmitRequest(
        owner=owner,
        model=body.model,
        provider=body.provider,
        names={name: value for name, value in names.items() if value},
        input_tokens=body.input_tokens,
        max_tokens=body.max_tokens,
        min_tokens=body.min_tokens,
        choices=body.choices,
        classes=None if body.classes is None else tuple(body.classes),
        service_tier=body.service_tier,
        timeout_seconds=body.timeout_seconds,
        start_ns=body.start_ns,
        trace_id=body.trace_id,
        span_id=body.span_id,
    )


def _owner(principal: Principal, tenant: str | None) -> tuple[str, str | None]:
    """Return whose call it is, as its span would be booked, and its tenant."""
    if is_gateway(principal.owner):
        if tenant is None or not may_send_for(principal.owner, tenant):
            raise HTTPException(403, "tenant: this credential stands for several tenants; name one of them")
        return tenant, tenant
    if principal.owner:
        return principal.owner, principal.owner
    if tenant is not None and not is_tenant(tenant):
        raise HTTPException(422, "tenant: this cannot name a tenant")
    return "", tenant


def _is_own(admission: Admission, name: str, principal: Principal) -> bool:
    hold = admission.desk.hold(name)
    if hold is None:
        return False
    if is_gateway(principal.owner):
        return may_send_for(principal.owner, hold.owner)
    return hold.owner == principal.owner


def _settle(admission: Admission, item: SettleItem) -> bool:
    if item.keep_usd is not None:
        admission.desk.shrink(item.reservation, nano_of(item.keep_usd))
        return True
    if item.cost_usd is not None:
        return admission.desk.settle(item.reservation, nano_of(item.cost_usd), item.trace_id, item.span_id)
    if item.usage is None:
        raise HTTPException(422, "items: each needs cost_usd, usage or keep_usd")
    usage = TokenUsage(**{name: count for name, count in item.usage.items() if name in TOKEN_FIELDS})
    cost = admission.cost(item.reservation, usage, item.service_tier)
    return cost is not None and admission.desk.settle(item.reservation, cost, item.trace_id, item.span_id)


def _leases_left(admission: Admission, names: set[str]) -> dict[str, str]:
    holds = [hold for name in sorted(names) if (hold := admission.desk.hold(name)) is not None]
    return {hold.id: _usd(_size(hold)) for hold in holds if hold.kind == "lease"}


def _shown(reply: Reply, body: AdmitBody) -> dict[str, Any]:
    answer, hold = reply.answer, reply.answer.hold
    limited = hold is not None and (answer.decision == "clamp" or (body.max_tokens is None and answer.bounded))
    return {
        "decision": "clamp" if limited else answer.decision,
        "reservation": None if hold is None else hold.id,
        "max_tokens": answer.tokens if limited else body.max_tokens,
        "reserved_usd": None if hold is None else _usd(_size(hold)),
        "budget": None if answer.cap is None else answer.cap.key[1],
        "limit_usd": None if answer.cap is None else _usd(answer.cap.limit),
        "reset": None if answer.resets_ns is None else moment(answer.resets_ns),
        "expires": None if hold is None else moment(hold.expires_ns),
    }


def _leased(admission: Admission, hold: Hold | None, request: AdmitRequest) -> dict[str, Any]:
    """Show a slice with the prices that calls are admitted by: so an application needs no price list."""
    if hold is None:
        return {"lease": None}
    now = datetime.now(UTC)
    ends = min(part.until_ns for part in hold.parts.values())
    price = admission.bound(request, hold.start_ns)
    return {
        "lease": {
            "id": hold.id,
            "amount_usd": _usd(_size(hold)),
            "until": min(now + _LEASE, moment(ends) or now + _LEASE),
            "seconds": _LEASE.total_seconds(),
            "input_usd": None if price is None else _usd(price.input_nano),
            "output_pico_usd": None if price is None else price.output_pico,
        }
    }


def _size(hold: Hold) -> int:
    return max((part.nano for part in hold.parts.values()), default=0)


def _usd(nano: int) -> str:
    return f"{amount_of(nano):f}"
