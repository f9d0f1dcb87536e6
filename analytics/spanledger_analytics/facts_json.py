"""CallFacts to JSON text and back, exactly: a store keeps what each span said so that settlement can be repeated."""

import json
from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

import orjson

from spanledger_analytics.records import CallFacts, Usage

_REQUIRED: Final = ("owner", "trace_id", "span_id", "parent_span_id", "start_ns", "end_ns")
_DEFAULTS: Final = {f.name: f.default for f in fields(CallFacts) if f.name not in _REQUIRED}
_FIELDS: Final = (*((name, ...) for name in _REQUIRED), *_DEFAULTS.items())
_values: Final = attrgetter(*(name for name, _ in _FIELDS))
_USAGE_FIELDS: Final = tuple(f.name for f in fields(Usage))
_usage_values: Final = attrgetter(*_USAGE_FIELDS)


def dump_facts(facts: CallFacts) -> str:
    """Return JSON text with every field that differs from its default; any string survives."""
    found = zip(_FIELDS, _values(facts), strict=True)
    data: dict[str, Any] = {
        name: value for (name, default), value in found if value is not default and value != default
    }
    if "usage" in data:
        data["usage"] = dict(zip(_USAGE_FIELDS, _usage_values(facts.usage), strict=True))
    if "reported_cost_usd" in data:
        data["reported_cost_usd"] = str(facts.reported_cost_usd)
    try:
        return orjson.dumps(data).decode()
    except orjson.JSONEncodeError:  # lone surrogates and numbers over 64 bits
        return json.dumps(data, separators=(",", ":"))


def load_facts(text: str) -> CallFacts:
    """Read what :func:`dump_facts` wrote; fields this version does not know are passed over."""
    data = {name: value for name, value in json.loads(text).items() if name in _DEFAULTS or name in _REQUIRED}
    if "usage" in data:
        data["usage"] = Usage(**{name: value for name, value in data["usage"].items() if name in _USAGE_FIELDS})
    if "reported_cost_usd" in data:
        data["reported_cost_usd"] = Decimal(data["reported_cost_usd"])
    if "finish_reasons_raw" in data:
        data["finish_reasons_raw"] = tuple(data["finish_reasons_raw"])
    return CallFacts(**data)
