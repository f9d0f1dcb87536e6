"""Opt-in baggage for service-to-service hops, kept away from the LLM vendors."""

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from spanledger import semconv

LLM_MARK = "_spanledger_llm"
"""Attribute of a span object: it is a model call, or an HTTP request within one. Set by the span processor."""

OWN_KEYS = (
    semconv.TENANT_ID,
    semconv.USER_ID,
    semconv.SESSION_ID,
    semconv.USE_CASE,
    semconv.PROMPT_NAME,
    semconv.PROMPT_VERSION,
)

VENDOR_HOSTS = (
    "openai.com",
    "openai.azure.com",
    "cognitiveservices.azure.com",
    "services.ai.azure.com",
    "anthropic.com",
    "googleapis.com",
    "amazonaws.com",
    "mistral.ai",
    "cohere.com",
    "cohere.ai",
    "groq.com",
    "together.xyz",
    "together.ai",
    "fireworks.ai",
    "perplexity.ai",
    "deepseek.com",
    "x.ai",
    "openrouter.ai",
    "ollama.com",
)
"""Where requests of HTTP instrumentation go unmarked, as for an SDK that nothing was attached to."""

_HOST_ATTRIBUTES = ("server.address", "net.peer.name", "url.full", "http.url")


def _do_nothing() -> None:
    """Until something is configured there is no provider to adopt."""


adopt_provider: Callable[[], None] = _do_nothing


def on_context(adopt: Callable[[], None]) -> None:
    """Register what entering a context does first: look whether the application has set a tracer provider since."""
    global adopt_provider  # noqa: PLW0603  # one hook, so that this module does not know the tracing set-up
    adopt_provider = adopt


def with_baggage(attributes: Mapping[str, str], context: Context) -> Context:
    """``context`` with our own keys of ``attributes`` as baggage entries, and a propagator that spares LLM vendors."""
    guard_propagator()
    for key in OWN_KEYS:
        if key in attributes:
            context = baggage.set_baggage(key, attributes[key], context)
    return context


class VendorSafePropagator(TextMapPropagator):
    """The application's propagator, except that requests to LLM vendors carry none of our baggage."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Leave reading to the application's propagator."""
        return self.inner.extract(carrier, context, getter)

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write headers, without our baggage if the current span is or belongs to a model call."""
        if is_vendor_request(trace.get_current_span(context)):
            context = _without_ours(context)
        self.inner.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        """The headers of the application's propagator."""
        return self.inner.fields


def is_vendor_request(span: Any) -> bool:
    """Whether headers written under ``span`` go to an LLM vendor, or may: a span that was sampled out tells nothing.

    Services downstream of such a span do not record it either, so they miss little.
    """
    if getattr(span, LLM_MARK, False) or _is_sampled_out(span):
        return True
    attributes: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    return any(is_vendor_host(str(attributes[name])) for name in _HOST_ATTRIBUTES if name in attributes)


def _is_sampled_out(span: Any) -> bool:
    identity = span.get_span_context()
    return identity.is_valid and not identity.is_remote and not span.is_recording()


def is_vendor_host(address: str) -> bool:
    """Whether a host name or URL is one of a known LLM vendor."""
    host = address.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1].split(":", 1)[0].lower()
    return any(host == vendor or host.endswith("." + vendor) for vendor in VENDOR_HOSTS)


def _without_ours(context: Context | None) -> Context | None:
    for key in OWN_KEYS:
        if baggage.get_baggage(key, context) is not None:
            context = baggage.remove_baggage(key, context)
    return context


def guard_propagator() -> None:
    """Put the vendor-safe propagator around the application's, once, however often the application replaces it."""
    inner = propagate.get_global_textmap()
    if not isinstance(inner, VendorSafePropagator):
        propagate.set_global_textmap(VendorSafePropagator(inner))
