"""Response schemas for OpenAPI, out of the schema module."""

from typing import Any

import pyarrow as pa

PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An RFC 9457 problem document",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string", "description": "what is wrong and what to do"},
                    },
                }
            }
        },
    }
}


def lists(rows: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Describe a list response whose items are ``rows``."""
    body = {
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": rows},
            "next_cursor": {"type": ["string", "null"], "description": "pass it as `cursor`; null at the end"},
        },
    }
    return {200: {"description": "Rows", "content": {"application/json": {"schema": body}}}, **PROBLEM}


def row(shape: pa.Schema) -> dict[str, Any]:
    """Describe a row; every column can be null."""
    return {"type": "object", "properties": {field.name: _value(field.type) for field in shape}}


def _value(type_: pa.DataType) -> dict[str, Any]:
    if pa.types.is_decimal(type_):
        return {"type": ["string", "null"], "description": "decimal number, exact to nine places"}
    if pa.types.is_timestamp(type_):
        return {"type": ["string", "null"], "format": "date-time"}
    if pa.types.is_list(type_):
        return {"type": ["array", "null"], "items": {"type": "string"}}
    if pa.types.is_boolean(type_):
        return {"type": ["boolean", "null"]}
    if pa.types.is_integer(type_):
        return {"type": ["integer", "null"]}
    return {"type": ["number" if pa.types.is_floating(type_) else "string", "null"]}
