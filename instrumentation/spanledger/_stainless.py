"""Around the SDKs that Stainless generates (openai, anthropic, groq): they all send requests through ``client.post``.

``post`` runs inside the span of whatever instrumentor is attached, for every method that reaches it: plain, parsed,
streamed, sync and async. There we read facts and ask OpenAI-compatible streams for their usage. The usage chunk that
comes back is for the span only, so it is hidden from the caller, outside of the instrumentor.
"""

import importlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import wrapt

from spanledger._guard import shielded
from spanledger._observe import observer, recording_call
from spanledger._runtime import runtime
from spanledger._streams import Verdict, tap

_RAW = "X-Stainless-Raw-Response"
_STREAMED_PATHS = frozenset({"/chat/completions", "/completions"})

_asked: ContextVar[list[bool] | None] = ContextVar("spanledger-asked-for-usage", default=None)
"""Where ``post`` tells the outer wrapper of the same call that it asked for usage."""

_refusing: set[str] = set()
"""Base addresses of servers that answered that they do not know ``stream_options``."""


def install(sdk: str) -> None:
    """Wrap ``post`` of an SDK's clients. Before its instrumentor is attached or after makes no difference."""
    module = f"{sdk}._base_client"
    wrapt.wrap_function_wrapper(module, "SyncAPIClient.post", _around_post(sdk))
    wrapt.wrap_function_wrapper(module, "AsyncAPIClient.post", _around_async_post(sdk))


def install_hiding() -> None:
    """Wrap the outside of openai's chat and legacy completions, over the wrapper that makes the span."""
    for module in ("openai.resources.chat.completions", "openai.resources.completions"):
        importlib.import_module(module)
        wrapt.wrap_function_wrapper(module, "Completions.create", _around_create)
        wrapt.wrap_function_wrapper(module, "AsyncCompletions.create", _around_async_create)


class _Post:
    """One request: what to change about it, and what to do with its result."""

    def __init__(self, sdk: str, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.kwargs = kwargs
        self._sdk = sdk
        self._span: Any = None
        self._raw: str | None = None
        self._base: str | None = None
        with shielded("preparing a request"):
            self._span = recording_call()
            if self._span is not None:
                self._raw = _raw_mode(kwargs.get("options"))
                self._ask_for_usage(client, args[0] if args else kwargs.get("path"))

    def _ask_for_usage(self, client: Any, path: Any) -> None:
        outer = _asked.get()
        body = self.kwargs.get("body")
        if outer is None or self._raw or path not in _STREAMED_PATHS or not isinstance(body, Mapping):
            return
        base = str(client.base_url)
        if (
            base in _refusing
            or not runtime.settings.include_usage
            or not _lacks_usage(body, self.kwargs.get("options"))
        ):
            return
        options = {**(body.get("stream_options") or {}), "include_usage": True}
        self.kwargs = {**self.kwargs, "body": {**body, "stream_options": options}}
        self._base = base
        outer.append(True)

    def is_refused(self, error: Any) -> bool:
        """Whether the server refuses ``stream_options``; it is not asked again then."""
        if self._base is None or getattr(error, "status_code", None) not in (400, 422):
            return False
        if not any(word in str(error) for word in ("stream_options", "include_usage")):
            return False
        _refusing.add(self._base)
        outer = _asked.get()
        if outer:
            outer.clear()
        return True

    def completed(self, result: Any) -> Any:
        """Read what came back: at once, or as the stream passes."""
        if self._span is None or self._raw == "stream":
            return result
        with shielded("observing a response"):
            streamed = bool(self.kwargs.get("stream"))
            if streamed and self._raw:
                return result
            observing = observer(self._sdk, self._span, streamed=streamed)
            if observing is None:
                return result
            if streamed:
                return tap(result, observing)
            # The instrumentor parses a raw response too, and the SDK keeps the parsed value.
            observing.observe(result.parse() if self._raw else result)
        return result


def _around_post(sdk: str) -> Callable[..., Any]:
    def post(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = _Post(sdk, instance, args, kwargs)
        try:
            result = wrapped(*args, **request.kwargs)
        except Exception as error:
            if not request.is_refused(error):
                raise
            result = wrapped(*args, **kwargs)
        return request.completed(result)

    return post


def _around_async_post(sdk: str) -> Callable[..., Any]:
    async def post(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = _Post(sdk, instance, args, kwargs)
        try:
            result = await wrapped(*args, **request.kwargs)
        except Exception as error:
            if not request.is_refused(error):
                raise
            result = await wrapped(*args, **kwargs)
        return request.completed(result)

    return post


def _around_create(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not kwargs.get("stream"):
        return wrapped(*args, **kwargs)
    asked: list[bool] = []
    token = _asked.set(asked)
    try:
        result = wrapped(*args, **kwargs)
    finally:
        _asked.reset(token)
    return _without_usage(result, kwargs) if asked else result


async def _around_async_create(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not kwargs.get("stream"):
        return await wrapped(*args, **kwargs)
    asked: list[bool] = []
    token = _asked.set(asked)
    try:
        result = await wrapped(*args, **kwargs)
    finally:
        _asked.reset(token)
    return _without_usage(result, kwargs) if asked else result


def _without_usage(result: Any, kwargs: Mapping[str, Any]) -> Any:
    with shielded("hiding the usage chunk"):
        count = kwargs.get("n")
        return tap(result, _UsageHider(count if isinstance(count, int) else 1))
    return result


class _UsageHider:
    """The valve that keeps the usage chunk from a caller who did not ask for it.

    Many callers stop reading at the finish reason, which comes before the usage. So that chunk waits until the rest of
    the stream, already on its way, is in: then the span is complete whatever the caller does next.
    """

    __slots__ = ("_open",)

    def __init__(self, choices: int) -> None:
        self._open = choices

    def judge(self, item: Any) -> Verdict:
        """Hide a chunk that has nothing but usage; the last one is where every choice has its finish reason."""
        if getattr(item, "usage", None) is None:
            item.model_fields_set.discard("usage")  # `"usage": null` is on the wire only because we asked
        elif not item.choices:
            return Verdict.HIDE
        for choice in item.choices:
            if choice.finish_reason:
                self._open -= 1
        return Verdict.PASS if self._open > 0 or not item.choices else Verdict.LAST

    def ended(self) -> None:
        """Nothing to do."""


def _lacks_usage(body: Mapping[str, Any], options: Any) -> bool:
    """Whether the caller left ``stream_options.include_usage`` open. A value that it chose, even false, stays."""
    chosen = body.get("stream_options")
    if "stream_options" in ((options or {}).get("extra_json") or {}):
        return False
    return not chosen or (isinstance(chosen, Mapping) and "include_usage" not in chosen)


def _raw_mode(options: Any) -> str | None:
    """``"true"`` for with_raw_response, ``"stream"`` for with_streaming_response, ``None`` for plain calls."""
    headers = (options or {}).get("headers")
    value = headers.get(_RAW) if isinstance(headers, Mapping) else None
    return value if isinstance(value, str) else None
