"""The span processor that stamps the identity of the context on every span."""

from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from spanledger import semconv
from spanledger._guard import shielded
from spanledger._identity import current
from spanledger._propagation import LLM_MARK

on_end: list[Callable[[ReadableSpan], None]] = []
"""Who wants to see spans when they end, before they are exported."""
_GUARD = shielded("stamping a span")
_NO_ATTRIBUTES: dict[str, Any] = {}


class IdentityProcessor(SpanProcessor):
    """Stamps tenant, user, session, use case, prompt and region when a span starts; costs two look-ups without them."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp ``span``. What the span already says of itself stays."""
        with _GUARD:
            attributes = span.attributes or _NO_ATTRIBUTES
            is_call = _is_inference(span, attributes)
            if is_call or _continues_a_call(attributes, parent_context):
                setattr(span, LLM_MARK, True)
            entry = current(parent_context)
            if entry is not None:
                _stamp(span, entry.attributes, attributes, is_call=is_call)

    def on_end(self, span: ReadableSpan) -> None:
        """Show it; it is immutable by now, enrichment happens on the export thread."""
        for see in on_end:
            with _GUARD:
                see(span)

    def shutdown(self) -> None:
        """Nothing to release."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  # the interface's signature
        """Nothing is held back."""
        return True


def _is_inference(span: Span, attributes: Any) -> bool:
    operation = attributes.get(semconv.OPERATION_NAME)
    if operation is not None:
        return operation in semconv.INFERENCE_OPERATIONS
    kind = attributes.get(semconv.OI_KIND)
    if kind is not None:
        return kind in semconv.OI_INFERENCE_KINDS
    scope = span.instrumentation_scope
    return scope is not None and scope.name.startswith(semconv.OI_SCOPE) and _is_client(scope.name)


def _is_client(scope: str) -> bool:
    """Whether an OpenInference scope wraps a provider's SDK: most of those say their kind only when a span ends."""
    return scope.removeprefix(semconv.OI_SCOPE).partition(".")[0] in semconv.OI_CLIENTS


def _continues_a_call(attributes: Any, parent_context: Context | None) -> bool:
    """Whether a span without a GenAI meaning of its own (an HTTP request) runs within a model call."""
    if semconv.OPERATION_NAME in attributes or semconv.OI_KIND in attributes:
        return False
    return bool(getattr(trace.get_current_span(parent_context), LLM_MARK, False))


def _stamp(span: Span, identity: Any, attributes: Any, *, is_call: bool) -> None:
    missing = {key: value for key, value in identity.items() if key not in attributes}
    session = identity.get(semconv.SESSION_ID)
    if session and is_call and semconv.CONVERSATION_ID not in attributes:
        missing[semconv.CONVERSATION_ID] = session
    span.set_attributes(missing)
