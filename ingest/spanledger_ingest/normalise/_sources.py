"""Where a field may be found: span attribute, JSON inside an attribute, resource attribute or event.

Sources are the second column of the mapping table. They are values: the table says ``Json("output.value", "id")`` and
:class:`Reader` finds it. Documents inside attributes are parsed at most once per span.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from spanledger_analytics.records import Span

Path = tuple[str | int, ...]

_MAX_DOCUMENT = 1_000_000
"""Longer JSON is not searched for an id: parsing it would cost more than the field is worth."""
_MAX_REPR = 8_192
_ABSENT = object()


class Reader:
    """One span, as the sources see it."""

    __slots__ = ("_documents", "attributes", "failed", "span")

    def __init__(self, span: Span, *, failed: bool) -> None:
        self.span = span
        self.attributes = span.attributes
        self.failed = failed
        self._documents: dict[str, Any] = {}

    def document(self, name: str, parse: Callable[[str], Any]) -> Any:
        """Return the parsed value of an attribute; ``None`` if it is absent or not a document."""
        found = self._documents.get(name, _ABSENT)
        if found is _ABSENT:
            value = self.attributes.get(name)
            found = parse(value) if type(value) is str else value
            self._documents[name] = found
        return found


class Source(Protocol):
    """A place to look."""

    @property
    def needs(self) -> str | None:
        """The span attribute without which looking is useless, if there is one."""
        ...

    def read(self, reader: Reader) -> Any:
        """Return the raw value or ``None``."""
        ...


@dataclass(frozen=True, slots=True)
class Attr:
    """A span attribute."""

    needs: str

    def read(self, reader: Reader) -> Any:
        """Return the attribute."""
        return reader.attributes.get(self.needs)


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource attribute."""

    name: str
    needs: None = None

    def read(self, reader: Reader) -> Any:
        """Return the attribute of the span's resource."""
        return reader.span.resource.attributes.get(self.name)


@dataclass(frozen=True, slots=True)
class SpanName:
    """The rest of a span's name after one of these first words."""

    words: frozenset[str]
    needs: None = None

    def read(self, reader: Reader) -> Any:
        """Return the rest of the name."""
        word, _, rest = reader.span.name.partition(" ")
        return rest if word in self.words else None


class Json:
    """Values inside JSON text (or a decoded map); the first path that leads somewhere wins."""

    __slots__ = ("needs", "parse", "paths")

    def __init__(self, name: str, *paths: str, parse: Callable[[str], Any] | None = None) -> None:
        self.needs = name
        self.paths = tuple(_path(path) for path in paths)
        self.parse = parse or parse_json

    def read(self, reader: Reader) -> Any:
        """Return the first value found that is not null."""
        document = reader.document(self.needs, self.parse)
        if document is None:
            return None
        for path in self.paths:
            value = _follow(document, path)
            if value is not None:
                return value
        return None


def python_repr(name: str, *paths: str) -> Json:
    """Values inside the ``repr`` of a Python dict, which LiteLLM writes into attributes."""
    return Json(name, *paths, parse=parse_repr)


class Holds:
    """A word that stands for an item of a list inside JSON: one whose ``key`` is ``value``."""

    __slots__ = ("key", "needs", "path", "value", "word")

    def __init__(self, name: str, path: str, key: str, value: str, word: str) -> None:
        self.needs = name
        self.path = _path(path)
        self.key = key
        self.value = value
        self.word = word

    def read(self, reader: Reader) -> Any:
        """Return the word if the list holds such an item."""
        items = _follow(reader.document(self.needs, parse_json), self.path)
        if not isinstance(items, list):
            return None
        return self.word if any(isinstance(item, dict) and item.get(self.key) == self.value for item in items) else None


@dataclass(frozen=True, slots=True)
class OnError:
    """An attribute that has this meaning on failed spans only."""

    needs: str

    def read(self, reader: Reader) -> Any:
        """Return the attribute if the span failed."""
        return reader.attributes.get(self.needs) if reader.failed else None


@dataclass(frozen=True, slots=True)
class Unless:
    """An attribute, unless it only repeats another one."""

    needs: str
    other: str

    def read(self, reader: Reader) -> Any:
        """Return the attribute if it differs from the other."""
        value = reader.attributes.get(self.needs)
        return None if value == reader.attributes.get(self.other) else value


@dataclass(frozen=True, slots=True)
class Since:
    """The time from the start of the span to the moment an attribute names."""

    needs: str
    convert: Callable[[Any], int | None]

    def read(self, reader: Reader) -> Any:
        """Return seconds."""
        moment = self.convert(reader.attributes.get(self.needs))
        return None if moment is None else (moment - reader.span.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class FirstEvent:
    """The time from the start of the span to its first event of one of these names, in seconds."""

    names: frozenset[str]
    needs: None = None

    def read(self, reader: Reader) -> Any:
        """Return seconds, or ``None`` without such an event."""
        for event in reader.span.events:
            if event.name in self.names:
                return (event.time_ns - reader.span.start_ns) / 1e9
        return None


@dataclass(frozen=True, slots=True)
class EventAttr:
    """An attribute of the first event of that name that has it."""

    event: str
    name: str
    needs: None = None

    def read(self, reader: Reader) -> Any:
        """Return the attribute."""
        for event in reader.span.events:
            if event.name == self.event and self.name in event.attributes:
                return event.attributes[self.name]
        return None


def parse_json(value: str) -> Any:
    """Return the decoded JSON object or array; ``None`` for anything else."""
    if len(value) > _MAX_DOCUMENT or value[:1] not in {"{", "["}:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def parse_repr(value: str) -> Any:
    """Return the dict behind a Python ``repr``; ``None`` for anything that is not a literal."""
    if len(value) > _MAX_REPR or value[:1] != "{":
        return None
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _path(dotted: str) -> Path:
    return tuple(int(part) if part.isdigit() else part for part in dotted.split("."))


def _follow(value: Any, path: Path) -> Any:
    for part in path:
        if type(part) is int:
            if not isinstance(value, Sequence) or isinstance(value, str) or len(value) <= part:
                return None
            value = value[part]
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value
