"""A kit for the tests of applications: what would be exported, at once, with fixed ids and a clock that you move.

    from spanledger.testing import SpanledgerTestKit

    def test_the_greeting_is_billed_to_its_tenant():
        with SpanledgerTestKit() as kit:
            greet(tenant="acme")
        call = kit.calls[0]
        assert call.attributes["tenant.id"] == "acme"
        assert call.attributes["spanledger.finish_reason"] == "stop"

Inside the block every attached instrumentor sends its spans to the kit, through the same stamping and enrichment as in
production. Trace and span ids count from 1. The clock stands at ``now`` until you call ``tick``; only the kit's own
tracers and those of attached instrumentors use it. As a pytest fixture::

    @pytest.fixture
    def spans():
        with SpanledgerTestKit() as kit:
            yield kit
"""

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from unittest import mock

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from spanledger import semconv
from spanledger._attach import attachments
from spanledger._capture import set_capturing
from spanledger._enrich import Cost, EnrichingExporter
from spanledger._facts import facts_of
from spanledger._processor import IdentityProcessor
from spanledger._runtime import runtime
from spanledger._tracing import providers
from spanledger.settings import ContentPolicy

__all__ = ["CountingIds", "SpanledgerTestKit"]

DEFAULT_NOW = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z in nanoseconds."""


class CountingIds(IdGenerator):
    """Trace ids 1, 2, 3, ... and span ids 1, 2, 3, ..."""

    def __init__(self) -> None:
        self._traces = itertools.count(1)
        self._spans = itertools.count(1)

    def generate_trace_id(self) -> int:
        """The next trace id."""
        return next(self._traces)

    def generate_span_id(self) -> int:
        """The next span id."""
        return next(self._spans)


class _Memory(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


class SpanledgerTestKit:
    """Collects spans in memory while its ``with`` block runs.

    Args:
        content: The content policy to test under; ``masked`` and ``full`` make instrumentors record content.
        now: Where the clock stands, in ns since the epoch; ``None`` leaves the real clock.
        attach: Instrument the LLM libraries, as ``import spanledger.auto`` does.
        cost: How calls are priced; the price table of the package by default.
    """

    def __init__(
        self,
        *,
        content: ContentPolicy = "none",
        now: int | None = DEFAULT_NOW,
        attach: bool = True,
        cost: Cost | None = None,
    ) -> None:
        self.now = now
        self._attach = attach
        self._content = content
        self._memory = _Memory()
        self._exits = ExitStack()
        self.provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": "test"}),
            id_generator=CountingIds(),
            shutdown_on_exit=False,
        )
        self.provider.add_span_processor(IdentityProcessor())
        self.provider.add_span_processor(SimpleSpanProcessor(EnrichingExporter(self._memory, content, cost)))

    def __enter__(self) -> Self:
        """Take over the spans of attached instrumentors."""
        if self._content != "none":
            set_capturing(on=True)
            self._exits.callback(set_capturing, on=runtime.settings.capture_content != "none")
        if self._attach:
            attachments.attach()
        self._exits.enter_context(providers.overridden(self.provider))
        if self.now is not None:
            self._exits.enter_context(mock.patch.object(sdk_trace, "time_ns", self._time))
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give them back."""
        self._exits.close()

    def _time(self) -> int:
        return self.now or 0

    def tick(self, seconds: float) -> None:
        """Move the clock."""
        if self.now is None:
            raise ValueError("this kit runs on the real clock; give it now=...")
        self.now += round(seconds * 1e9)

    def tracer(self, name: str = "test") -> trace.Tracer:
        """A tracer for spans of your own."""
        return self.provider.get_tracer(name)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Every span that has ended so far, enriched, in the order of their ends."""
        return list(self._memory.spans)

    @property
    def calls(self) -> list[ReadableSpan]:
        """Those of them that are model calls."""
        return [span for span in self._memory.spans if facts_of(span.attributes or {}) is not None]

    def costs(self) -> list[Any]:
        """USD of each call as exported; ``None`` where it is unknown."""
        return [(span.attributes or {}).get(semconv.COST_AMOUNT) for span in self.calls]

    def clear(self) -> None:
        """Forget the spans so far."""
        self._memory.spans.clear()
