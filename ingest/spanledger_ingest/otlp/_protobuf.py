"""OTLP/protobuf: what the three signals share."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from spanledger_analytics.records import AttributeValue, Resource, Scope
from spanledger_ingest.errors import BadDataError
from spanledger_ingest.otlp._build import Builder
from spanledger_ingest.otlp._clean import Rejected, clean_text, safe_double
from spanledger_ingest.otlp._wire import SUSPICIOUS_BYTES, Budget, fields, holds_more_messages

_FIELDS_PER_ITEM: Final = 16
"""Fields of the envelope around the items of a request, at most, for each item that it may hold."""

_M = TypeVar("_M", bound=Message)

Take: TypeAlias = Callable[[memoryview, Resource, Scope], None]


class Reader:
    """Reads the common messages of one request; keys are kept once, however many items use them."""

    def __init__(self, builder: Builder) -> None:
        self.build = builder
        self._limits = builder.limits
        self._keys: dict[str, str] = {}
        self.budget = Budget(_FIELDS_PER_ITEM * builder.limits.max_items)

    def parse(self, payload: memoryview, message: type[_M], shape: str) -> _M:
        """Parse one message whose shape is named in :data:`_wire.SHAPES`.

        Raises:
            Rejected: it is no such message, or holds too many others.
        """
        most = self._limits.max_messages_per_item
        if len(payload) > SUSPICIOUS_BYTES and holds_more_messages(payload, shape, most):
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
            elif number := value.int_value:
                found[key] = number
            else:
                found[key] = self.value(value, self._limits.max_depth)
        return found, max(dropped, 0)

    def value(self, value: AnyValue, depth: int) -> AttributeValue:
        """Return the Python value of an AnyValue; arrays and maps deeper than ``depth`` are ``None``."""
        which = value.WhichOneof("value")
        if which in {"int_value", "bool_value"}:
            return getattr(value, which)
        if which == "double_value":
            return safe_double(value.double_value)
        if which == "string_value":
            return clean_text(value.string_value, self._limits.max_value_chars)
        if which == "bytes_value":
            return value.bytes_value[: self._limits.max_value_chars]
        return self._nested(value, which, depth) if depth else None

    def _nested(self, value: AnyValue, which: str | None, depth: int) -> AttributeValue:
        if which == "array_value":
            return self._array(value.array_value.values, depth)
        return self._map(value.kvlist_value.values, depth) if which == "kvlist_value" else None

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
            for number, part in self._fields_until_broken(payload):
                if number == attributes:
                    try:
                        mended.attributes.append(self.parse(part, KeyValue, "KeyValue"))
                    except Rejected:
                        continue
                if len(mended.attributes) >= self._limits.max_attributes:
                    break
            return mended  # type: ignore[no-any-return]

    def _fields_until_broken(self, payload: memoryview) -> Iterator[tuple[int, memoryview]]:
        try:
            yield from fields(payload, self.budget)
        except BadDataError:
            return

    def each(self, body: bytes, take: Take) -> None:
        """Hand every item of the request, uncut, to ``take`` with its resource and scope.

        The three signals share the shape: request.1 = resource group; resource group.1 = resource, .2 = scope group,
        .3 = schema; scope group.1 = scope, .2 = item, .3 = schema.

        Raises:
            BadDataError: the body is not a protobuf message.
            TooLargeError: it holds more than the limits allow.
        """
        for number, group in fields(body, self.budget):
            if number == 1:
                self.build.admit_group()
                head, scope_groups, schema_url = self._group(group)
                resource = self._resource(head, schema_url)
                for scope_group in scope_groups:
                    self._scope_group(scope_group, resource, take)

    def _scope_group(self, group: memoryview, resource: Resource, take: Take) -> None:
        self.build.admit_group()
        head, items, schema_url = self._group(group)
        scope = self._scope(head, schema_url)
        for item in items:
            self.build.admit()
            try:
                take(item, resource, scope)
            except Rejected as rejected:
                self.build.reject(str(rejected), resource, len(item))

    def _group(self, group: memoryview) -> tuple[memoryview, list[memoryview], str]:
        """Return head, members and schema URL of a group; a head in parts is merged by joining them, as in protobuf."""
        heads: list[memoryview] = []
        members: list[memoryview] = []
        schema_url = ""
        for number, payload in fields(group, self.budget):
            if number == 1:
                heads.append(payload)
            elif number == 2:
                members.append(payload)
                if len(members) > self._limits.max_items:
                    self.build.admit(len(members))
            elif number == 3:
                schema_url = bytes(payload).decode("utf-8", "replace")
        return heads[0] if len(heads) == 1 else memoryview(b"".join(heads)), members, schema_url


def _reason(error: DecodeError) -> str:
    text = str(error).lower()
    if "utf" in text:
        return "a text is not valid UTF-8"
    if "depth" in text or "recursion" in text:
        return "a value is nested too deep"
    return "not a valid protobuf message"
