"""Leaves a receiver that fails alone, but for one try from time to time."""

from typing import Final

from spanledger_alerts.delivery._schedule import SECOND, Attempt, Schedule

FAILURES: Final = 5
"""In a row that open the circuit."""
LANES: Final = 4
"""Messages under way to one receiver at the same time, of different groups."""
_LONGEST_SECONDS: Final = 300.0


class Circuit:
    """The state of one receiver; used by one thread."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._failures = 0
        self.closed_until_ns = 0
        """Nothing is sent before, by the wall clock."""

    @property
    def is_open(self) -> bool:
        """Whether it is left alone."""
        return self._failures >= FAILURES

    def free(self, now_ns: int, under_way: int) -> int:
        """Return how many messages may be sent now."""
        if now_ns < self.closed_until_ns:
            return 0
        return (1 if self.is_open else LANES) - under_way

    def note(self, attempt: Attempt, now_ns: int) -> None:
        """Take in how an attempt ended. Whoever refuses a message is there, so that is no failure."""
        if attempt.outcome in ("ok", "refused"):
            self._failures, self.closed_until_ns = 0, 0
            return
        self._failures += 1
        if attempt.retry_after:
            self.closed_until_ns = now_ns + round(attempt.retry_after * SECOND)
        elif self.is_open:
            wait = self._schedule.wait_ns(self._failures - FAILURES + 1)
            self.closed_until_ns = now_ns + min(wait, round(_LONGEST_SECONDS * SECOND))
