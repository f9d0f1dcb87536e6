"""Records to rows of the schema. Whatever a sender put in a record, the row can be stored and summed.

Times are clamped to what a store holds, numbers that are not finite or absurd become NULL (unknown), strings that
are not Unicode are repaired, attribute values that are not JSON are spelt as JSON has it (bytes as base64).
"""

import base64
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Generic, TypeVar

import orjson
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.facts_json import dump_facts
from spanledger_analytics.queries import MAX_NS
from spanledger_analytics.records import (
    Call,
    Content,
    Event,
    Head,
    Link,
    LogRecord,
    MetricPoint,
    Rejection,
    Resource,
    Scope,
    Score,
    Span,
)

Row = tuple[Any, ...]
Shared = TypeVar("Shared", Resource, Scope)

UNKNOWN_TENANT: Final = "unknown"
SENT: Final = "application"
"""The ``source`` of scores that were sent."""
_TENANT_ATTRIBUTE: Final = "tenant.id"
_SERVICE_ATTRIBUTE: Final = "service.name"
_MAX_TOKENS: Final = 2**40  # eight million such rows still sum within 64 bits
_MAX_COST: Final = Decimal(10) ** 9
_NANO: Final = Decimal("1e-9")
_MAX_DEPTH: Final = 64


def table_of(table: schema.Table, rows: Iterable[Row]) -> pa.Table:
    """Build an Arrow table of all columns from rows in schema order."""
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(table.columns)
    arrays = [_array(values, column.type) for values, column in zip(columns, table.columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=table.arrow)


def span_table(spans: Sequence[Span] | pa.Table) -> pa.Table:
    """Return the rows of ``spans`` for the spans of a batch."""
    return spans if isinstance(spans, pa.Table) else table_of(schema.SPANS, map(span_row, spans))


def heads(spans: pa.Table) -> list[Head]:
    """Return what ties the spans of these rows to others."""
    return [Head(*values) for values in zip(*(spans[name].to_pylist() for name in Head._fields), strict=True)]


def span_row(span: Span) -> Row:
    """Return the row of ``spans``."""
    start, end = clamp_ns(span.start_ns), clamp_ns(span.end_ns)
    return (
        span.owner,
        start,
        end,
        start // 1000,
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        tenant_of(span.owner or span.tenant_id or "", span.attributes, span.resource),
        _text(span.resource.attributes.get(_SERVICE_ATTRIBUTE)),
        span.scope.name,
        span.name,
        span.kind,
        span.status,
        span.status_message,
        _milliseconds(end - start),
        to_json(span.attributes),
        _resource_json(span.resource),
        _scope_json(span.scope),
        _events_json(span.events) if span.events else "[]",
        _links_json(span.links) if span.links else "[]",
        span.trace_state,
        _count(span.flags),
        _count(span.dropped_attributes),
        _count(span.dropped_events),
        _count(span.dropped_links),
    )


def call_row(call: Call) -> Row:
    """Return the row of ``llm_calls``."""
    facts, usage = call.facts, call.facts.usage
    start, end = clamp_ns(call.own.start_ns), clamp_ns(call.own.end_ns)
    return (
        call.own.owner,
        start,
        end,
        start // 1000,
        call.own.trace_id,
        call.own.span_id,
        call.own.parent_span_id,
        facts.owner or facts.tenant_id or UNKNOWN_TENANT,
        facts.user_id,
        facts.session_id,
        facts.use_case,
        facts.service_name,
        facts.environment,
        facts.region,
        facts.provider,
        facts.operation,
        facts.request_model,
        facts.response_model,
        facts.response_id,
        facts.prompt_name,
        facts.prompt_version,
        _count(usage.input),
        _count(usage.output),
        _count(usage.cache_read),
        _count(usage.cache_write),
        _count(usage.reasoning),
        facts.usage_source,
        _money(call.cost_usd),
        call.cost_status,
        call.price_id,
        facts.finish_reason,
        list(facts.finish_reasons_raw),
        facts.stream,
        None if facts.ttft_ns is None else _milliseconds(facts.ttft_ns),
        _milliseconds(facts.end_ns - facts.start_ns),
        facts.status,
        facts.error_type,
        _count(facts.http_status),
        call.billable,
        call.billing_reason,
        facts.dialect,
        facts.scope_name,
        facts.request_model or facts.response_model,
        facts.service_tier,
        dump_facts(call.own),
    )


def content_row(content: Content) -> Row:
    """Return the row of ``span_content``."""
    time = clamp_ns(content.time_ns)
    tenant = content.owner or content.tenant_id or UNKNOWN_TENANT
    return (content.owner, time, time // 1000, content.trace_id, content.span_id, tenant, content.kind, content.text)


def score_row(score: Score) -> Row:
    """Return the row of ``scores``."""
    time = clamp_ns(score.time_ns)
    return (
        score.owner,
        time,
        time // 1000,
        score.trace_id,
        score.span_id,
        score.owner or score.tenant_id or UNKNOWN_TENANT,
        score.model,
        score.use_case,
        score.name,
        _finite(score.value),
        score.label,
        score.explanation,
        score.scorer_version,
        None,
        None,
        _finite(score.value) is not None,
        SENT,
        None,
        None,
        None,
        None,
    )


def log_row(log: LogRecord) -> Row:
    """Return the row of ``logs``; a record without a time of its own takes the time it was observed."""
    time, observed = clamp_ns(log.time_ns or log.observed_ns), clamp_ns(log.observed_ns)
    return (
        log.owner,
        time,
        time // 1000,
        observed // 1000 if observed else None,
        log.trace_id,
        log.span_id,
        tenant_of(log.owner, log.attributes, log.resource),
        _text(log.resource.attributes.get(_SERVICE_ATTRIBUTE)),
        log.scope.name,
        log.event_name,
        _count(log.severity),
        log.severity_text,
        to_json(log.body),
        to_json(log.attributes),
        _resource_json(log.resource),
        _scope_json(log.scope),
    )


def metric_row(point: MetricPoint) -> Row:
    """Return the row of ``metrics``."""
    time, started = clamp_ns(point.time_ns), clamp_ns(point.start_ns)
    return (
        point.owner,
        time,
        time // 1000,
        started // 1000 if started else None,
        tenant_of(point.owner, point.attributes, point.resource),
        _text(point.resource.attributes.get(_SERVICE_ATTRIBUTE)),
        point.scope.name,
        point.name,
        point.unit,
        point.kind,
        point.temporality,
        point.monotonic,
        _finite(point.value),
        _count(point.count),
        _finite(point.total),
        to_json(point.data),
        to_json(point.attributes),
        _resource_json(point.resource),
        _scope_json(point.scope),
    )


def rejection_rows(rejections: Iterable[Rejection]) -> list[Row]:
    """Return rows of ``rejections``: equal dead letters of one moment are one row with their number."""
    return [
        (
            letter.owner,
            clamp_ns(letter.time_ns),
            clamp_ns(letter.time_ns) // 1000,
            letter.owner or UNKNOWN_TENANT,
            letter.signal,
            letter.reason,
            letter.service_name,
            _count(letter.size),
            number,
        )
        for letter, number in Counter(rejections).items()
    ]


def unique(rows: Iterable[Row], key: Callable[[Row], Any]) -> list[Row]:
    """Keep the last row of each key, in order of first appearance."""
    return list({key(row): row for row in rows}.values())


def tenant_of(owner: str, attributes: Mapping[str, Any], resource: Resource) -> str:
    """Return the displayed tenant: the credential's, else what the telemetry says, else ``unknown``."""
    said = attributes.get(_TENANT_ATTRIBUTE) or resource.attributes.get(_TENANT_ATTRIBUTE)
    return owner or _text(said) or UNKNOWN_TENANT


def clamp_ns(value: int) -> int:
    """Return a time that a store can hold: from the epoch to the year 2262."""
    return value if 0 <= value <= MAX_NS else min(max(value, 0), MAX_NS)


def to_json(value: Any) -> str:
    """Return JSON text of a decoded attribute value, whatever it contains."""
    try:
        return orjson.dumps(value, default=_default).decode()
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def clean_text(value: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot."""
    return value.encode("utf-8", "replace").decode()


def _array(values: Sequence[Any], type_: pa.DataType) -> "pa.Array[Any]":
    try:
        return pa.array(values, type_)
    except UnicodeEncodeError:
        return pa.array([_plain(value) for value in values], type_)


def _plain(value: Any, depth: int = 0) -> Any:
    """Rebuild a value out of what JSON and UTF-8 know."""
    if isinstance(value, float):
        return _finite(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if not isinstance(value, (Mapping, list, tuple)):
        return _default(value)
    if depth == _MAX_DEPTH:
        return "[nested too deep]"
    if isinstance(value, Mapping):
        return {clean_text(str(key)): _plain(item, depth + 1) for key, item in value.items()}
    return [_plain(item, depth + 1) for item in value]


def _default(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    return clean_text(str(value))


def _events_json(events: Iterable[Event]) -> str:
    return to_json([{"name": e.name, "time_ns": e.time_ns, "attributes": e.attributes} for e in events])


def _links_json(links: Iterable[Link]) -> str:
    return to_json([{"trace_id": k.trace_id, "span_id": k.span_id, "attributes": k.attributes} for k in links])


class _Latest(Generic[Shared]):
    """A function of a record that many rows in a row share; remembers the last one, in each thread."""

    def __init__(self, spell: Callable[[Shared], str]) -> None:
        self._spell: Callable[[Shared], str] = spell
        self._last = threading.local()

    def __call__(self, record: Shared) -> str:
        last = self._last.__dict__
        if last.get("record") is not record:
            last["text"], last["record"] = self._spell(record), record
        text: str = last["text"]
        return text


@_Latest
def _resource_json(resource: Resource) -> str:
    return to_json({"attributes": resource.attributes, "schema_url": resource.schema_url})


@_Latest
def _scope_json(scope: Scope) -> str:
    return to_json(
        {
            "name": scope.name,
            "version": scope.version,
            "attributes": scope.attributes,
            "schema_url": scope.schema_url,
        }
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else to_json(value)


def _count(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= _MAX_TOKENS else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _milliseconds(nanoseconds: int) -> float:
    return clamp_ns(nanoseconds) / 1e6


def _money(value: Decimal | None) -> Decimal | None:
    if value is None or not value.is_finite() or abs(value) >= _MAX_COST:
        return None
    rounded = value.quantize(_NANO, ROUND_HALF_EVEN)
    return rounded if abs(rounded) < _MAX_COST else None
