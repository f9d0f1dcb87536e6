"""Stored spans as Jaeger's JSON has them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

Row = Mapping[str, Any]
Tag = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CALL_TAGS: Final = (
    "tenant_id", "use_case", "provider", "model", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "usage_source", "cost_usd", "cost_status", "price_id", "finish_reason",
    "ttft_ms", "prompt_name", "prompt_version", "billable", "billing_reason", "dialect",
)  # fmt: skip
_WARNINGS: Final = {
    ("cost_status", "unpriced_model"): "no price is known for this model: its cost is unknown, not zero",
    ("cost_status", "no_usage"): "no token counts came with this call: its cost is unknown, not zero",
    ("usage_source", "estimated"): "the token counts are estimates",
    ("finish_reason", "length"): "the answer was cut off at the token limit",
    ("finish_reason", "content_filter"): "the answer was stopped by a content filter",
}


def traces_of(spans: Sequence[Row], calls: Sequence[Row]) -> list[dict[str, Any]]:
    """Return traces in the order in which their first spans come."""
    by_trace: dict[str, list[Row]] = {}
    for span in spans:
        by_trace.setdefault(span["trace_id"], []).append(span)
    by_span = {(call["tenant_id"], call["trace_id"], call["span_id"]): call for call in calls}
    return [_trace(trace_id, found, by_span) for trace_id, found in by_trace.items()]


def _trace(trace_id: str, spans: list[Row], calls: Mapping[tuple[str, str, str], Row]) -> dict[str, Any]:
    processes: dict[tuple[str, str], str] = {}
    known = {span["span_id"] for span in spans}
    shown = []
    for span in spans:
        origin = (span["service_name"] or "unknown", span["resource"])
        process = processes.setdefault(origin, f"p{len(processes) + 1}")
        call = calls.get((span["tenant_id"], trace_id, span["span_id"]))
        shown.append(_span(span, call, process, known))
    described = {
        process: {"serviceName": service, "tags": list(_tags(_resource_attributes(resource)))}
        for (service, resource), process in processes.items()
    }
    return {"traceID": trace_id, "spans": shown, "processes": described, "warnings": None}


def _span(span: Row, call: Row | None, process: str, known: set[str]) -> dict[str, Any]:
    tags = [*_tags(_loaded(span["attributes"])), *_own_tags(span), *(_call_tags(call) if call is not None else ())]
    return {
        "traceID": span["trace_id"],
        "spanID": span["span_id"],
        "operationName": span["name"],
        "references": list(_references(span)),
        "startTime": microseconds(span["time"]),
        "duration": round(span["duration_ms"] * 1000),
        "tags": tags,
        "logs": [_log(event) for event in _listed(span["events"])],
        "processID": process,
        "flags": span["flags"] or 0,
        "warnings": list(_warnings(span, call, known)) or None,
    }


def microseconds(moment: datetime) -> int:
    """Return microseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _references(span: Row) -> Iterator[dict[str, str]]:
    if span["parent_span_id"]:
        yield {"refType": "CHILD_OF", "traceID": span["trace_id"], "spanID": span["parent_span_id"]}
    for link in _listed(span["links"]):
        yield {"refType": "FOLLOWS_FROM", "traceID": str(link.get("trace_id")), "spanID": str(link.get("span_id"))}


def _own_tags(span: Row) -> Iterator[Tag]:
    scope = _loaded(span["scope"])
    yield tag("span.kind", span["kind"])
    if span["scope_name"]:
        yield tag("otel.scope.name", span["scope_name"])
    if scope.get("version"):
        yield tag("otel.scope.version", scope["version"])
    if span["status"] != "unset":
        yield tag("otel.status_code", span["status"].upper())
    if span["status"] == "error":
        yield tag("error", value=True)
    if span["status_message"]:
        yield tag("otel.status_description", span["status_message"])


def _call_tags(call: Row) -> Iterator[Tag]:
    for name in _CALL_TAGS:
        value = call[name]
        if value is not None:
            # For the eye; the exact decimal is in the view llm_calls.
            yield tag(f"spanledger.{name}", float(value) if name == "cost_usd" else value)


def _warnings(span: Row, call: Row | None, known: set[str]) -> Iterator[str]:
    if span["parent_span_id"] and span["parent_span_id"] not in known:
        yield "the parent of this span is not stored"
    for what in ("attributes", "events", "links"):
        if span[f"dropped_{what}"]:
            yield f"the sender dropped {span[f'dropped_{what}']} {what}"
    if call is not None and call["billable"]:
        yield from (words for (column, value), words in _WARNINGS.items() if call[column] == value)


def _log(event: Row) -> dict[str, Any]:
    fields = [tag("event", event.get("name") or ""), *_tags(event.get("attributes") or {})]
    return {"timestamp": int(event.get("time_ns") or 0) // 1000, "fields": fields}


def _resource_attributes(resource: str) -> Mapping[str, Any]:
    attributes = _loaded(resource).get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _tags(attributes: Mapping[str, Any]) -> Iterator[Tag]:
    return (tag(str(key), value) for key, value in attributes.items())


def tag(key: str, value: Any) -> Tag:
    """Return a key and a typed value; what has no type of its own there is JSON text."""
    for kind, name in ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return {"key": key, "type": name, "value": value}
    return {"key": key, "type": "string", "value": orjson.dumps(value).decode()}


def _loaded(text: str | None) -> dict[str, Any]:
    found = orjson.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def _listed(text: str | None) -> list[dict[str, Any]]:
    found = orjson.loads(text) if text else []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
