"""OTLP/protobuf: what the three signals share."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from spanledger_analytics.records import AttributeValue, Resource, Scope
from spanledger_ingest.errors import BadDataError
from spanledger_ingest.otlp._build import Builder
from spanledger_ingest.otlp._clean import Rejected, clean_text, safe_double
from spanledger_ingest.otlp._wire import fields, holds_more_messages

_SUSPICIOUS_BYTES: Final = 64 * 1024
"""A message this large may hold very many others: count them before memory is spent on it."""

_M = TypeVar("_M", bound=Message)


class Reader:
    """Reads the common messages of one request; keys are kept once, however many items use them."""

    def __init__(self, builder: Builder) -> None:
        self.build = builder
        self._limits = builder.limits
        self._keys: dict[str, str] = {}

    def parse(self, payload: memoryview, message: type[_M], shape: str) -> _M:
        """Parse one message whose shape is named in :data:`_wire.SHAPES`.

        Raises:
            Rejected: it is no such message, or holds too many others.
        """
        most = self._limits.max_messages_per_item
        if len(payload) > _SUSPICIOUS_BYTES and holds_more_messages(payload, shape, most):
            raise Rejected(f"more than {most} values in one item")
        try:
            return message.FromString(bytes(payload))
        except DecodeError as error:
            raise Rejected(_reason(error)) from error

    def attributes(self, pairs: Sequence[KeyValue]) -> tuple[dict[str, AttributeValue], int]:
        """Return the attributes and how many were beyond the limit. The hot loop: 20 turns a span."""
        most = self._limits.max_attributes
        dropped = len(pairs) - most
        if dropped > 0:
            pairs = pairs[:most]
        longest = self._limits.max_value_chars
        keys = self._keys
        found: dict[str, AttributeValue] = {}
        for pair in pairs:
            name = pair.key
            key = keys.get(name)
            if key is None:
                key = keys[name] = clean_text(name, self._limits.max_key_chars)
            value = pair.value
            text = value.string_value
            if text:
                found[key] = clean_text(text, longest) if len(text) > longest or "\0" in text else text
            else:
                found[key] = value.int_value or self.value(value, self._limits.max_depth)
        return found, max(dropped, 0)

    def value(self, value: AnyValue, depth: int) -> AttributeValue:
        """Return the Python value of an AnyValue; arrays and maps deeper than ``depth`` are ``None``."""
        which = value.WhichOneof("value")
        if which == "string_value":
            return clean_text(value.string_value, self._limits.max_value_chars)
        if which == "double_value":
            return safe_double(value.double_value)
        if which == "bytes_value":
            return value.bytes_value[: self._limits.max_value_chars]
        if which == "array_value":
            return self._array(value.array_value.values, depth) if depth else None
        if which == "kvlist_value":
            return self._map(value.kvlist_value.values, depth) if depth else None
        return getattr(value, which) if which in {"int_value", "bool_value"} else None

    def _array(self, values: Sequence[AnyValue], depth: int) -> list[AttributeValue]:
        return [self.value(value, depth - 1) for value in values[: self._limits.max_elements]]

    def _map(self, pairs: Sequence[KeyValue], depth: int) -> dict[str, AttributeValue]:
        longest = self._limits.max_key_chars
        few = pairs[: self._limits.max_elements]
        return {clean_text(pair.key, longest): self.value(pair.value, depth - 1) for pair in few}

    def _resource(self, payload: memoryview, schema_url: str) -> Resource:
        message = self._salvage(payload, ResourceMessage, "Resource", 1)
        return self.build.resource(self.attributes(message.attributes)[0], schema_url)

    def _scope(self, payload: memoryview, schema_url: str) -> Scope:
        message = self._salvage(payload, InstrumentationScope, "Scope", 3)
        attributes = self.attributes(message.attributes)[0]
        return self.build.scope(message.name, message.version, attributes, schema_url)

    def _salvage(self, payload: memoryview, message: type[_M], shape: str, attributes: int) -> _M:
        """Parse a message; if it is broken, keep of it the attributes that are not: its spans are worth it."""
        try:
            return self.parse(payload, message, shape)
        except Rejected:
            mended: Any = message()
            for number, part in _fields_or_none(payload):
                if number == attributes and len(mended.attributes) < self._limits.max_attributes:
                    try:
                        mended.attributes.append(self.parse(part, KeyValue, "KeyValue"))
                    except Rejected:
                        continue
            return mended  # type: ignore[no-any-return]

    def each(self, body: bytes, take: Callable[[memoryview, Resource, Scope], None]) -> None:
        """Hand every item of the request, uncut, to ``take`` with its resource and scope.

        The three signals share the shape: request.1 = resource group; resource group.1 = resource, .2 = scope group,
        .3 = schema; scope group.1 = scope, .2 = item, .3 = schema.
        """
        for number, group in fields(body):
            if number == 1:
                self._resource_group(group, take)

    def _resource_group(self, group: memoryview, take: Callable[[memoryview, Resource, Scope], None]) -> None:
        self.build.admit_group()
        resource = self._resource(_joined(group, 1), _last_text(group, 3))
        for number, inner in fields(group):
            if number == 2:
                self.build.admit_group()
                scope = self._scope(_joined(inner, 1), _last_text(inner, 3))
                for inner_number, item in fields(inner):
                    if inner_number == 2:
                        self._take(item, resource, scope, take)

    def _take(
        self, item: memoryview, resource: Resource, scope: Scope, take: Callable[[memoryview, Resource, Scope], None]
    ) -> None:
        self.build.admit()
        try:
            take(item, resource, scope)
        except Rejected as rejected:
            self.build.reject(str(rejected), resource, len(item))


def _joined(message: memoryview, wanted: int) -> memoryview:
    """Return the bytes of a singular message field; repeated occurrences merge, which joining the bytes does."""
    parts = [payload for number, payload in fields(message) if number == wanted]
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def _last_text(message: memoryview, wanted: int) -> str:
    text = ""
    for number, payload in fields(message):
        if number == wanted:
            text = bytes(payload).decode("utf-8", "replace")
    return text


def _fields_or_none(payload: memoryview) -> Iterator[tuple[int, memoryview]]:
    try:
        yield from fields(payload)
    except BadDataError:
        return


def _reason(error: DecodeError) -> str:
    text = str(error).lower()
    if "utf" in text:
        return "a text is not valid UTF-8"
    if "depth" in text or "recursion" in text:
        return "a value is nested too deep"
    return "not a valid protobuf message"
