"""Whether official instrumentors record prompts and answers at all, changeable after they are attached.

The documented switch is an environment variable that they read once, when they are attached. Applications configure
later than they import, so handlers made for us look again whenever the setting changes.
"""

import sys
from functools import wraps
from typing import Any
from weakref import WeakSet

from spanledger._guard import shielded
from spanledger._tracing import FollowingProvider
from spanledger.settings import CAPTURE_VARIABLE, default_environment, withdraw_environment

_handlers: WeakSet[Any] = WeakSet()
_DONE = "_spanledger_follows"


class _Live:
    """Stands for ``TelemetryHandler._capture_content``: true or false as things stand when it is asked."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def __bool__(self) -> bool:
        mode = self._handler._content_capturing_mode.name  # noqa: SLF001  # no public way to ask a handler
        hook = type(self._handler._completion_hook).__name__  # noqa: SLF001  # same
        return mode != "NO_CONTENT" or hook != "_NoOpCompletionHook"


def follow_setting() -> None:
    """Make handlers that are created from now on, for us, follow the setting. Idempotent."""
    cls = getattr(sys.modules.get("opentelemetry.util.genai.handler"), "TelemetryHandler", None)
    if cls is not None and not hasattr(cls.__init__, _DONE):
        cls.__init__ = _following(cls.__init__)


def set_capturing(*, on: bool) -> None:
    """Turn recording on or off, unless the user's own environment decides about it."""
    if on:
        default_environment({CAPTURE_VARIABLE: "SPAN_ONLY"})
    else:
        withdraw_environment(CAPTURE_VARIABLE)
    utils: Any = sys.modules.get("opentelemetry.util.genai.utils")
    with shielded("switching content capture"):
        for handler in _handlers:
            handler._content_capturing_mode = utils.get_content_capturing_mode()  # noqa: SLF001  # read once only


def _following(construct: Any) -> Any:
    @wraps(construct)
    def construct_and_follow(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        with shielded("following the content setting"):
            if isinstance(kwargs.get("tracer_provider"), FollowingProvider):
                self._capture_content = _Live(self)
                _handlers.add(self)

    setattr(construct_and_follow, _DONE, True)
    return construct_and_follow
