"""OTLP/JSON: parsing, and what the three signals share.

The protobuf JSON mapping with the exceptions of OTLP 1.11 "JSON Protobuf Encoding": ids are hex in any case, enums are
integers, names are lowerCamelCase, unknown fields are ignored. Beyond it, enum names and base64 with either alphabet
are read (the Collector and protobuf do), and text that no UTF-8 can hold is mended instead of refused.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from spanledger_analytics.records import AttributeValue, Resource, Scope
from spanledger_ingest.errors import BadDataError, TooLargeError
from spanledger_ingest.otlp._build import Builder
from spanledger_ingest.otlp._clean import (
    MAX_INT64,
    MIN_INT64,
    Rejected,
    clean_text,
    finite,
    safe_double,
    without_surrogates,
)
from spanledger_ingest.otlp._limits import Limits

JsonObject = Mapping[str, Any]

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}\Z")
_HEX: Final = re.compile(r"[0-9a-f]*\Z")
_MAX_UINT64: Final = 2**64 - 1
_MAX_UINT32: Final = 2**32 - 1


def parse_json(body: bytes, limits: Limits) -> JsonObject:
    """Parse a body into its top object.

    Raises:
        BadDataError: it is not a JSON object.
        TooLargeError: it holds more objects and arrays than allowed.
    """
    # Those in texts count as well, which is why the limits are generous; counting runs at the speed of memory.
    if body.count(b"{") + body.count(b"[") > limits.max_json_objects:
        raise TooLargeError(f"more than {limits.max_json_objects} JSON objects in one request: send smaller batches")
    if body.count(b",") > limits.max_json_values:
        raise TooLargeError(f"more than {limits.max_json_values} JSON values in one request: send smaller batches")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        parsed = _parse_leniently(body, str(error))
    if not isinstance(parsed, dict):
        raise BadDataError("the body is JSON, but not an object")
    return parsed


def _parse_leniently(body: bytes, reason: str) -> Any:
    """Parse what orjson refuses but can be mended: invalid UTF-8, lone surrogates, bare NaN."""
    try:
        return _mended(json.loads(body.decode("utf-8", "replace")))
    except RecursionError:
        raise BadDataError("JSON is nested too deep") from None
    except ValueError:
        raise BadDataError(f"not JSON: {reason}") from None


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, dict):
        return {without_surrogates(key): _mended(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    return value


def integer(value: Any, lowest: int = 0, highest: int = _MAX_UINT64) -> int:
    """Read an integer field: a number or a decimal string; missing and null are 0.

    Raises:
        Rejected: it is neither, or out of range.
    """
    if value is None:
        return 0
    if (isinstance(value, str) and _INTEGER.match(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise Rejected("a number field does not hold an integer of its range")
    return value


def uint32(value: Any) -> int:
    """Read a 32-bit counter or flags field. Raises Rejected as :func:`integer` does."""
    return integer(value, 0, _MAX_UINT32)


def double(value: Any) -> float:
    """Read a double field: a number, a decimal string, or NaN and the infinities by name; missing is 0.

    Raises:
        Rejected: it is none of these.
    """
    if value is None:
        return 0.0
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise Rejected("a number field does not hold a number")


def finite_double(value: Any) -> float | None:
    """Read a double field; ``None`` if it is not finite. Raises Rejected as :func:`double` does."""
    return finite(double(value))


def text(value: Any) -> str:
    """Read a text field; missing and null are empty.

    Raises:
        Rejected: it is not text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Rejected("a text field does not hold text")
    return value


def flag(value: Any) -> bool:
    """Read a boolean field; missing and null are false.

    Raises:
        Rejected: it is not a boolean.
    """
    if value is None:
        return False
    if not isinstance(value, bool):
        raise Rejected("a boolean field does not hold true or false")
    return value


def hex_id(value: Any) -> str:
    """Read a trace or span id: hex in any case, returned in lower case; missing and null are empty.

    Raises:
        Rejected: it is not hex.
    """
    found = text(value).lower()
    if not _HEX.match(found):
        raise Rejected("an id is not hexadecimal")
    return found


def enum(value: Any, names: Mapping[str, int]) -> int:
    """Read an enum field: its integer, or leniently its name.

    Raises:
        Rejected: it is neither.
    """
    if isinstance(value, str):
        if value not in names:
            raise Rejected("an enum field does not hold an integer")
        return names[value]
    return integer(value, -(2**31), 2**31 - 1)


def objects(value: Any) -> list[Any]:
    """Read a repeated field; missing and null are empty.

    Raises:
        Rejected: it is not an array.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise Rejected("a repeated field does not hold an array")
    return value


def message(value: Any) -> JsonObject:
    """Read a message field; missing and null are empty.

    Raises:
        Rejected: it is not an object.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Rejected("a message field does not hold an object")
    return value


class Reader:
    """Reads the common messages of one request; the mirror of the protobuf reader."""

    def __init__(self, builder: Builder) -> None:
        self.build = builder
        self._limits = builder.limits
        self._keys: dict[str, str] = {}

    def attributes(self, pairs: Any) -> tuple[dict[str, AttributeValue], int]:
        """Return the attributes and how many were beyond the limit. The hot loop: 20 turns a span.

        Raises:
            Rejected: they are not OTLP/JSON attributes.
        """
        pairs = objects(pairs)
        most = self._limits.max_attributes
        dropped = len(pairs) - most
        if dropped > 0:
            pairs = pairs[:most]
        longest = self._limits.max_value_chars
        keys = self._keys
        found: dict[str, AttributeValue] = {}
        for pair in pairs:
            if not isinstance(pair, dict):
                raise Rejected("an attribute is not an object")
            name = pair.get("key", "")
            if not isinstance(name, str):
                raise Rejected("an attribute's key is not text")
            key = keys.get(name)
            if key is None:
                key = keys[name] = clean_text(name, self._limits.max_key_chars)
            value = pair.get("value")
            words = value.get("stringValue") if isinstance(value, dict) else None
            if isinstance(words, str):
                found[key] = clean_text(words, longest) if len(words) > longest or "\0" in words else words
            else:
                found[key] = self.value(value, self._limits.max_depth)
        return found, max(dropped, 0)

    def value(self, value: Any, depth: int) -> AttributeValue:
        """Return the Python value of an AnyValue; arrays and maps deeper than ``depth`` are ``None``.

        Raises:
            Rejected: it is not an OTLP/JSON AnyValue.
        """
        for which, inner in message(value).items():
            read = _VALUES.get(which)
            if read is not None and inner is not None:
                return read(self, inner, depth)
        return None

    def _text(self, inner: Any, _depth: int) -> str:
        return clean_text(text(inner), self._limits.max_value_chars)

    def _bytes(self, inner: Any, _depth: int) -> bytes:
        return base64_bytes(inner)[: self._limits.max_value_chars]

    def _array(self, inner: Any, depth: int) -> list[AttributeValue] | None:
        return [self.value(one, depth - 1) for one in self._few(inner)] if depth else None

    def _map(self, inner: Any, depth: int) -> dict[str, AttributeValue] | None:
        if not depth:
            return None
        longest = self._limits.max_key_chars
        pairs = map(message, self._few(inner))
        return {clean_text(text(pair.get("key")), longest): self.value(pair.get("value"), depth - 1) for pair in pairs}

    def _few(self, inner: Any) -> list[Any]:
        """Return the elements of an array or map, also when they stand there without the message around them.

        An example beside the OTLP specification was written like that for years.
        """
        values = inner if isinstance(inner, list) else objects(message(inner).get("values"))
        return values[: self._limits.max_elements]

    def _resource(self, value: Any, schema_url: Any) -> Resource:
        try:
            attributes = self.attributes(message(value).get("attributes"))[0]
        except Rejected:
            attributes = {}
        return self.build.resource(attributes, schema_url if isinstance(schema_url, str) else "")

    def _scope(self, value: Any, schema_url: Any) -> Scope:
        scope = value if isinstance(value, dict) else {}
        try:
            attributes = self.attributes(scope.get("attributes"))[0]
        except Rejected:
            attributes = {}
        name, version = (found if isinstance(found := scope.get(key), str) else "" for key in ("name", "version"))
        return self.build.scope(name, version, attributes, schema_url if isinstance(schema_url, str) else "")

    def each(self, groups: Any, scopes: str, items: str, take: Callable[[JsonObject, Resource, Scope], None]) -> None:
        """Hand every item of the request to ``take`` with its resource and scope; ``scopes`` and ``items`` name fields.

        Raises:
            BadDataError: what should hold the items does not.
        """
        try:
            for group in map(message, objects(groups)):
                self.build.admit_group()
                resource = self._resource(group.get("resource"), group.get("schemaUrl"))
                for inner in map(message, objects(group.get(scopes))):
                    self.build.admit_group()
                    scope = self._scope(inner.get("scope"), inner.get("schemaUrl"))
                    for item in objects(inner.get(items)):
                        self._take(item, resource, scope, take)
        except Rejected as rejected:
            raise BadDataError(f"not OTLP/JSON: {rejected}") from rejected

    def _take(
        self, item: Any, resource: Resource, scope: Scope, take: Callable[[JsonObject, Resource, Scope], None]
    ) -> None:
        self.build.admit()
        try:
            take(message(item), resource, scope)
        except Rejected as rejected:
            self.build.reject(str(rejected), resource, 0)


def base64_bytes(value: Any) -> bytes:
    """Read a bytes field: base64 with either alphabet, padded or not.

    Raises:
        Rejected: it is not base64.
    """
    found = text(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(found + "=" * (-len(found) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("a bytes field is not base64") from None


_VALUES: Final[Mapping[str, Callable[[Reader, Any, int], AttributeValue]]] = {
    "stringValue": Reader._text,  # noqa: SLF001 - the table stands beside its class
    "boolValue": lambda _reader, inner, _depth: flag(inner),
    "intValue": lambda _reader, inner, _depth: integer(inner, MIN_INT64, MAX_INT64),
    "doubleValue": lambda _reader, inner, _depth: safe_double(double(inner)),
    "bytesValue": Reader._bytes,  # noqa: SLF001 - as above
    "arrayValue": Reader._array,  # noqa: SLF001 - as above
    "kvlistValue": Reader._map,  # noqa: SLF001 - as above
}
