"""Prepared items as bytes between two processes of this service."""

import io
import pickle
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from spanledger_analytics.records import CallFacts, Usage

_FACTS: Final = tuple(field.name for field in fields(CallFacts))
_USAGE: Final = tuple(field.name for field in fields(Usage))
_facts_values: Final = attrgetter(*_FACTS)
_usage_values: Final = attrgetter(*_USAGE)


def _facts(*values: Any) -> CallFacts:
    return CallFacts(**dict(zip(_FACTS, values, strict=True)))


def _usage(*values: Any) -> Usage:
    return Usage(**dict(zip(_USAGE, values, strict=True)))


class _Pickler(pickle.Pickler):
    """Knows a shorter spelling of what there is most of."""

    dispatch_table = {  # noqa: RUF012 - the base class has it so
        CallFacts: lambda facts: (_facts, _facts_values(facts)),
        Usage: lambda usage: (_usage, _usage_values(usage)),
    }


def dump(value: object) -> bytes:
    """Return a value as bytes."""
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def load(data: bytes) -> Any:
    """Return a value from its bytes, which must come from :func:`dump` in a process of this service."""
    return pickle.loads(data)  # noqa: S301 - both ends of the socket pair are ours, and nobody else has it
