"""Traces: the tree of spans, and why each was billed or not."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Response

from spanledger_analytics import schema
from spanledger_analytics.ports import CallKeys, SpanStore
from spanledger_analytics.queries import MAX_LIMIT, MAX_NS, CallsQuery, Filters
from spanledger_analytics.records import Call
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response, rows_of
from spanledger_ingest.api._openapi import lists, row
from spanledger_ingest.api._params import TraceId
from spanledger_ingest.auth import Principal
from spanledger_ingest.settle import explain, settle

Reader = Annotated[Principal, requires("read:traces")]
Accountant = Annotated[Principal, requires("read:metrics")]
Price = Callable[[Call], Any]

_JSON_COLUMNS: Final = ("attributes", "resource", "scope", "events", "links")
_Row = dict[str, Any]


def trace_routes(store: SpanStore, price: Price | None) -> APIRouter:
    """Return the routes of single traces; ``price`` says how a call's price comes about."""
    router = APIRouter(prefix="/traces", tags=["traces"])

    @router.get("/{trace_id}", responses=lists(row(schema.SPANS.view)))
    def trace(trace_id: TraceId, principal: Reader) -> Response:
        """The span tree, depth first: each span has its `depth`, the ids of its `children`, and its `call`."""
        return json_response({"items": trace_tree(store, trace_id.lower(), principal), "next_cursor": None})

    @router.get("/{trace_id}/explain", responses=lists({"type": "object"}))
    def explanation(trace_id: TraceId, principal: Accountant) -> Response:
        """Why each span of the trace was billed or not, and its price by token class."""
        items = explanations(store, trace_id.lower(), principal, price)
        return json_response({"items": items, "next_cursor": None})

    return router


def trace_tree(store: SpanStore, trace_id: str, principal: Principal) -> list[_Row]:
    """Return the spans of a trace, depth first, each with its call.

    Raises:
        HTTPException: 404, there is no such trace.
    """
    spans = _spans(store, trace_id, principal)
    calls = {(c["tenant_id"], c["span_id"]): c for c in _calls(store, trace_id, principal)}
    for span in spans:
        span |= {name: orjson.loads(span[name]) for name in _JSON_COLUMNS}
        span["call"] = calls.get((span["tenant_id"], span["span_id"]))
    return list(depth_first(spans))


def explanations(store: SpanStore, trace_id: str, principal: Principal, price: Price | None) -> list[_Row]:
    """Return why each span of a trace was billed or not.

    Raises:
        HTTPException: 404, there is no such trace.
    """
    rows = _calls(store, trace_id, principal)
    if not rows:
        _spans(store, trace_id, principal)
    owners = {row["tenant_id"] for row in rows} | {""} if principal.tenant is None else {principal.tenant}
    return _explanations(store, trace_id, owners, price)


def _spans(store: SpanStore, trace_id: str, principal: Principal) -> list[_Row]:
    found = store.trace(trace_id, principal.tenant)
    if found.num_rows == 0:
        raise HTTPException(
            404, f"no trace {trace_id} is stored; spans can be asked for a second or two after they arrive"
        )
    return rows_of(found)


def _calls(store: SpanStore, trace_id: str, principal: Principal) -> list[_Row]:
    filters = Filters(owner=principal.tenant, trace_id=trace_id)
    return rows_of(store.calls(CallsQuery(filters=filters, limit=MAX_LIMIT)))


def _explanations(store: SpanStore, trace_id: str, owners: set[str], price: Price | None) -> list[_Row]:
    # The owner of a row is its displayed tenant, or none.
    keys = CallKeys(trace_ids=[(owner, trace_id) for owner in owners], response_ids=[], start_ns=0, end_ns=MAX_NS)
    related = store.related(keys)
    calls = settle(related.facts, related.parents)
    by_key = {(call.own.owner, call.own.trace_id, call.own.span_id): call for call in calls}
    return [
        {
            "span_id": found.span_id,
            "billable": found.billable,
            "reason": found.reason,
            "text": found.text,
            "billed_span_id": None if found.winner is None else found.winner[2],
            "model": _model(by_key[found.owner, found.trace_id, found.span_id]),
            "price": _price(by_key[found.owner, found.trace_id, found.span_id], price),
        }
        for found in explain(calls, related.parents)
        if found.trace_id == trace_id
    ]


def _model(call: Call) -> str | None:
    return call.facts.request_model or call.facts.response_model


def _price(call: Call, price: Price | None) -> Any:
    return price(call) if price is not None and call.billable else None


def depth_first(spans: list[_Row]) -> Iterator[_Row]:
    """Yield spans with ``depth`` and ``children``; what hangs on no root, or on itself, comes as a root of its own."""
    children = _children(spans)
    seen: set[int] = set()
    known = {span["span_id"] for span in spans}
    roots = [span for span in spans if span["parent_span_id"] not in known]
    for start in [*roots, *spans]:
        stack = [(start, 0)]
        while stack:
            span, depth = stack.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            below = children.get(span["span_id"], [])
            yield span | {"depth": depth, "children": [child["span_id"] for child in below]}
            stack.extend((child, depth + 1) for child in reversed(below))


def _children(spans: list[_Row]) -> Mapping[str, list[_Row]]:
    children: dict[str, list[_Row]] = {}
    for span in spans:
        if span["parent_span_id"] is not None:
            children.setdefault(span["parent_span_id"], []).append(span)
    return children
