"""What goes wrong between an application and the service: late and doubled spans, and clocks that are off.

What is lost for good is no matter of delivery: see `Outage`.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from spanledger_ingest.traffic._calls import traffic
from spanledger_ingest.traffic._draws import Flags, Whole, below, halves, mix, uniform
from spanledger_ingest.traffic._requests import Request, requests
from spanledger_ingest.traffic._rows import Traffic
from spanledger_ingest.traffic._world import HOUR_NS, World

LATE_SHARE: Final = 0.02
LATE_MINUTES: Final = (1, 60)
DOUBLE_SHARE: Final = 0.01
_DOUBLE_US: Final = 600_000_000
_MINUTE_US: Final = 60_000_000
_HOUR_US: Final = HOUR_NS // 1000
_DELAY_SALT, _DOUBLE_SALT = 11, 12


def delivered(world: World, hour: int, own: Traffic | None) -> list[Request]:
    """Return the requests that arrive in an hour, in order of arrival.

    Args:
        world: The world.
        hour: Hours since the epoch.
        own: The traffic that starts in this hour. Some of it arrives in the next one, or, in the last hour of the
            period, at once.
    """
    before = traffic(world, range(hour - 1, hour)) if hour > world.hours.start else None
    arrivals = [
        (at_us, request.trace_id, request)
        for made in (before, own)
        if made is not None
        for at_us, request in _arrivals(world, made)
        if at_us // _HOUR_US == hour
    ]
    arrivals.sort(key=lambda arrival: arrival[:2])
    return [request for *_, request in arrivals]


def _arrivals(world: World, made: Traffic) -> Iterator[tuple[int, Request]]:
    """Yield each request with the time at which it arrives, and again with the next one if it does so twice."""
    first, doubled, second = _times(world, made)
    for request, at_us, twice, again_us in zip(
        requests(world, made), first.tolist(), doubled.tolist(), second.tolist(), strict=True
    ):
        yield at_us, request
        if twice:
            yield again_us, request


def _times(world: World, made: Traffic) -> tuple[Whole, Flags, Whole]:
    rows = made.requests
    chance, amount = halves(mix(rows.trace_low, _DELAY_SALT))
    least, most = LATE_MINUTES
    delay = least * _MINUTE_US + below(amount, (most - least) * _MINUTE_US)
    # The clock of whoever delivers is right: the hour is the one in which the request came, whatever its spans say.
    true_us = np.maximum(rows.start_us, rows.hour * _HOUR_US)
    true_us = np.minimum(true_us, (rows.hour + 1) * _HOUR_US - 1)
    first = true_us + np.where(uniform(chance) < LATE_SHARE, delay, 0)
    chance, amount = halves(mix(rows.trace_low, _DOUBLE_SALT))
    second = first + 1 + below(amount, _DOUBLE_US)
    last = world.hours[-1]
    latest = (np.minimum(rows.hour + 1, last) + 1) * _HOUR_US - 1
    return np.minimum(first, latest), uniform(chance) < DOUBLE_SHARE, np.minimum(second, latest)
