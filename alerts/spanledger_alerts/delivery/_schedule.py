"""When to try again, and when to give up."""

import random
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

SECOND: Final = 10**9

BASE_SECONDS: Final = 5.0
CAP_SECONDS: Final = 3600.0
GIVE_UP_SECONDS: Final = 72 * 3600.0
LONGEST_RETRY_AFTER_SECONDS: Final = 24 * 3600.0

_RETRIED: Final = frozenset({408, 425, 429})
_GONE: Final = 410

Outcome: TypeAlias = Literal["ok", "retry", "refused", "gone"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended."""

    outcome: Outcome
    """``refused`` is for good, ``gone`` asks never to send anything again."""
    http_status: int | None = None
    detail: str = ""
    """For people; never what the other side wrote."""
    retry_after: float | None = None
    """Seconds that the other side asked to wait."""

    @property
    def ok(self) -> bool:
        """Whether it arrived."""
        return self.outcome == "ok"


def judge(status: int, retry_after: str | None = None, *, now_ns: int) -> Attempt:
    """Return what an HTTP status means for a message.

    Success is 2xx alone. A redirect is none: whoever moved has to be configured anew, since a redirect could lead
    anywhere.
    """
    wait = None if retry_after is None else parse_retry_after(retry_after, now_ns)
    if 200 <= status < 300:
        return Attempt("ok", status)
    if status == _GONE:
        return Attempt("gone", status, "410: it asks to send nothing any more")
    if status in _RETRIED or status >= 500:
        return Attempt("retry", status, f"{status}", wait)
    if 300 <= status < 400:
        return Attempt("refused", status, f"{status}: redirects are not followed; configure the new address")
    return Attempt("refused", status, f"{status}: it refuses the message for good")


def parse_retry_after(text: str, now_ns: int) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, at most a day; ``None`` if it cannot be read."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now_ns / SECOND, 0.0), LONGEST_RETRY_AFTER_SECONDS)


class Schedule:
    """Full jitter: after the n-th failure in a row, a random wait between 0 and base x 2^n, at most the cap.

    ``Retry-After`` takes its place, with a tenth more at most, so that those who were told the same do not come at the
    same moment. See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.SystemRandom()

    def wait_ns(self, failures: int, retry_after: float | None = None) -> int:
        """Return how long to wait after so many failures (1 or more)."""
        if retry_after:
            return round(retry_after * self._chance.uniform(1.0, 1.1) * SECOND)
        most = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures - 1, 32))
        return round(self._chance.uniform(0.0, most) * SECOND)

    def is_over(self, since_ns: int, now_ns: int) -> bool:
        """Tell whether a message has been tried for long enough."""
        return now_ns - since_ns >= GIVE_UP_SECONDS * SECOND
