"""Spanledger in the application: every model call becomes a span that says what it cost, for whom, and how it ended.

``import spanledger.auto`` is all it takes. This module is what an application calls when it has more to say::

    with spanledger.context(tenant="acme", use_case="support", prompt="greeting@v3"):
        client.chat.completions.create(...)
"""

import importlib
from types import ModuleType
from typing import Any

from spanledger._context import context, propagate
from spanledger._runtime import runtime
from spanledger.errors import BudgetExceeded, ConfigurationError, SpanledgerError
from spanledger.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "BudgetExceeded",
    "ConfigurationError",
    "Settings",
    "SpanledgerError",
    "__version__",
    "configure",
    "context",
    "flush",
    "propagate",
    "record_score",
    "shutdown",
]

_ON_DEMAND = frozenset({"asgi", "testing"})
"""Modules that ``import spanledger`` makes reachable without loading them."""


def __getattr__(name: str) -> ModuleType:
    """Load ``spanledger.asgi`` or ``spanledger.testing`` when it is first named."""
    if name in _ON_DEMAND:
        return importlib.import_module(f"spanledger.{name}")
    raise AttributeError(f"module 'spanledger' has no attribute {name!r}")


def configure(**options: Any) -> None:
    """Change settings when the environment is not enough; :class:`spanledger.Settings` lists them all.

    Start exporting too, if nothing did yet; libraries are instrumented by ``import spanledger.auto`` only. Idempotent,
    and settings of an earlier call hold unless given again::

        spanledger.configure(endpoint="https://spans.example", api_key="...", capture_content="masked")

    Raises:
        ConfigurationError: An option is unknown or not valid; the message names the valid ones. Nothing has changed.
    """
    runtime.configure(options)


def flush(timeout: float = 5.0) -> bool:
    """Export what is waiting, where a process may be frozen or killed next: at the end of a job or a serverless call.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether the service has everything; what it has not stays in the spool.
    """
    return runtime.flush(timeout)


def shutdown(timeout: float = 5.0) -> bool:
    """Export what is waiting and stop; called at exit by itself. A later ``configure()`` starts again.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether everything was handed over in time.
    """
    return runtime.shutdown(timeout)


def record_score(
    name: str, value: float, span: Any = None, label: str | None = None, explanation: str | None = None
) -> None:
    """Record feedback or an evaluation of yours as the event ``gen_ai.evaluation.result``.

    Args:
        name: What was judged: ``"helpfulness"``, ``"thumbs"``.
        value: The score, by convention between 0 and 1.
        span: The judged span or its ``SpanContext``; the current span by default.
        label: A word for it: ``"pass"``, ``"relevant"``.
        explanation: Why.
    """
    if runtime.settings.disabled:
        return
    from spanledger._scores import record  # noqa: PLC0415  # most applications never score: no logs SDK for them

    record(name, value, span, label, explanation)
