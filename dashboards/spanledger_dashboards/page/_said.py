"""What was said, message by message, where it is stored as the messages of the GenAI conventions."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text, and who said it or what it is."""

    kind: str
    text: str


def said(kind: str, text: str) -> list[Text]:
    """Return the messages in a stored text; the text as it is where there are none that we know."""
    try:
        messages = json.loads(text)
    except ValueError:
        messages = None
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        return [Text(kind=kind, text=text)]
    return [Text(kind=str(message["role"]), text="\n".join(_parts(message))) for message in messages]


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and "role" in message and ("parts" in message or "content" in message)


def _parts(message: Mapping[str, Any]) -> Iterator[str]:
    parts = message.get("parts", message.get("content"))
    for part in parts if isinstance(parts, list) else [parts]:
        plain = isinstance(part, Mapping) and set(part) <= {"type", "content", "text"}
        found = (part.get("content") or part.get("text")) if plain else part
        yield found if isinstance(found, str) else json.dumps(part, ensure_ascii=False)
