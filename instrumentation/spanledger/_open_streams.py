"""Streams that are open must not swallow other calls.

The official instrumentors of anthropic and bedrock (1.3b0) leave the span of a stream current until the stream ends;
those of openai and google call ``suspend()``. Whatever the caller does in between is then taken for a part of that
call: a second model call gets no span and no usage of its own. util-genai's stream wrappers make a suspended span
current again for each read, so suspending is all it takes; where the instrumentor does so itself, nothing changes.
"""

import sys
from functools import wraps
from typing import Any

from spanledger._guard import shielded

_GUARD = shielded("suspending the span of a stream")
_DONE = "_spanledger_suspends"


def suspend_when_opened() -> None:
    """Suspend the span of every stream as soon as it is handed to the caller. Idempotent."""
    module = sys.modules.get("opentelemetry.util.genai.stream")
    for name in ("SyncStreamWrapper", "AsyncStreamWrapper"):
        wrapper = getattr(module, name, None)
        if wrapper is not None and not hasattr(wrapper.__init__, _DONE):
            wrapper.__init__ = _suspending(wrapper.__init__)


def _suspending(construct: Any) -> Any:
    """Not a wrapt wrapper: those look at the instance, which is a proxy of nothing before ``construct`` has run."""

    @wraps(construct)
    def construct_and_suspend(self: Any, stream: Any, invocation: Any = None) -> None:
        construct(self, stream, invocation)
        with _GUARD:
            suspend = getattr(invocation, "suspend", None)
            if suspend is not None:
                suspend()

    setattr(construct_and_suspend, _DONE, True)
    return construct_and_suspend
