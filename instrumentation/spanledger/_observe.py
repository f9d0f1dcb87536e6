"""Facts that decide about money and that instrumentors drop: read from SDK objects, written on the current span.

A provider is a mapping here: names of ours to paths in its usage object. Only facts that the official instrumentor
(1.3b0) or OpenInference leaves out are listed; of openai's calls it only misses those with raw or unusable answers.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import Any, Literal

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
_OPENAI = {
    semconv.INPUT_TOKENS: ("prompt_tokens",),
    semconv.OUTPUT_TOKENS: ("completion_tokens",),
    semconv.CACHE_READ_TOKENS: ("prompt_tokens_details", "cached_tokens"),
    semconv.AUDIO_INPUT_TOKENS: ("prompt_tokens_details", "audio_tokens"),
    semconv.AUDIO_OUTPUT_TOKENS: ("completion_tokens_details", "audio_tokens"),
    semconv.REASONING_TOKENS: ("completion_tokens_details", "reasoning_tokens"),
}
_OPENAI_RESPONSES = {
    semconv.INPUT_TOKENS: ("input_tokens",),
    semconv.OUTPUT_TOKENS: ("output_tokens",),
    semconv.CACHE_READ_TOKENS: ("input_tokens_details", "cached_tokens"),
    semconv.REASONING_TOKENS: ("output_tokens_details", "reasoning_tokens"),
}
_OPENAI_ANSWER = {
    semconv.RESPONSE_ID: "id",
    semconv.RESPONSE_MODEL: "model",
    semconv.OPENAI_SERVICE_TIER: "service_tier",
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


def answer_of(raw: Any) -> Any:
    """What a raw response holds, which the SDK keeps for the caller; ``None`` if it must be awaited or parsing fails.

    A failure is the application's to see, when it parses the response itself.
    """
    if iscoroutinefunction(raw.parse):
        return None
    with suppress(Exception):
        return raw.parse()
    return None


def openai(item: Any) -> dict[str, Any]:
    """Facts of a whole answer, which the instrumentor reads unless it is raw or the SDK cannot parse its text."""
    usage = getattr(item, "usage", None)
    facts = {} if usage is None else _read(usage, _OPENAI) or _read(usage, _OPENAI_RESPONSES)
    reasons = [choice.finish_reason for choice in getattr(item, "choices", ()) if choice.finish_reason]
    facts |= {name: value for name, field in _OPENAI_ANSWER.items() if (value := getattr(item, field, None))}
    return facts | ({semconv.FINISH_REASONS: reasons} if reasons else {})


Form = Literal["plain", "raw", "parsed", "stream"]
"""How an answer comes back: ``raw`` is not parsed yet, of a ``parsed`` one the text becomes an object, too."""

READERS: Mapping[tuple[str, str], Callable[[Any], dict[str, Any]]] = {
    **{("anthropic", form): anthropic for form in ("plain", "raw", "stream")},
    **{("groq", form): groq for form in ("plain", "raw", "stream")},
    **{("openai", form): openai for form in ("raw", "parsed")},
}


def observer(sdk: str, span: Any, form: Form, *, started: float | None = None) -> "Observer | None":
    """The observer for a call of ``sdk``, if its instrumentor leaves anything to see.

    Args:
        sdk: The library.
        span: The span of the call.
        form: How its answer comes back.
        started: When the request began, by ``time.perf_counter()``; for streams.
    """
    read = READERS.get((sdk, form))
    if read is None:
        return None
    if form != "stream":
        return Observer(span, read)
    return (Keeper if sdk == "groq" else Observer)(span, read, started)


class Observer:
    """The valve that lets everything pass and writes facts on the span of the call.

    The first item of a stream gives the time to first chunk. The instrumentor measures it again, but only where the
    caller iterates over what it has wrapped: not for ``text_stream`` and ``get_final_message()`` of anthropic.
    """

    __slots__ = ("_read", "_span", "_started")

    def __init__(self, span: Any, read: Callable[[Any], dict[str, Any]], started: float | None = None) -> None:
        self._span = span
        self._read = read
        self._started = started

    def judge(self, item: Any) -> Verdict:
        """Let everything pass."""
        if self._started is not None:
            self._span.set_attribute(semconv.TIME_TO_FIRST_CHUNK, time.perf_counter() - self._started)
            self._started = None
        facts = self._read(item)
        if facts:
            self._span.set_attributes(facts)
        return Verdict.PASS

    def ended(self) -> None:
        """The instrumentor ends the span."""

    def observe(self, result: Any) -> None:
        """Read a whole response, unless the span has ended: a raw one may be parsed late."""
        with _GUARD:
            if self._span.is_recording():
                self.judge(result)


class Keeper(Observer):
    """An observer that keeps the span open until the stream ends.

    OpenInference's groq instrumentor ends the span as soon as the stream is handed out, before any token has come.
    """

    __slots__ = ("_open",)

    def __init__(self, span: Any, read: Callable[[Any], dict[str, Any]], started: float | None = None) -> None:
        super().__init__(span, read, started)
        self._open = True
        span.end = _end_later

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
