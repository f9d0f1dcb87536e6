"""The values that travel through Spanledger, from the wire to the tables.

A received :class:`Span` is uninterpreted. Normalisation reads :class:`CallFacts` out of it: what that one span, alone,
says of a model call. Settlement looks at all facts about the same call and writes one :class:`Call` per span, which is
a row of ``llm_calls``: merged, priced, and marked billable at most once per real call.

Times are integer nanoseconds since the epoch, UTC. Money is :class:`decimal.Decimal` USD with nine places.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, **options: bool) -> Callable[[type], type]:
        """Leave it to type checkers that nobody changes a record: run-time checks quadruple the cost of making one."""
        return dataclasses.dataclass(unsafe_hash=frozen, **options)


AttributeValue = Any
"""A decoded OTLP AnyValue: str, bool, int, float, bytes, None, list or dict of the same."""

Attributes = Mapping[str, AttributeValue]

SpanKind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]
SpanStatus = Literal["unset", "ok", "error"]
FinishReason = Literal["stop", "length", "tool_call", "content_filter", "error"]
UsageSource = Literal["provider", "estimated", "missing"]
CostStatus = Literal["priced", "unpriced_model", "no_usage", "not_billable"]


@dataclass(frozen=True, slots=True)
class Resource:
    """The entity that produced the telemetry (OTLP Resource), shared by its spans."""

    attributes: Attributes = field(default_factory=dict)
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """The instrumentation scope (OTLP InstrumentationScope), shared by its spans."""

    name: str = ""
    version: str = ""
    attributes: Attributes = field(default_factory=dict)
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A timed event on a span."""

    name: str
    time_ns: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """A pointer from a span to another span."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One OTLP span as received: valid, decoded, not interpreted.

    ``owner`` is the tenant of the credential it came with, or ``""`` where none was asked for (loopback development).
    Identity is ``(owner, trace_id, span_id)``; ids are lower-case hex of 32 and 16 digits.
    """

    owner: str = ""
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    trace_state: str = ""
    flags: int = 0
    name: str
    kind: SpanKind = "unspecified"
    start_ns: int
    end_ns: int
    status: SpanStatus = "unset"
    status_message: str = ""
    attributes: Attributes = field(default_factory=dict)
    events: Sequence[Event] = ()
    links: Sequence[Link] = ()
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0
    resource: Resource = Resource()
    scope: Scope = Scope()
    tenant_id: str | None = None
    """The tenant that the span names in its own dialect, set by normalisation where no ``tenant.id`` says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One OTLP log record as received; GenAI events arrive this way."""

    owner: str = ""
    time_ns: int
    observed_ns: int = 0
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str = ""
    severity: int = 0
    severity_text: str = ""
    body: AttributeValue = None
    attributes: Attributes = field(default_factory=dict)
    resource: Resource = Resource()
    scope: Scope = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint:
    """One data point of an OTLP metric, kept raw: ``value`` for sums and gauges, ``data`` for the rest (JSON-able)."""

    owner: str = ""
    name: str
    unit: str = ""
    kind: Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
    temporality: Literal["unspecified", "delta", "cumulative"] = "unspecified"
    monotonic: bool = False
    start_ns: int = 0
    time_ns: int
    value: float | None = None
    count: int | None = None
    total: float | None = None
    data: Attributes = field(default_factory=dict)
    attributes: Attributes = field(default_factory=dict)
    resource: Resource = Resource()
    scope: Scope = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call by class; ``None`` means the source did not say.

    As in the OTel conventions, ``input`` and ``output`` are totals that include their classes: cache reads, cache
    writes, audio and images are part of ``input``; reasoning, audio and images are part of ``output``.
    ``cache_write_1h`` is the part of ``cache_write`` with a one-hour time to live (Anthropic bills it higher),
    ``audio_cache_read`` the audio part of ``cache_read``. The fields are those of ``spanledger.pricing.TokenUsage``.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    audio_cache_read: int | None = None
    image_input: int | None = None
    image_output: int | None = None


class Head(NamedTuple):
    """What of a stored span ties it to others."""

    owner: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What one span, alone, says of one model call. Only candidates for billing have facts."""

    owner: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    start_ns: int
    end_ns: int
    tenant_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    use_case: str | None = None
    service_name: str | None = None
    environment: str | None = None
    region: str | None = None
    provider: str | None = None
    operation: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    usage: Usage = Usage()
    usage_source: UsageSource = "missing"
    service_tier: str | None = None
    batch: bool = False
    reported_cost_usd: Decimal | None = None
    finish_reason: FinishReason | None = None
    finish_reasons_raw: tuple[str, ...] = ()
    stream: bool | None = None
    ttft_ns: int | None = None
    status: Literal["ok", "error"] = "ok"
    error_type: str | None = None
    http_status: int | None = None
    dialect: str = ""
    scope_name: str = ""
    rollup: bool = False
    """True for a span that repeats its children's sum (invoke_agent, workflow); it is never billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A row of ``llm_calls``: facts merged over every span of the same call, billed once, priced or told why not."""

    facts: CallFacts
    """The merged facts, shown in the row."""
    own: CallFacts
    """What this span itself said, kept so that settlement can be repeated when more of the call arrives."""
    billable: bool
    billing_reason: str
    cost_usd: Decimal | None = None
    cost_status: CostStatus = "not_billable"
    price_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Prompt and completion text of a span, stored only where the content policy allows it; JSON text or plain text."""

    owner: str
    tenant_id: str
    trace_id: str
    span_id: str
    time_ns: int
    kind: Literal["input", "output", "system", "tools", "retrieval", "other"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """An evaluation of a span: 1 is good, except for names that end in ``_risk``, where 1 is bad."""

    owner: str
    tenant_id: str
    trace_id: str
    span_id: str
    time_ns: int
    model: str | None = None
    use_case: str | None = None
    name: str
    value: float | None = None
    label: str | None = None
    explanation: str | None = None
    scorer_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A span, log record or metric point that could not be taken, kept as a dead letter."""

    owner: str
    signal: Literal["traces", "logs", "metrics"]
    reason: str
    service_name: str | None = None
    size: int = 0
    time_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Everything one store transaction writes. Appending the same batch twice equals appending it once."""

    spans: Sequence[Span] | pa.Table = ()
    """Records, or their rows: all columns of ``schema.SPANS``."""
    calls: Sequence[Call] = ()
    contents: Sequence[Content] = ()
    logs: Sequence[LogRecord] = ()
    metrics: Sequence[MetricPoint] = ()
    scores: Sequence[Score] = ()
    rejections: Sequence[Rejection] = ()
    journal_position: int | None = None
    """Everything before this journal offset is in the store once the batch is."""
