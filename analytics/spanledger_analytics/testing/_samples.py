"""Plain records with everything sensible filled in, for tests that change one field."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from spanledger_analytics.records import Call, CallFacts, Event, Link, Resource, Scope, Span, Usage

T0: Final = 1_772_539_200_000_000_000
"""2026-03-03 12:00:00 UTC, a Tuesday."""
SECOND: Final = 1_000_000_000


def a_span(number: int = 1, **changes: Any) -> Span:
    """Return a client span; ``number`` makes the ids, a trace per number."""
    span = Span(
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        name="chat gpt-5-mini",
        kind="client",
        start_ns=T0,
        end_ns=T0 + SECOND,
        status="ok",
        attributes={"gen_ai.request.model": "gpt-5-mini", "list": [1, 2.5, None], "deep": {"a": {"b": True}}},
        events=(Event("gen_ai.choice", T0 + 1, {"index": 0}),),
        links=(Link("ab" * 16, "cd" * 8, {"why": "retry"}),),
        resource=Resource({"service.name": "shop", "tenant.id": "acme"}, "https://example.invalid/1"),
        scope=Scope("openai", "1.2", {"k": "v"}, "https://example.invalid/2"),
    )
    return replace(span, **changes)


def facts_of(number: int = 1, **changes: Any) -> CallFacts:
    """Return the facts of a plain successful call by the span of the same number."""
    facts = CallFacts(
        owner="",
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        parent_span_id=None,
        start_ns=T0,
        end_ns=T0 + SECOND,
        tenant_id="acme",
        service_name="shop",
        provider="openai",
        operation="chat",
        request_model="gpt-5-mini",
        response_model="gpt-5-mini-2026-01-01",
        response_id=f"resp-{number}",
        usage=Usage(input=100, output=20),
        usage_source="provider",
        finish_reason="stop",
        finish_reasons_raw=("stop",),
        stream=False,
    )
    return replace(facts, **changes)


def a_call(number: int = 1, *, billable: bool = True, cost: str | None = "0.001", **changes: Any) -> Call:
    """Return a settled call; ``changes`` are to its facts."""
    facts = facts_of(number, **changes)
    return Call(
        facts=facts,
        own=facts,
        billable=billable,
        billing_reason="only span of the call" if billable else "wrapper",
        cost_usd=None if cost is None else Decimal(cost),
        cost_status="unpriced_model" if cost is None else "priced",
        price_id=None if cost is None else "openai/gpt-5-mini@2026-01-01",
    )
