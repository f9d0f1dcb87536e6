"""The traffic as the rows of ``llm_calls`` that a service stores of it, made without the way through OTLP."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from spanledger_analytics.schema import LLM_CALLS
from spanledger_ingest.traffic._calls import traffic
from spanledger_ingest.traffic._columns import COLUMNS, Rows
from spanledger_ingest.traffic._rows import Traffic
from spanledger_ingest.traffic._world import World

_HOURS_AT_ONCE: Final = 6


def calls(
    world: World, from_hour: int = 0, to_hour: int | None = None, *, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return the rows of ``llm_calls`` for a part of a world, as a service that takes its OTLP stores them.

    Faults of the telemetry that lose spans or skew clocks are in the rows; late and doubled spans leave no mark.

    Args:
        world: The world.
        from_hour: First hour of the part, counted from the start of the period.
        to_hour: Hour at which the part ends; the end of the period if left out.
        columns: Columns of ``llm_calls`` to make, in this order; all if left out. ``own`` is always null.

    Returns:
        Rows in order of the requests' start, within an hour; ``owner`` is empty, as in a service without keys.
    """
    wanted = list(LLM_CALLS.arrow.names if columns is None else columns)
    schema = pa.schema([LLM_CALLS.arrow.field(name) for name in wanted])
    hours = world.hours[from_hour:to_hour]
    parts = []
    for start in range(hours.start, hours.stop, _HOURS_AT_ONCE):
        made = traffic(world, range(start, min(start + _HOURS_AT_ONCE, hours.stop)))
        if made is not None:
            parts.append(_table(world, made, schema))
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _table(world: World, made: Traffic, schema: pa.Schema) -> pa.Table:
    rows = Rows(world, made)
    arrays = [
        COLUMNS[field.name](rows) if field.name in COLUMNS else pa.nulls(len(made), field.type) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
