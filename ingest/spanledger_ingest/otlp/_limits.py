"""How much of what a request may hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one OTLP request: what exceeds a request bound is refused, what exceeds an item bound is cut.

    ``max_body_bytes`` holds before and after decompression (OTLP 1.11 recommends 64 MiB). The other request bounds
    exist because two bytes on the wire can make a hundred in memory.
    """

    max_body_bytes: int = 64 * 1024 * 1024
    max_items: int = 100_000
    """Spans, log records or data points of one request."""
    max_messages_per_item: int = 100_000
    """Protobuf messages (values, events, ...) inside one span, log record or metric."""
    max_json_objects: int = 3_000_000
    """Objects and arrays of one JSON request."""
    max_json_values: int = 10_000_000
    """Members of objects and arrays of one JSON request."""
    max_attributes: int = 1_024
    """Attributes of one span, event, link, resource, ...; the rest is counted as dropped."""
    max_elements: int = 8_192
    """Elements of one array or map value; the rest is cut."""
    max_depth: int = 32
    """Arrays and maps within each other; deeper values become ``None``."""
    max_value_chars: int = 4 * 1024 * 1024
    max_key_chars: int = 1_024
    """Also of names, ids of sessions and the like: every short text."""
    max_events: int = 4_096
    max_links: int = 1_024
    max_kept_rejections: int = 1_000
    """Dead letters kept of one request; all are counted."""
