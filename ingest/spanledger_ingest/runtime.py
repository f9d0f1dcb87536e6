"""The interpreter, set up for a service that makes millions of short-lived objects on several threads."""

import gc
import sys
from typing import Final

_YOUNG_OBJECTS: Final = 200_000
"""A commit makes about as many. By default the collector looks for cycles among them every 700, and at 20,000 spans a
second spends a fifth of the time on finding none: nothing on the way from the wire to the store refers to itself."""
_SWITCH_SECONDS: Final = 0.0005
"""While the writer computes, a thread that has a request to answer waits so long for its turn, and several times for
each request. The default of 5 ms would add up to the time that a client can notice."""


def tune() -> None:
    """Set the collector and the switching of threads, for the whole process."""
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
    sys.setswitchinterval(_SWITCH_SECONDS)
