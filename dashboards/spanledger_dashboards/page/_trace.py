"""A trace as a waterfall."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from spanledger_dashboards.page._format import NOTHING, exact_usd, shown
from spanledger_dashboards.page._review import ScoreView
from spanledger_dashboards.page._said import Text

_MOST_DEPTH: Final = 12
"""Deeper spans are not moved further to the right."""

_FACTS: Final = (
    ("tenant_id", "Tenant"), ("use_case", "Use case"), ("user_id", "User"), ("session_id", "Session"),
    ("provider", "Provider"), ("request_model", "Model asked for"), ("response_model", "Model that answered"),
    ("operation", "Operation"), ("prompt_name", "Prompt"), ("prompt_version", "Prompt version"),
    ("finish_reason", "Finish reason"), ("error_type", "Error"), ("http_status", "HTTP status"),
    ("service_tier", "Service tier"), ("region", "Region"), ("response_id", "Response id"),
    ("usage_source", "Source of usage"), ("price_id", "Price"), ("dialect", "Dialect"),
)  # fmt: skip
_TOKENS: Final = (
    ("input_tokens", "Input"), ("cache_read_tokens", "of it read from cache"),
    ("cache_write_tokens", "of it written to cache"), ("output_tokens", "Output"),
    ("reasoning_tokens", "of it reasoning"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceView:
    """What a cost is made of."""

    lines: Sequence[tuple[str, str, str, str]]
    """Class of tokens, how many, US dollars per million, amount."""
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanView:
    """A span of a waterfall. ``x`` and ``width`` are per cent of the trace."""

    span_id: str
    name: str
    service: str
    kind: str
    status: str
    status_message: str
    start: datetime
    offset: str
    duration: str
    depth: int
    x: float
    width: float
    ttft_x: float | None
    """Where the first token came."""
    model: str
    cost: str
    """For a billed call: its cost or ``unknown``; else empty."""
    tokens: str
    billing: str
    facts: Sequence[tuple[str, str]]
    token_rows: Sequence[tuple[str, str]]
    price: PriceView | None
    attributes: Sequence[tuple[str, str]]
    events: Sequence[tuple[str, str]]
    texts: Sequence[Text]
    scores: Sequence[ScoreView]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceView:
    """A whole trace."""

    trace_id: str
    spans: Sequence[SpanView]
    start: datetime
    duration: str
    calls: int
    cost: str
    """Of the calls that are billed, and how many have no known cost."""
    tokens: str
    errors: int
    middle: str
    """Half of the duration, for the axis."""


def trace_of(
    trace_id: str,
    spans: Sequence[Mapping[str, Any]],
    explanations: Mapping[str, Mapping[str, Any]],
    texts: Mapping[str, Sequence[Text]],
    scores: Mapping[str, Sequence[ScoreView]],
) -> TraceView:
    """Return the view of a trace.

    Args:
        trace_id: Of all spans.
        spans: As ``GET /api/v1/traces/{trace_id}`` has them, depth first, at least one.
        explanations: As ``/explain`` has them, by span; prices as mappings.
        texts: What was said, by span, where it is stored and may be seen.
        scores: What was judged, by span.
    """
    first = min(_start(span) for span in spans)
    end = max(_start(span) + _length(span) for span in spans)
    whole = max((end - first) / timedelta(milliseconds=1), 0.001)
    calls = [span["call"] for span in spans if span["call"] and span["call"]["billable"]]
    return TraceView(
        trace_id=trace_id,
        spans=[
            replace(
                _span(span, first, whole, explanations.get(span["span_id"], {}), texts),
                scores=scores.get(span["span_id"], ()),
            )
            for span in spans
        ],
        start=first,
        duration=shown(whole, "ms"),
        middle=shown(whole / 2, "ms"),
        calls=len(calls),
        cost=_total(calls),
        tokens=_tokens(_sum(calls, "input_tokens"), _sum(calls, "output_tokens")),
        errors=sum(span["status"] == "error" for span in spans),
    )


def _sum(calls: Sequence[Mapping[str, Any]], name: str) -> int | None:
    known = [call[name] for call in calls if call[name] is not None]
    return sum(known) if known else None


def _total(calls: Sequence[Mapping[str, Any]]) -> str:
    known = [Decimal(call["cost_usd"]) for call in calls if call["cost_usd"] is not None]
    unknown = len(calls) - len(known)
    if not calls:
        return "no model call is billed"
    if not known:
        return "unknown"
    return exact_usd(sum(known)) + (f" and {unknown} of unknown cost" if unknown else "")


def _span(
    span: Mapping[str, Any],
    first: datetime,
    whole: float,
    explanation: Mapping[str, Any],
    texts: Mapping[str, Sequence[Text]],
) -> SpanView:
    call = span["call"] or {}
    offset = (_start(span) - first) / timedelta(milliseconds=1)
    duration = span["duration_ms"] or 0.0
    ttft = call.get("ttft_ms")
    return SpanView(
        span_id=span["span_id"],
        name=span["name"] or NOTHING,
        service=span["service_name"] or "",
        kind=span["kind"] or "",
        status=span["status"] or "",
        status_message=span["status_message"] or "",
        start=_start(span),
        offset=shown(offset, "ms"),
        duration=shown(duration, "ms"),
        depth=min(span["depth"], _MOST_DEPTH),
        x=round(offset / whole * 100, 3),
        width=round(max(duration / whole * 100, 0.4), 3),
        ttft_x=None if ttft is None else round((offset + ttft) / whole * 100, 3),
        model=call.get("model") or "",
        cost=_cost(call),
        tokens=_tokens(call.get("input_tokens"), call.get("output_tokens")) if call else "",
        billing=explanation.get("text", ""),
        facts=list(_facts(call)),
        token_rows=[(label, shown(call[name], "tokens")) for name, label in _TOKENS if call.get(name) is not None],
        price=_price(explanation.get("price")),
        attributes=[(name, _plain(value)) for name, value in sorted((span["attributes"] or {}).items())],
        events=[(event.get("name") or NOTHING, _plain(event.get("attributes"))) for event in span["events"] or ()],
        texts=texts.get(span["span_id"], ()),
        scores=(),
    )


def _cost(call: Mapping[str, Any]) -> str:
    if not call.get("billable"):
        return ""
    if call["cost_usd"] is None:
        return f"unknown ({str(call['cost_status'] or 'no price').replace('_', ' ')})"
    return exact_usd(call["cost_usd"])


def _tokens(taken: Any, given: Any) -> str:
    if taken is None and given is None:
        return "unknown"
    one, other = ("?" if count is None else f"{count:,}" for count in (taken, given))
    return f"{one} in, {other} out"


def _facts(call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, label in _FACTS:
        if call.get(name) is not None:
            yield label, str(call[name])
    if call.get("ttft_ms") is not None:
        yield "Time to first token", shown(call["ttft_ms"], "ms")


def _price(price: Mapping[str, Any] | None) -> PriceView | None:
    if price is None:
        return None
    lines = [
        (
            str(line["token_class"]).replace("_", " "),
            shown(line["tokens"], "tokens"),
            f"${line['usd_per_million']}",
            exact_usd(line["amount"]),
        )
        for line in price["lines"]
    ]
    if price["amount"] is None:
        return PriceView(lines=lines, note=f"No cost: {price['detail'] or price['reason']}.")
    return PriceView(lines=lines, note=f"Price {price['price_id']}, from {price['source']}.")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=None, default=str)


def _start(span: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(span["time"])


def _length(span: Mapping[str, Any]) -> timedelta:
    return timedelta(milliseconds=span["duration_ms"] or 0.0)
