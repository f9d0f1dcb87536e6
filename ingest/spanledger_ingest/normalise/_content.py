"""What people said to a model and heard from it: found by attribute name and taken off the span.

Everything here is a name or a prefix in a table; the kinds are those of :class:`~spanledger_analytics.records.Content`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import orjson

from spanledger_analytics.records import Attributes, Content, Event

Kind = Literal["input", "output", "system", "tools", "retrieval", "other"]
KINDS: tuple[Kind, ...] = ("system", "input", "tools", "retrieval", "output", "other")

_NAMES: dict[Kind, tuple[str, ...]] = {
    "input": (
        "gen_ai.input.messages", "gen_ai.prompt", "gen_ai.request.messages", "gen_ai.retrieval.query.text",
        "gen_ai.tool.call.arguments", "gen_ai.tool.args", "gen_ai.tool.input", "gen_ai.task.input", "input.value",
        "ai.prompt", "ai.prompt.messages", "ai.value", "ai.values", "ai.toolCall.args",
        "traceloop.entity.input", "langfuse.observation.input", "langfuse.trace.input", "llm.prompts",
        "llm.prompt_template.template", "llm.prompt_template.variables", "traceloop.prompt.template",
        "pydantic_ai.all_messages", "all_messages_events", "request_data", "tool.parameters", "tool_arguments",
        "reranker.query",
    ),
    "output": (
        "gen_ai.output.messages", "gen_ai.completion", "gen_ai.content.reasoning", "gen_ai.tool.call.result",
        "gen_ai.tool.output", "gen_ai.task.output", "output.value", "ai.response.text",
        "ai.response.object", "ai.response.toolCalls", "ai.response.reasoning", "ai.response.files",
        "ai.toolCall.result", "traceloop.entity.output", "langfuse.observation.output", "langfuse.trace.output",
        "final_result", "response_data", "tool_response", "events",
    ),
    "system": ("gen_ai.system_instructions", "ai.prompt.system"),
    "tools": ("gen_ai.tool.definitions", "ai.prompt.tools", "model_request_parameters"),
    "retrieval": ("gen_ai.retrieval.documents", "gen_ai.prompt.variable.context", "ai.documents", "spanledger.context"),
    "other": (
        "gen_ai.event.content", "tool.result", "exception.stacktrace", "exception.message", "error.message",
        "error.stack_trace", "error.stack",
        "langfuse.observation.status_message", "hidden_params", "ai.embedding", "ai.embeddings",
    ),
}  # fmt: skip
_PREFIXES: tuple[tuple[str, Kind], ...] = (
    ("llm.input_messages.", "input"),
    ("llm.output_messages.", "output"),
    ("llm.prompts.", "input"),
    ("llm.completions.", "output"),
    ("llm.choices.", "output"),
    ("llm.tools.", "tools"),
    ("llm.request.functions.", "tools"),
    ("gen_ai.prompt.variable.", "input"),
    ("traceloop.prompt.template_variables.", "input"),
    ("retrieval.documents.", "retrieval"),
    ("reranker.input_documents.", "retrieval"),
    ("reranker.output_documents.", "retrieval"),
    ("embedding.embeddings.", "other"),
    ("embedding.text", "input"),
    ("embedding.vector", "other"),
    ("ai.request.headers.", "other"),
)
_RAW = r"llm\.(?!token_count\.|cost\.|usage\.)[^.]+\."
"""LiteLLM's raw request and response: llm.<provider>.<field>. OpenInference's counts and costs have such names too."""
_PATTERNS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"gen_ai\.prompt\.\d+\."), "input"),
    (re.compile(r"gen_ai\.completion\.\d+\."), "output"),
    (re.compile(_RAW + r"(messages|prompt|input|contents|extra_body)$"), "input"),
    (re.compile(_RAW + r"(choices|content|output|candidates|message|text|data|error)$"), "output"),
    (re.compile(_RAW + r"(system|instructions)$"), "system"),
    (re.compile(_RAW + r"(tools|functions)$"), "tools"),
)
_BY_NAME: dict[str, Kind] = {name: kind for kind, names in _NAMES.items() for name in names}

_EVENT_KINDS: dict[str, Kind] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "input",
    "gen_ai.assistant.message": "input",
    "gen_ai.tool.message": "input",
    "gen_ai.choice": "output",
    "gen_ai.content.prompt": "input",
    "gen_ai.content.completion": "output",
    "gen_ai.content.completion.chunk": "output",
}
"""Events, on spans or as log records, whose whole payload is content of one kind."""
CONTENT_MARK = "spanledger.content"
"""An attribute by which a sender says ``none``: facts may be read from the text of this item, none may be kept."""
_EVENT_FACTS = frozenset(("role", "index", "finish_reason", "id", "name"))
"""Short names that such an event may keep; its dotted names are ordinary attributes, the rest is what was said."""


@lru_cache(maxsize=65_536)
def kind_of(name: str) -> Kind | None:
    """Return what kind of content an attribute of this name holds, ``None`` for an ordinary attribute."""
    kind = _BY_NAME.get(name)
    if kind is not None:
        return kind
    for prefix, kind in _PREFIXES:
        if name.startswith(prefix):
            return kind
    return next((kind for pattern, kind in _PATTERNS if pattern.match(name)), None)


def kind_of_event(name: str) -> Kind | None:
    """Return what kind of content an event of this name holds as a whole."""
    return _EVENT_KINDS.get(name)


@dataclass(slots=True)
class Found:
    """Content collected from one span or log record."""

    parts: dict[Kind, list[tuple[str, Any]]] = field(default_factory=dict)

    def add(self, kind: Kind, name: str, value: Any) -> None:
        """Keep one piece, unless it is empty."""
        if value not in (None, "", (), [], {}):
            self.parts.setdefault(kind, []).append((name, value))

    def contents(self, owner: str, tenant_id: str, where: tuple[str, str], time_ns: int) -> list[Content]:
        """Return one item per kind."""
        trace_id, span_id = where
        return [
            Content(owner=owner, tenant_id=tenant_id, trace_id=trace_id, span_id=span_id, time_ns=time_ns, kind=kind,
                    text=_text(self.parts[kind]))
            for kind in KINDS if kind in self.parts
        ]  # fmt: skip


def is_withheld(attributes: Attributes) -> bool:
    """Return whether the sender wants no text of this item kept, although some may be left in it."""
    return attributes.get(CONTENT_MARK) == "none"


def without_mark(attributes: Attributes) -> Attributes:
    """Return the attributes without the mark, so that a span is stored equal whether it was marked or not."""
    if CONTENT_MARK not in attributes:
        return attributes
    return {name: value for name, value in attributes.items() if name != CONTENT_MARK}


def split(attributes: Attributes, found: Found) -> Attributes:
    """Return the attributes without content; the very same mapping if there was none."""
    if not any(map(kind_of, attributes)):
        return attributes
    kept: dict[str, Any] = {}
    for name, value in attributes.items():
        kind = kind_of(name)
        if kind is None:
            kept[name] = value
        else:
            found.add(kind, name, value)
    return kept


def split_events(events: Sequence[Event], found: Found) -> Sequence[Event]:
    """Return the events without content."""
    return tuple(_split_event(event, found) for event in events)


def _split_event(event: Event, found: Found) -> Event:
    kind = kind_of_event(event.name)
    kept = split(event.attributes, found) if kind is None else split_message(event.name, event.attributes, kind, found)
    return event if kept is event.attributes else Event(name=event.name, time_ns=event.time_ns, attributes=kept)


def split_message(name: str, attributes: Attributes, kind: Kind, found: Found) -> Attributes:
    """Take what was said off an event that is a message as a whole."""
    said = {key: value for key, value in attributes.items() if _is_said(key)}
    if not said:
        return attributes
    found.add(kind, name, said)
    return {key: value for key, value in attributes.items() if key not in said}


def _is_said(name: str) -> bool:
    return kind_of(name) is not None or ("." not in name and name not in _EVENT_FACTS)


def _text(parts: list[tuple[str, Any]]) -> str:
    if len(parts) == 1:
        value = parts[0][1]
        return value if isinstance(value, str) else _dump(value)
    merged: dict[str, Any] = {}
    for name, value in parts:
        unique = name if name not in merged else f"{name}#{len(merged)}"
        merged[unique] = value
    return _dump(merged)


def _dump(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # numbers over 64 bits, lone surrogates: no decoder of ours makes them
        return repr(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) else str(value)
