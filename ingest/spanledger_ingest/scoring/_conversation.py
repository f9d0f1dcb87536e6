"""Stored text back into messages, answers and passages, whatever dialect it came in.

``span_content`` keeps, for each kind of a span, either the one attribute that held it (text, mostly JSON) or a JSON
object of attribute names. Nothing here fails: what is not understood is taken for plain text.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spanledger_analytics.evaluation import Message

_INDEXED: Final = re.compile(
    r"(?P<list>llm\.(?:input|output)_messages|gen_ai\.(?:prompt|completion)|llm\.(?:prompts|completions)"
    r"|retrieval\.documents|reranker\.(?:input|output)_documents)\.(?P<number>\d+)\.?(?P<rest>.*)"
)
_WRAPPERS: Final = frozenset(
    {"input.value", "output.value", "traceloop.entity.input", "traceloop.entity.output", "gen_ai.tool.call.arguments"}
    | {"langfuse.observation.input", "langfuse.observation.output", "langfuse.trace.input", "langfuse.trace.output"}
    | {"llm.prompt_template.template", "llm.prompt_template.variables", "reranker.query", "request_data"}
)
"""The whole request or answer as some library printed it: only read where nothing says it better."""
_NAME: Final = re.compile(r"[\w./#-]+")
_TEXT_KEYS: Final = ("content", "text", "parts", "message", "messages", "value", "response", "output", "result", "data")
_LIST_KEYS: Final = ("messages", "input", "contents", "prompts", "choices", "candidates", "output", "generations")
_ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "developer": "system"}
_TOOL_PARTS: Final = frozenset({"tool_call", "tool_use", "function_call", "functioncall", "reasoning", "thinking"})
_PARTS: Final = ('[{"type":', '[{"type" :')
"""How a message begins whose parts were made text once more."""
_MAX_DEPTH: Final = 12


class Answer(NamedTuple):
    """What a model said, and how many tools it called."""

    text: str
    tool_calls: int


class Document(NamedTuple):
    """A retrieved text with its own id, if it has one."""

    text: str
    id: str | None


def messages_of(stored: str) -> list[Message]:
    """Return the messages of a stored input."""
    return [message for value in _values(stored) for message in _messages(value, "user")]


def answer_of(stored: str) -> Answer:
    """Return the first answer of a stored output."""
    for value in _values(stored):
        messages = list(_messages(value, "assistant"))
        text = messages[0].text if messages else ""
        calls = _tool_calls(value, 0)
        if text or calls:
            return Answer(text, calls)
    return Answer("", 0)


def plain_of(stored: str) -> str:
    """Return stored text as one text: system instructions, the result of a tool."""
    return "\n".join(filter(None, (_text(value, 0) for value in _values(stored))))


def documents_of(stored: str) -> list[Document]:
    """Return the passages of a stored retrieval."""
    return [document for value in _values(stored) for document in _documents(value)]


def _values(stored: str) -> list[Any]:
    """Return what was stored, taken out of attribute names and of JSON."""
    value = _parsed(stored)
    if not isinstance(value, dict) or not _are_attributes(value):
        return [value]
    lists, rest = _grouped(value)
    own = [value for name, value in rest.items() if name.split("#")[0] not in _WRAPPERS]
    chosen = [*lists, *own] or list(rest.values())[:1]
    return [_parsed(item) if isinstance(item, str) else item for item in chosen]


def _are_attributes(names: Iterable[str]) -> bool:
    return any("." in name for name in names) and all(_NAME.fullmatch(name) for name in names)


def _grouped(attributes: Mapping[str, Any]) -> tuple[list[list[Any]], dict[str, Any]]:
    """Take ``name.0.role`` apart into lists of objects, in order."""
    lists: dict[str, dict[int, dict[str, Any]]] = {}
    rest: dict[str, Any] = {}
    for name, value in attributes.items():
        match = _INDEXED.fullmatch(name)
        if match is None:
            rest[name] = value
        else:
            entry = lists.setdefault(match["list"], {}).setdefault(int(match["number"]), {})
            entry[match["rest"]] = value
    return [[_nested(entries[number]) for number in sorted(entries)] for entries in lists.values()], rest


def _nested(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message or document from its flat names: ``message.content``, ``document.id``, ``role``."""
    found: dict[str, Any] = {}
    for name, value in entry.items():
        short = name.removeprefix("message.").removeprefix("document.").removeprefix("completion.")
        if short.startswith(("contents.", "content.")) and short.endswith((".text", ".content")):
            found["content"] = f"{found.get('content', '')}{value}"
        elif short.startswith("tool_calls."):
            found.setdefault("tool_calls", {})[short.split(".")[1]] = True
        else:
            found[short or "content"] = value
    return found


def _parsed(text: str) -> Any:
    if text[:1] not in '{["' or len(text) > 1_000_000:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _messages(value: Any, role: str) -> Iterator[Message]:
    for item in _listed(value):
        said = _text(item, 0)
        if said:
            yield Message(_role(item, role), said)


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, dict) and "role" not in value:
        inner: list[Any] | None = next((value[key] for key in _LIST_KEYS if isinstance(value.get(key), list)), None)
        if inner is not None:
            return inner
    return value if isinstance(value, list) else [value]


def _role(item: Any, default: str) -> str:
    if not isinstance(item, dict):
        return default
    inner = item.get("message")
    said = item.get("role") or (inner.get("role") if isinstance(inner, dict) else None) or item.get("type") or default
    role = _ROLES.get(str(said), str(said))
    return role if role in {"user", "assistant", "system", "tool"} else default


def _text(value: Any, depth: int) -> str:
    if isinstance(value, str) and not value.startswith(_PARTS):
        return value
    if depth > _MAX_DEPTH:
        return ""
    value = _parsed(value) if isinstance(value, str) else value
    if isinstance(value, list):
        return "\n".join(filter(None, (_text(item, depth + 1) for item in value)))
    if not isinstance(value, dict) or str(value.get("type", "")).lower() in _TOOL_PARTS:
        return "" if value is None or isinstance(value, dict | bool) else str(value)
    for key in _TEXT_KEYS:
        if key in value:
            said = _text(value[key], depth + 1)
            if said:
                return said
    return "" if "tool_calls" in value or "role" in value else _leftover(value)


def _leftover(value: Mapping[str, Any]) -> str:
    """Return an object of no known shape as it is: the result of a tool, structured output."""
    return json.dumps(value, ensure_ascii=False, default=str) if value and "type" not in value else ""


def _tool_calls(value: Any, depth: int) -> int:
    if depth > _MAX_DEPTH:
        return 0
    if isinstance(value, list):
        return sum(_tool_calls(item, depth + 1) for item in value)
    if not isinstance(value, dict):
        return 0
    if str(value.get("type", "")).lower() in {"tool_call", "tool_use", "function_call"}:
        return 1
    calls = value.get("tool_calls")
    here = len(calls) if isinstance(calls, list | dict) else 0
    return here + sum(_tool_calls(value[key], depth + 1) for key in (*_TEXT_KEYS, *_LIST_KEYS) if key in value)


def _documents(value: Any) -> Iterator[Document]:
    if isinstance(value, dict):
        value = next((value[key] for key in ("documents", "results", "matches", "hits", "data") if key in value), value)
    for item in value if isinstance(value, list) else [value]:
        parsed = _parsed(item) if isinstance(item, str) else item
        text = _text(parsed.get("page_content", parsed) if isinstance(parsed, dict) else parsed, 0)
        if text and not (isinstance(parsed, dict) and text == _leftover(parsed)):  # ids and ranks without their text
            yield Document(text, _id(parsed))


def _id(item: Any) -> str | None:
    found = (
        next((item[key] for key in ("id", "document_id", "source", "url") if item.get(key)), None)
        if isinstance(item, dict)
        else None
    )
    return str(found)[:200] if isinstance(found, str | int) else None
