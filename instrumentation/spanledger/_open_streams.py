"""Streams that are open must not swallow other calls, nor be lost with the process.

The official instrumentors of anthropic and bedrock (1.3b0) leave the span of a stream current until the stream ends;
those of openai and google call ``suspend()``. Whatever the caller does in between is then taken for a part of that
call: a second model call gets no span and no usage of its own. util-genai's stream wrappers make a suspended span
current again for each read, so suspending is all it takes; where the instrumentor does so itself, nothing changes.

A stream ends its span when it is dropped. One that is still referred to when the process ends would be too late.
"""

import os
import sys
from functools import wraps
from typing import Any
from weakref import WeakSet

from spanledger._guard import shielded

_GUARD = shielded("suspending the span of a stream")
_DONE = "_spanledger_suspends"

_open: WeakSet[Any] = WeakSet()
"""The stream wrappers of util-genai that somebody still refers to, finished ones included."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # they are read, and ended, by the parent


def end_all() -> None:
    """End the spans of streams that are still open, as if they had been dropped."""
    for stream in tuple(_open):
        with shielded("ending an open stream"):
            stream.__del__()  # which does nothing to a finished one


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
            _open.add(self)

    setattr(construct_and_suspend, _DONE, True)
    return construct_and_suspend
