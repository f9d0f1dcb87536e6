"""What Spanledger itself does around an SDK, besides attaching its instrumentor."""

import sys
from importlib.metadata import version
from typing import Any

import wrapt

from spanledger._guard import shielded
from spanledger._libraries import PROXY
from spanledger._observe import answer_of
from spanledger.settings import default_environment

_GUARD = shielded("reading an answer")
_STAINLESS = frozenset({"openai", "anthropic", "groq"})


def before(library: str, *, instrumented: bool) -> None:
    """Prepare an SDK before its instrumentor wraps it.

    Environment variables are the documented switches of the instrumentors and of anthropic's own telemetry; whatever
    the user has set stays.
    """
    if library == "anthropic":
        # Its own trace headers (and baggage) would tell the vendor our ids; its own spans would bill each call twice.
        default_environment({"ANTHROPIC_OPEN_TELEMETRY_PROPAGATION": "false"})
        if instrumented:
            default_environment({"ANTHROPIC_OPEN_TELEMETRY": "false"})


def after(library: str) -> None:
    """Complete an SDK after its instrumentor has wrapped it."""
    from spanledger import _open_streams  # noqa: PLC0415  # loaded with the first instrumentor

    _open_streams.suspend_when_opened()
    if library in _STAINLESS:
        from spanledger import _stainless  # noqa: PLC0415  # loaded with the first SDK that needs it

        _stainless.install(library)
        if library == "openai":
            _complete_openai()


def _complete_openai() -> None:
    import openai  # noqa: PLC0415  # loaded already: that is why we are here

    from spanledger import _completions, _stainless  # noqa: PLC0415  # with the SDK

    if not isinstance(vars(openai.resources.completions.Completions)["create"], PROXY):
        _completions.install(version("spanledger"))
    _stainless.install_hiding()
    _read_raw_answers_for_the_instrumentor()


def _read_raw_answers_for_the_instrumentor() -> None:
    """Hand the official instrumentor (1.3b0) what a raw response holds, instead of letting it parse.

    It drops what must be awaited, and Python warns the application; and when parsing fails, it raises too early.
    """
    module = "opentelemetry.instrumentation.genai.openai.patch"
    if hasattr(sys.modules.get(module), "_set_response_properties"):
        wrapt.wrap_function_wrapper(module, "_set_response_properties", _with_the_answer)


def _with_the_answer(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In place of ``_set_response_properties(invocation, result, capture_content)``."""
    invocation, result, *rest = args
    with _GUARD:  # its usage may be anything, and the instrumentor would raise
        wrapped(invocation, answer_of(result) if hasattr(result, "parse") else result, *rest, **kwargs)
    return invocation
