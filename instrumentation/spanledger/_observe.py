"""Facts that decide about money and that instrumentors drop: read from SDK objects, written on the current span.

A provider is a mapping here: names of ours to paths in its usage object. Only facts that the official instrumentor
(1.3b0) or OpenInference leaves out are listed; for openai nothing is missing.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import trace

from spanledger import semconv
from spanledger._guard import shielded
from spanledger._propagation import LLM_MARK
from spanledger._streams import Verdict

_GUARD = shielded("reading usage")
_NOTHING: dict[str, Any] = {}

_ANTHROPIC = {
    semconv.CACHE_WRITE_1H_TOKENS: ("cache_creation", "ephemeral_1h_input_tokens"),
    semconv.ANTHROPIC_SERVICE_TIER: ("service_tier",),
}
_GROQ = {
    semconv.OI_INPUT_TOKENS: ("prompt_tokens",),
    semconv.OI_OUTPUT_TOKENS: ("completion_tokens",),
    semconv.OI_CACHE_READ_TOKENS: ("prompt_tokens_details", "cached_tokens"),
    semconv.OI_REASONING_TOKENS: ("completion_tokens_details", "reasoning_tokens"),
}


def recording_call() -> Any:
    """The current span if it is a model call that is being recorded, else ``None``."""
    span = trace.get_current_span()
    return span if getattr(span, LLM_MARK, False) and span.is_recording() else None


def anthropic(item: Any) -> dict[str, Any]:
    """Facts of a message or of the first event of a stream, which carries the message."""
    fields = vars(item)  # not getattr: for a field that a pydantic model lacks, that costs more than all the rest
    usage = fields.get("usage") or getattr(fields.get("message"), "usage", None)
    return _NOTHING if usage is None else _read(usage, _ANTHROPIC)


def groq(item: Any) -> dict[str, Any]:
    """Facts of the last chunks of a stream, which OpenInference does not read at all."""
    facts = _read(usage, _GROQ) if (usage := getattr(getattr(item, "x_groq", None), "usage", None)) else {}
    reasons = [choice.finish_reason for choice in getattr(item, "choices", ()) if choice.finish_reason]
    if reasons:
        facts |= {semconv.OI_FINISH_REASON: reasons[0], semconv.RESPONSE_ID: item.id}
    return facts


def observer(sdk: str, span: Any, *, streamed: bool) -> "Observer | None":
    """The observer for a call of ``sdk``, if its instrumentor leaves anything to see."""
    if sdk not in READERS:
        return None
    kind = Keeper if sdk == "groq" and streamed else Observer
    return kind(span, READERS[sdk])


READERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {"anthropic": anthropic, "groq": groq}


class Observer:
    """The valve that lets everything pass and writes facts on the span of the call."""

    __slots__ = ("_read", "_span")

    def __init__(self, span: Any, read: Callable[[Any], dict[str, Any]]) -> None:
        self._span = span
        self._read = read

    def judge(self, item: Any) -> Verdict:
        """Let everything pass."""
        facts = self._read(item)
        if facts:
            self._span.set_attributes(facts)
        return Verdict.PASS

    def ended(self) -> None:
        """The instrumentor ends the span."""

    def observe(self, result: Any) -> None:
        """Read a whole response."""
        with _GUARD:
            self.judge(result)


class Keeper(Observer):
    """An observer that keeps the span open until the stream ends.

    OpenInference's groq instrumentor ends the span as soon as the stream is handed out, before any token has come.
    """

    __slots__ = ("_begun", "_open")

    def __init__(self, span: Any, read: Callable[[Any], dict[str, Any]]) -> None:
        super().__init__(span, read)
        self._begun = False
        self._open = True
        span.end = _end_later

    def judge(self, item: Any) -> Verdict:
        """Let everything pass; the first item gives the time to first chunk."""
        if not self._begun:
            self._begun = True
            waited = (time.time_ns() - self._span.start_time) / 1e9
            self._span.set_attribute(semconv.TIME_TO_FIRST_CHUNK, max(waited, 0.0))
        return super().judge(item)

    def ended(self) -> None:
        """End the span, once."""
        if self._open:
            self._open = False
            del self._span.end
            self._span.set_attribute(semconv.REQUEST_STREAM, True)  # noqa: FBT003  # an attribute's value
            self._span.end()


def _end_later(end_time: int | None = None) -> None:
    """In place of ``span.end`` while its stream is open."""


def _read(usage: Any, paths: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The values at ``paths``; zeros are left out, as instrumentors do, because a class not used is not a class."""
    facts = {}
    for name, path in paths.items():
        value = usage
        for step in path:
            value = getattr(value, step, None)
        if value and isinstance(value, (int, str)):
            facts[name] = value
    return facts
