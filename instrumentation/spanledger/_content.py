"""The content policy: what of prompts and answers may leave the process on Spanledger's own export.

It is applied to every attribute and event of the dialects we know, whatever made an instrumentor record them, so that
``none`` means none even if the application captures content for another backend.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Status

from spanledger import semconv
from spanledger._pii import mask
from spanledger.settings import ContentPolicy

_CONTENT = re.compile(
    r"gen_ai\.(?:input\.messages|output\.messages|system_instructions|tool\.definitions)$"
    r"|gen_ai\.tool\.(?:call\.arguments|call\.result|description)$"
    r"|gen_ai\.retrieval\.(?:documents|query\.text)$"
    r"|gen_ai\.(?:prompt|completion)\.(?:\d+\.|variable\.)"
    r"|gen_ai\.(?:prompt|completion)$"
    r"|(?:input|output)\.value$"
    r"|llm\.(?:input_messages|output_messages|prompts|choices|tools|prompt_template|function_call)(?:\.|$)"
    r"|(?:retrieval\.documents|reranker|embedding\.(?:embeddings|text)|tool\.(?:parameters|json_schema))(?:\.|$)"
    r"|traceloop\.entity\.(?:input|output)$|spanledger\.context$"
    r"|ai\.(?:prompt|response\.(?:text|toolCalls|object)|toolCall\.(?:args|result))(?:\.|$)"
    r"|(?:request_data|response_data|all_messages_events|pydantic_ai\.all_messages|final_result)$"
)
_CONTENT_EVENTS = re.compile(
    r"gen_ai\.(?:system|user|assistant|tool|content)\.|gen_ai\.choice$|gen_ai\.client\.inference"
)
_REQUEST_TEXT = frozenset(
    {"messages", "input", "prompt", "system", "system_instruction", "instructions", "contents", "tools", "functions"}
    | {"response_format", "metadata", "user", "extra_headers", "documents", "texts", "inputs"}
)
"""Members of ``llm.invocation_parameters`` that hold text of the request; the others are numbers and names."""

_PREFIXES: tuple[str, ...] = (
    "gen_ai.",
    "llm.",
    "input.",
    "output.",
    "retrieval",
    "reranker",
    "embedding",
    "tool.",
    "traceloop",
    "spanledger.context",
    "ai.",
)
_PREFIXES += ("request_data", "response_data", "all_messages", "pydantic_ai", "final_result")

_known: dict[str, bool] = {}
_MAX_KNOWN = 4096


def is_content(name: str) -> bool:
    """Whether an attribute holds text of a prompt, an answer, a tool or a document."""
    found = _known.get(name)
    if found is None:
        found = name.startswith(_PREFIXES) and _CONTENT.match(name) is not None
        if len(_known) < _MAX_KNOWN:
            _known[name] = found
    return found


def apply_to_attributes(attributes: dict[str, Any], policy: ContentPolicy) -> None:
    """Remove (``none``) or mask (``masked``) the content among ``attributes``, in place."""
    if policy == "full":
        return
    known = _known  # looked up here: the call would cost as much as all the rest
    for name in [name for name in attributes if (known[name] if name in known else is_content(name))]:
        if policy == "none":
            del attributes[name]
        else:
            attributes[name] = _masked(attributes[name])
    parameters = attributes.get(semconv.OI_INVOCATION_PARAMETERS)
    if parameters is not None:
        attributes[semconv.OI_INVOCATION_PARAMETERS] = _without_text(parameters, policy)


def apply_to_events(events: Iterable[Event], policy: ContentPolicy) -> list[Event]:
    """The events that may leave, with masked text where the policy asks for it.

    A stack trace can show local data and an error message can quote the prompt: the first stays home and the second is
    masked unless the policy is ``full``.
    """
    if policy == "full":
        return list(events)
    kept = [event for event in events if policy == "masked" or not _CONTENT_EVENTS.match(event.name)]
    return [_clean(event, policy) for event in kept]


def apply_to_status(status: Status, policy: ContentPolicy) -> Status:
    """The status with a masked description, unless the policy is ``full``."""
    if policy == "full" or not status.description:
        return status
    return Status(status.status_code, mask(status.description))


def _clean(event: Event, policy: ContentPolicy) -> Event:
    attributes = dict(event.attributes or {})
    apply_to_attributes(attributes, policy)
    attributes.pop("exception.stacktrace", None)
    names = attributes if _CONTENT_EVENTS.match(event.name) else ("exception.message",)
    for name in [name for name in names if name in attributes]:
        attributes[name] = _masked(attributes[name])
    return Event(event.name, attributes, event.timestamp)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_masked(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    return value


def _without_text(parameters: Any, policy: ContentPolicy) -> Any:
    try:
        members = json.loads(parameters)
    except (TypeError, ValueError):
        return "{}"
    if not isinstance(members, dict):
        return "{}"
    clean: Callable[[Any], Any] = _masked if policy == "masked" else lambda value: value
    return json.dumps({key: clean(value) for key, value in members.items() if key not in _REQUEST_TEXT}, default=str)
