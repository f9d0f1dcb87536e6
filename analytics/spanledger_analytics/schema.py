"""The one schema: every table and column in Arrow types. Adapters derive their DDL from it, dashboards their queries.

A *public* column is part of the view of the same name (``/query``, the PostgreSQL wire, Grafana) and of the public
contract: add freely, never rename. A *private* one serves the store alone. Every table but ``prices`` starts with the
private column ``owner``, the tenant of the credential that wrote the row; reads are scoped by it.

Times are microseconds UTC, money is DECIMAL(18,9) USD, JSON is text.
"""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

TEXT: Final = pa.string()
JSON: Final = pa.string()
COUNT: Final = pa.int64()
REAL: Final = pa.float64()
FLAG: Final = pa.bool_()
TIME: Final = pa.timestamp("us", tz="UTC")
MONEY: Final = pa.decimal128(18, 9)
TEXTS: Final = pa.list_(pa.string())

VERSION: Final = 1
"""Of the tables as a whole; a store written by a higher one is refused."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; private ones are absent from the view."""

    name: str
    type: pa.DataType
    public: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the view of the same name."""

    name: str
    columns: tuple[Column, ...]
    scoped: bool = True
    """False for what belongs to no tenant (prices)."""

    @property
    def arrow(self) -> pa.Schema:
        """All columns."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])

    @property
    def view(self) -> pa.Schema:
        """The public columns."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns if column.public])


def _private(**types: pa.DataType) -> tuple[Column, ...]:
    return tuple(Column(name, type_, public=False) for name, type_ in types.items())


def _public(**types: pa.DataType) -> tuple[Column, ...]:
    return tuple(Column(name, type_) for name, type_ in types.items())


_OWNER = _private(owner=TEXT)
_WHERE_FROM = _public(attributes=JSON, resource=JSON, scope=JSON)

LLM_CALLS: Final = Table(
    "llm_calls",
    _OWNER
    + _private(start_ns=COUNT, end_ns=COUNT)
    + _public(
        time=TIME,
        trace_id=TEXT,
        span_id=TEXT,
        parent_span_id=TEXT,
        tenant_id=TEXT,
        user_id=TEXT,
        session_id=TEXT,
        use_case=TEXT,
        service_name=TEXT,
        environment=TEXT,
        region=TEXT,
        provider=TEXT,
        operation=TEXT,
        request_model=TEXT,
        response_model=TEXT,
        response_id=TEXT,
        prompt_name=TEXT,
        prompt_version=TEXT,
        input_tokens=COUNT,
        output_tokens=COUNT,
        cache_read_tokens=COUNT,
        cache_write_tokens=COUNT,
        reasoning_tokens=COUNT,
        usage_source=TEXT,
        cost_usd=MONEY,
        cost_status=TEXT,
        price_id=TEXT,
        finish_reason=TEXT,
        finish_reasons_raw=TEXTS,
        stream=FLAG,
        ttft_ms=REAL,
        duration_ms=REAL,
        status=TEXT,
        error_type=TEXT,
        http_status=COUNT,
        billable=FLAG,
        billing_reason=TEXT,
        dialect=TEXT,
        scope_name=TEXT,
        model=TEXT,
        service_tier=TEXT,
    )
    + _private(own=JSON),
)
"""One row per model call. ``model`` is the requested model, or the one that answered where the request named none.
``own`` holds what the row's span itself said (:mod:`spanledger_analytics.facts_json`)."""

SPANS: Final = Table(
    "spans",
    _OWNER
    + _private(start_ns=COUNT, end_ns=COUNT)
    + _public(
        time=TIME,
        trace_id=TEXT,
        span_id=TEXT,
        parent_span_id=TEXT,
        tenant_id=TEXT,
        service_name=TEXT,
        scope_name=TEXT,
        name=TEXT,
        kind=TEXT,
        status=TEXT,
        status_message=TEXT,
        duration_ms=REAL,
    )
    + _WHERE_FROM
    + _public(
        events=JSON,
        links=JSON,
        trace_state=TEXT,
        flags=COUNT,
        dropped_attributes=COUNT,
        dropped_events=COUNT,
        dropped_links=COUNT,
    ),
)
"""Every span, retrievable as received: ``resource`` and ``scope`` are OTLP objects, ``attributes`` a plain one."""

SPAN_CONTENT: Final = Table(
    "span_content",
    _OWNER
    + _private(start_ns=COUNT)
    + _public(time=TIME, trace_id=TEXT, span_id=TEXT, tenant_id=TEXT, kind=TEXT, text=TEXT),
)

SCORES: Final = Table(
    "scores",
    _OWNER
    + _private(start_ns=COUNT)
    + _public(
        time=TIME,
        trace_id=TEXT,
        span_id=TEXT,
        tenant_id=TEXT,
        model=TEXT,
        use_case=TEXT,
        name=TEXT,
        value=REAL,
        label=TEXT,
        explanation=TEXT,
        scorer_version=TEXT,
        calibration_id=TEXT,
        confidence=REAL,
        evaluable=FLAG,
        source=TEXT,
        prompt_name=TEXT,
        prompt_version=TEXT,
        detail=JSON,
    )
    + _private(evidence=TEXT),
)
"""``source`` is ``spanledger`` for scores made here, ``application`` for those that were sent. ``time`` is that of the
call, or of the event that was sent. ``explanation`` and ``detail`` hold no captured text, only places in it.
``evidence`` is a digest of what was judged by whom."""

LABELS: Final = Table(
    "labels",
    _OWNER
    + _private(start_ns=COUNT)
    + _public(
        time=TIME,
        trace_id=TEXT,
        span_id=TEXT,
        tenant_id=TEXT,
        name=TEXT,
        label=TEXT,
        source=TEXT,
        reason=TEXT,
        author=TEXT,
        weight=REAL,
    ),
)
"""What people, or a judge they trust, say of answers: ``pass`` or ``fail`` under the name of a score. ``weight`` is one
over the chance that the answer had of being asked about."""

LOGS: Final = Table(
    "logs",
    _OWNER
    + _private(start_ns=COUNT)
    + _public(
        time=TIME,
        observed=TIME,
        trace_id=TEXT,
        span_id=TEXT,
        tenant_id=TEXT,
        service_name=TEXT,
        scope_name=TEXT,
        event_name=TEXT,
        severity=COUNT,
        severity_text=TEXT,
        body=JSON,
    )
    + _WHERE_FROM,
)

METRICS: Final = Table(
    "metrics",
    _OWNER
    + _private(start_ns=COUNT)
    + _public(
        time=TIME,
        started=TIME,
        tenant_id=TEXT,
        service_name=TEXT,
        scope_name=TEXT,
        name=TEXT,
        unit=TEXT,
        kind=TEXT,
        temporality=TEXT,
        monotonic=FLAG,
        value=REAL,
        count=COUNT,
        total=REAL,
        data=JSON,
    )
    + _WHERE_FROM,
)
"""Metric points as received. ``start_ns`` is the point's own time, ``started`` the start of its interval if any."""

REJECTIONS: Final = Table(
    "rejections",
    _OWNER
    + _private(start_ns=COUNT)
    + _public(time=TIME, tenant_id=TEXT, signal=TEXT, reason=TEXT, service_name=TEXT, size=COUNT, count=COUNT),
)
"""Dead letters: ``count`` equal ones of ``size`` bytes each."""

ANOMALIES: Final = Table(
    "anomalies",
    _OWNER
    + _public(
        id=TEXT,
        tenant_id=TEXT,
        kind=TEXT,
        metric=TEXT,
        dimensions=JSON,
        started=TIME,
        ended=TIME,
        severity=TEXT,
        impact_usd=MONEY,
        expected=REAL,
        observed=REAL,
        cause=TEXT,
        summary=TEXT,
        status=TEXT,
        detected=TIME,
        impact_usd_per_hour=MONEY,
        requests_per_hour=REAL,
        confidence=REAL,
        causes=JSON,
        ties=JSON,
        detail=JSON,
    ),
)
"""What the detector found. ``impact_usd`` is what it has cost so far, ``requests_per_hour`` how many were worse off,
``summary`` one sentence; ``status`` is open, ended, accepted (became normal), planned or withdrawn."""

BUDGETS: Final = Table(
    "budgets",
    _OWNER
    + _public(
        name=TEXT,
        tenant_id=TEXT,
        dimensions=JSON,
        period=TEXT,
        period_start=TIME,
        period_end=TIME,
        limit_usd=MONEY,
        spent_usd=MONEY,
        forecast_usd=MONEY,
        state=TEXT,
        share=REAL,
        calls=COUNT,
        unpriced_calls=COUNT,
        forecast_low_usd=MONEY,
        forecast_high_usd=MONEY,
        exhausted_at=TIME,
        exhausted_early=TIME,
        exhausted_late=TIME,
        amount=MONEY,
        currency=TEXT,
        timezone=TEXT,
        mode=TEXT,
        source=TEXT,
    ),
)
"""How every budget stands in the period that is on. ``share`` is spent by limit; ``amount`` is in ``currency``."""

BUDGET_EVENTS: Final = Table(
    "budget_events",
    _OWNER
    + _public(
        time=TIME,
        budget=TEXT,
        tenant_id=TEXT,
        kind=TEXT,
        threshold=REAL,
        spent_usd=MONEY,
        limit_usd=MONEY,
        detail=TEXT,
        period=TEXT,
        late=FLAG,
    ),
)
"""``kind`` is ``actual``, ``forecast`` or ``unpriced``; ``threshold`` a part of the limit."""

ALERTS: Final = Table(
    "alerts",
    _OWNER
    + _public(
        id=TEXT,
        tenant_id=TEXT,
        rule=TEXT,
        severity=TEXT,
        state=TEXT,
        started=TIME,
        resolved=TIME,
        labels=JSON,
        summary=TEXT,
        value=REAL,
        threshold=REAL,
        impact_usd=MONEY,
    ),
)

DELIVERIES: Final = Table(
    "deliveries",
    _OWNER
    + _public(
        id=TEXT,
        alert_id=TEXT,
        tenant_id=TEXT,
        endpoint=TEXT,
        time=TIME,
        attempt=COUNT,
        ok=FLAG,
        http_status=COUNT,
        detail=TEXT,
    ),
)

PRICES: Final = Table("prices", _public(price_id=TEXT, provider=TEXT, model=TEXT, source=TEXT), scoped=False)
"""The price book as it was used. It may carry further columns: a store adds those that the price book brings."""

TABLES: Final = (
    LLM_CALLS,
    SPANS,
    SPAN_CONTENT,
    SCORES,
    LABELS,
    LOGS,
    METRICS,
    REJECTIONS,
    ANOMALIES,
    BUDGETS,
    BUDGET_EVENTS,
    ALERTS,
    DELIVERIES,
    PRICES,
)

DIMENSION_COLUMNS: Final = {
    "tenant": "tenant_id",
    "user": "user_id",
    "session": "session_id",
    "service": "service_name",
}
"""Dimensions whose column has another name; ``prompt`` is made of two."""

USAGE_TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def usage_schema(by: tuple[str, ...], *, bucketed: bool) -> pa.Schema:
    """Return the columns of a usage table: bucket start if bucketed, the dimensions, then what was counted."""
    fields: list[pa.Field[Any]] = [pa.field("bucket", TIME)] if bucketed else []
    fields += [pa.field(name, FLAG if name == "stream" else TEXT) for name in by]
    fields += [pa.field(name, COUNT) for name in ("calls", "errors", *USAGE_TOKENS)]
    fields.append(pa.field("cost_usd", pa.decimal128(38, 9)))
    fields += [pa.field(name, COUNT) for name in ("unpriced_calls", "estimated_calls")]
    fields += [pa.field(f"{name}_{what}", REAL) for what in ("duration_ms", "ttft_ms") for name in QUANTILES]
    return pa.schema(fields)


REJECTION_SUMMARY: Final = Table(
    "rejection_summary",
    _public(signal=TEXT, reason=TEXT, service_name=TEXT, count=COUNT, size=COUNT, first_seen=TIME, last_seen=TIME),
).arrow
"""What :meth:`SpanStore.rejections` returns; ``size`` is the sum in bytes."""
