"""What is added to spans on the export thread: finish reason, cost, region, and the content policy.

Spans are immutable once ended, so the exporter behind gets copies. Other exporters see the originals.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

from spanledger import semconv
from spanledger._content import apply_to_attributes, apply_to_events, apply_to_status
from spanledger._facts import Facts, facts_of, normalised, response_id_of
from spanledger._guard import shielded
from spanledger.settings import ContentPolicy

Cost = Callable[[Facts, int], "float | None"]
"""Prices a call: facts and start time in ns since the epoch to USD, ``None`` when the model or its price is unknown."""

_REGION = re.compile(
    r"bedrock[a-z-]*\.(?P<aws>[a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com"
    r"|(?P<gcp>[a-z]+-[a-z]+\d+)-aiplatform\.googleapis\.com"
    r"|(?P<openai>[a-z]{2})\.api\.openai\.com"
)
_ABANDONED = "abandoned stream"
"""Status description of opentelemetry-util-genai when a stream is dropped before its end."""

_BREAKS = frozenset({"CancelledError", "GeneratorExit", "_OTHER"})
"""Error types of a reader that went away."""


class EnrichingExporter(SpanExporter):
    """Hands enriched copies of the spans to ``next_exporter``.

    Args:
        next_exporter: Who sends them.
        content: Content policy of this export.
        cost: How calls are priced; the price table of the package by default.
    """

    def __init__(self, next_exporter: SpanExporter, content: ContentPolicy = "none", cost: Cost | None = None) -> None:
        self._next = next_exporter
        self._content = content
        self._cost = cost or _default_cost()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies. A span that cannot be enriched is dropped: its content must not leave unexamined."""
        enriched = [copy for span in spans if (copy := self._guarded(span)) is not None]
        return self._next.export(enriched) if enriched else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Shut the next one down."""
        self._next.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the next one."""
        return self._next.force_flush(timeout_millis)

    def _guarded(self, span: ReadableSpan) -> ReadableSpan | None:
        with shielded("enriching a span"):
            return self.enriched(span)
        return None

    def enriched(self, span: ReadableSpan) -> ReadableSpan:
        """A copy of ``span`` with what we know better, and without what must not leave."""
        attributes = dict(span.attributes or {})
        status = span.status
        facts = facts_of(attributes)
        if facts is not None:
            _add_response_id(attributes)
            _add_time_to_first_chunk(attributes, span)
            _add_region(attributes)
            if _is_placeholder(span, facts):
                del attributes[semconv.FINISH_REASONS]
            else:
                status = _settle_stream(attributes, facts, status)
                _add_finish_reason(attributes, facts, status)
            self._add_cost(attributes, facts, span.start_time or 0)
        apply_to_attributes(attributes, self._content)
        events = apply_to_events(span.events, self._content)
        return _copy(span, attributes, events, apply_to_status(status, self._content))

    def _add_cost(self, attributes: dict[str, Any], facts: Facts, at: int) -> None:
        if not facts.has_usage or semconv.COST_AMOUNT in attributes or semconv.STREAM_ABORTED in attributes:
            return  # what an abandoned stream says of its usage may be a placeholder
        with shielded("pricing a call"):
            amount = self._cost(facts, at)
            if amount is not None:
                attributes |= {
                    semconv.COST_AMOUNT: amount,
                    semconv.COST_CURRENCY: "USD",
                    semconv.COST_SOURCE: "local",
                }


def _default_cost() -> Cost:
    from spanledger._cost import LocalPrices  # noqa: PLC0415  # reads the price table: only who exports needs it

    return LocalPrices()


def _add_response_id(attributes: dict[str, Any]) -> None:
    if semconv.RESPONSE_ID not in attributes and semconv.OI_OUTPUT_VALUE in attributes:
        found = response_id_of(attributes[semconv.OI_OUTPUT_VALUE])
        if found:
            attributes[semconv.RESPONSE_ID] = found


def _add_time_to_first_chunk(attributes: dict[str, Any], span: ReadableSpan) -> None:
    """Seconds to the first chunk, from OpenInference's event where the instrumentor gives no attribute."""
    if semconv.TIME_TO_FIRST_CHUNK in attributes or not span.events or span.start_time is None:
        return
    for event in span.events:
        if event.name == semconv.OI_FIRST_TOKEN_EVENT:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = max(event.timestamp - span.start_time, 0) / 1e9
            return


def _add_region(attributes: dict[str, Any]) -> None:
    match = _REGION.match(str(attributes.get(semconv.SERVER_ADDRESS, "")))
    if match and semconv.CLOUD_REGION not in attributes:
        attributes[semconv.CLOUD_REGION] = match[match.lastgroup or 0]


def _is_placeholder(span: ReadableSpan, facts: Facts) -> bool:
    """Whether the finish reason only means that LangChain did not say it, as with OpenAI's Responses API.

    Its instrumentor (1.3b0) writes ``error`` then; a call that failed has an error status.
    """
    if facts.finish_reasons != ("error",) or span.status.status_code is StatusCode.ERROR:
        return False
    scope = span.instrumentation_scope
    return scope is not None and scope.name == semconv.LANGCHAIN_SCOPE


def _settle_stream(attributes: dict[str, Any], facts: Facts, status: Status) -> Status:
    """Mark a stream that ended before its answer; clear the error of one whose reader left after the answer's end."""
    if not facts.streamed and semconv.TIME_TO_FIRST_CHUNK not in attributes:
        return status
    failed = status.status_code is StatusCode.ERROR
    if facts.finish_reasons:
        if failed and attributes.get(semconv.ERROR_TYPE) == "_OTHER" and status.description == _ABANDONED:
            del attributes[semconv.ERROR_TYPE]
            return Status(StatusCode.UNSET)
        return status
    began = semconv.TIME_TO_FIRST_CHUNK in attributes or not failed
    if began or str(attributes.get(semconv.ERROR_TYPE, "")).rpartition(".")[2] in _BREAKS:
        attributes[semconv.STREAM_ABORTED] = True
    return status


def _add_finish_reason(attributes: dict[str, Any], facts: Facts, status: Status) -> None:
    if semconv.FINISH_REASON in attributes:
        return
    reason = normalised(facts.finish_reasons)
    if reason == "stop" and any(".tool_calls." in name for name in attributes):
        reason = "tool_call"  # Gemini ends a tool call with STOP
    if status.status_code is StatusCode.ERROR or semconv.STREAM_ABORTED in attributes:
        reason = "error"
    if reason is not None:
        attributes[semconv.FINISH_REASON] = reason


def _copy(span: ReadableSpan, attributes: Mapping[str, Any], events: Sequence[Event], status: Status) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
