"""Arrow tables as JSON.

Times are RFC 3339 in UTC. Decimals with places, money above all, are strings: a JSON number would be read as a binary
fraction and lose the last nano-dollar. Numbers that are not finite are null.
"""

import base64
from decimal import Decimal
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from fastapi import Response

from spanledger_analytics.errors import SqlRefusedError

_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
_INT64: Final = 2**63


def json_response(body: dict[str, Any]) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(body, default=_default, option=_OPTIONS), media_type="application/json")


def page(table: pa.Table, next_cursor: str | None = None, **members: Any) -> Response:
    """Return a list response."""
    return json_response({"items": rows_of(table), "next_cursor": next_cursor, **members})


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows ready for JSON."""
    try:
        return pa.table([_plain(column) for column in table.columns], table.schema.names).to_pylist()
    except (ValueError, OverflowError) as error:
        raise SqlRefusedError(f"the result holds a value that JSON cannot carry: {error}") from error


def _plain(column: "pa.ChunkedArray[Any]") -> Any:
    if pa.types.is_timestamp(column.type):
        suffix = "Z" if column.type.tz else ""
        return pc.strftime(column, format=f"%Y-%m-%dT%H:%M:%S{suffix}")
    return column


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value() and value.as_tuple().exponent == 0
        return int(value) if whole and abs(value) < _INT64 else format(value, "f")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "_asdict"):
        return value._asdict()
    return str(value)
