"""What is generated, as columns: requests to applications, and the model calls that they cause."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spanledger_ingest.traffic._draws import Flags, Reals, Whole, Wide, Words

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RATE_LIMIT, SERVER_ERROR, TIMEOUT = 0, 1, 2
NO_FAULT = -1
STOP, LENGTH, TOOL_CALL, CONTENT_FILTER = 0, 1, 2, 3
NO_TOOL = -1


@dataclass(slots=True, eq=False)
class Requests:
    """Requests to applications, one row each. Times are microseconds since the epoch."""

    tenant: Whole
    load: Whole
    hour: Whole
    region: Whole
    user: Whole
    version: Whole
    start_us: Whole
    lead_us: Whole
    trail_us: Whole
    turns: Whole
    model: Whole
    trace_high: Wide
    trace_low: Wide
    span: Wide
    input_factor: Reals
    output_factor: Reals
    end_us: Whole
    failed: Flags


@dataclass(slots=True, eq=False)
class Turns:
    """What a request asks of a model: one turn, or several with tools between them."""

    request: Whole
    turn: Whole
    last: Flags
    words: Words


@dataclass(slots=True, eq=False)
class Calls:
    """Model calls, one row for each attempt; ``request`` is the place of its request in `Requests`."""

    request: Whole
    model: Whole
    served: Whole
    limit: Whole
    stream: Flags
    fault: Whole
    input: Whole
    output: Whole
    cache_read: Whole
    cache_write: Whole
    reasoning: Whole
    cost: Whole
    finish: Whole
    start_us: Whole
    end_us: Whole
    ttft_us: Whole
    tool: Whole
    tool_us: Whole
    span: Wide


@dataclass(slots=True, eq=False)
class Traffic:
    """Requests in order of their start, and their calls in the order of their requests, then of their own start."""

    requests: Requests
    calls: Calls

    def __len__(self) -> int:
        return len(self.calls.request)


_Table = TypeVar("_Table", bound="DataclassInstance")


def take(rows: _Table, which: Flags | Whole) -> _Table:
    """Return some rows of a table whose fields are its columns."""
    return replace(rows, **{field.name: getattr(rows, field.name)[which] for field in fields(rows)})


def joined(parts: Sequence[_Table]) -> _Table:
    """Return tables one under the other; there must be one at least."""
    first = parts[0]
    return replace(first, **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(first)})


def chosen(traffic: Traffic, requests: Flags) -> Traffic:
    """Return the traffic of some of the requests."""
    places = np.cumsum(requests) - 1
    calls = take(traffic.calls, requests[traffic.calls.request])
    calls.request = places[calls.request]
    return Traffic(take(traffic.requests, requests), calls)


def ordered(traffic: Traffic) -> Traffic:
    """Return the traffic in order of time; equal starts go by trace id."""
    requests = traffic.requests
    order = np.lexsort((requests.trace_low, requests.trace_high, requests.start_us))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    request = places[traffic.calls.request]
    by_request = np.argsort(request, kind="stable")
    calls = take(traffic.calls, by_request)
    calls.request = request[by_request]
    return Traffic(take(requests, order), calls)
