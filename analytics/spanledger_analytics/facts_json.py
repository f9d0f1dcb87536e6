"""CallFacts to JSON text and back, exactly: a store keeps what each span said so that settlement can be repeated."""

import json
from dataclasses import fields
from decimal import Decimal
from typing import Any, Final

from spanledger_analytics.records import CallFacts, Usage

_REQUIRED: Final = ("owner", "trace_id", "span_id", "parent_span_id", "start_ns", "end_ns")
_DEFAULTS: Final = {f.name: f.default for f in fields(CallFacts) if f.name not in _REQUIRED}
_USAGE_FIELDS: Final = tuple(f.name for f in fields(Usage))


def dump_facts(facts: CallFacts) -> str:
    """Return JSON text with every field that differs from its default; pure ASCII, so any string survives."""
    data: dict[str, Any] = {name: getattr(facts, name) for name in _REQUIRED}
    for name, default in _DEFAULTS.items():
        value = getattr(facts, name)
        if value != default:
            data[name] = value
    if "usage" in data:
        data["usage"] = {name: getattr(facts.usage, name) for name in _USAGE_FIELDS}
    if "reported_cost_usd" in data:
        data["reported_cost_usd"] = str(facts.reported_cost_usd)
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
