"""Time as an argument, so that an hour of outage passes in a test at once."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the exporter asks of time."""

    def now(self) -> float:
        """Return seconds since the epoch, for HTTP dates and file names."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for waiting."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since some fixed moment."""
        return time.monotonic()
