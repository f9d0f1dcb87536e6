"""Reading what a store answers."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from spanledger_analytics.queries import Window

Key: TypeAlias = tuple[Any, ...]


def windows_before(moments: Sequence[int], lengths: Sequence[int]) -> tuple[Window, ...]:
    """Return the windows of each length that end at each moment, moment by moment."""
    return tuple(Window(max(moment - length, 0), moment) for moment in moments for length in lengths)


def labels_of(row: Mapping[str, Any], by: Sequence[str]) -> dict[str, str]:
    """Return the dimensions of a row that are known."""
    return {name: row[name] for name in by if row[name]}
