"""Around the SDKs that Stainless generates (openai, anthropic, groq): they all send through ``client.request``.

``request`` runs inside the span of whatever instrumentor is attached, for every method that reaches it: plain, parsed,
streamed, sync and async. There we read facts and ask OpenAI-compatible streams for their usage. The usage chunk that
comes back is for the span only, so it is hidden from the caller, outside of the instrumentor.

Not ``client.post``, which is one level higher: resources keep a bound ``post`` from before we were attached.
"""

import copy
import importlib
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import wrapt

from spanledger._guard import shielded
from spanledger._observe import Form, answer_of, observer, recording_call
from spanledger._runtime import runtime
from spanledger._streams import Verdict, tap

_RAW = "X-Stainless-Raw-Response"
_STREAMED_PATHS = frozenset({"/chat/completions", "/completions"})

_asked: ContextVar[list[bool] | None] = ContextVar("spanledger-asked-for-usage", default=None)
"""Where ``request`` tells the outer wrapper of the same call that it asked for usage."""

_refusing: set[str] = set()
"""Base addresses of servers that answered that they do not know ``stream_options``."""


def install(sdk: str) -> None:
    """Wrap ``request`` of an SDK's clients. Before its instrumentor is attached or after makes no difference."""
    module = f"{sdk}._base_client"
    wrapt.wrap_function_wrapper(module, "SyncAPIClient.request", _around_request(sdk))
    wrapt.wrap_function_wrapper(module, "AsyncAPIClient.request", _around_async_request(sdk))


def install_hiding() -> None:
    """Wrap the outside of openai's chat and legacy completions, over the wrapper that makes the span."""
    for module in ("openai.resources.chat.completions", "openai.resources.completions"):
        importlib.import_module(module)
        wrapt.wrap_function_wrapper(module, "Completions.create", _around_create)
        wrapt.wrap_function_wrapper(module, "AsyncCompletions.create", _around_async_create)


class _Request:
    """One request: what to change about it, and what to do with its result."""

    def __init__(self, sdk: str, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self._sdk = sdk
        self._streamed = bool(kwargs.get("stream"))
        self._span: Any = None
        self._started = 0.0
        self._raw: str | None = None
        self._base: str | None = None
        with shielded("preparing a request"):
            self._span = recording_call()
            if self._span is not None:
                self._started = time.perf_counter()
                self._prepare(client, *args)

    def _prepare(self, client: Any, cast_to: Any, options: Any, *rest: Any) -> None:
        self._raw = _raw_mode(options)
        changes = self._asking_for_usage(client, options) | self._reading_before_parsing(options)
        if changes:
            options = copy.copy(options)  # the caller's own may be sent again
            for name, value in changes.items():
                setattr(options, name, value)
            self.args = (cast_to, options, *rest)

    def _asking_for_usage(self, client: Any, options: Any) -> dict[str, Any]:
        outer, body = _asked.get(), options.json_data
        if outer is None or self._raw or options.url not in _STREAMED_PATHS or not isinstance(body, Mapping):
            return {}
        base = str(client.base_url)
        if not runtime.settings.include_usage or base in _refusing or _tells_unasked(base):
            return {}
        if not _lacks_usage(body, options.extra_json):
            return {}
        self._base = base
        outer.append(True)
        return {"json_data": {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}}

    def _reading_before_parsing(self, options: Any) -> dict[str, Any]:
        """Where the SDK parses the answer's text, too: it may not be what was asked for, but it has been paid."""
        parse = options.post_parser
        observing = observer(self._sdk, self._span, "parsed") if callable(parse) else None
        if observing is None:
            return {}

        def read_and_parse(answer: Any) -> Any:
            observing.observe(answer)
            return parse(answer)

        return {"post_parser": read_and_parse}

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
        if self._span is None or self._raw == "stream" or (self._raw and self._streamed):
            return result
        with shielded("observing a response"):
            form: Form = "stream" if self._streamed else "raw" if self._raw else "plain"
            observing = observer(self._sdk, self._span, form, started=self._started)
            if observing is None:
                return result
            if self._streamed:
                return tap(result, observing)
            answer = answer_of(result) if self._raw else result
            if answer is not None:
                observing.observe(answer)
        return result


def _around_request(sdk: str) -> Callable[..., Any]:
    def request(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        admitted = _admission(sdk, instance, args)
        if admitted is not None:
            args = admitted.wait()
        ours = _Request(sdk, instance, args, kwargs)
        try:
            try:
                result = wrapped(*ours.args, **kwargs)
            except Exception as error:
                if not ours.is_refused(error):
                    raise
                result = wrapped(*args, **kwargs)
        except Exception as error:
            if admitted is not None:
                admitted.failed(error)
            raise
        return ours.completed(result)

    return request


def _admission(sdk: str, client: Any, args: tuple[Any, ...]) -> Any:
    """The question to ask before the call, or ``None`` if budgets are not asked, or not about this."""
    if runtime.settings.budgets == "off":
        return None
    with shielded("asking about budgets"):
        from spanledger import _budget  # noqa: PLC0415  # opt-in: nobody else loads it

        return _budget.question(sdk, client, args)
    return None


def _around_async_request(sdk: str) -> Callable[..., Any]:
    async def request(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        admitted = _admission(sdk, instance, args)
        if admitted is not None:
            args = await admitted.wait_async()
        ours = _Request(sdk, instance, args, kwargs)
        try:
            try:
                result = await wrapped(*ours.args, **kwargs)
            except Exception as error:
                if not ours.is_refused(error):
                    raise
                result = await wrapped(*args, **kwargs)
        except Exception as error:
            if admitted is not None:
                admitted.failed(error)
            raise
        return ours.completed(result)

    return request


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
        for choice in item.choices or ():
            if choice.finish_reason:
                self._open -= 1
        return Verdict.PASS if self._open > 0 or not item.choices else Verdict.LAST

    def ended(self) -> None:
        """Nothing to do."""


def _tells_unasked(base: str) -> bool:
    """Whether a server sends the usage chunk to everybody, so that the caller expects to see it."""
    return (urlsplit(base).hostname or "").endswith("openrouter.ai")


def _lacks_usage(body: Mapping[str, Any], extra: Mapping[str, Any] | None) -> bool:
    """Whether the caller left ``stream_options.include_usage`` open. A value that it chose, even false, stays."""
    chosen = body.get("stream_options")
    if "stream_options" in (extra or {}):
        return False
    return not chosen or (isinstance(chosen, Mapping) and "include_usage" not in chosen)


def _raw_mode(options: Any) -> str | None:
    """``"true"`` for with_raw_response, ``"stream"`` for with_streaming_response, ``None`` for plain calls."""
    headers = options.headers
    value = headers.get(_RAW) if isinstance(headers, Mapping) else None
    return value if isinstance(value, str) else None
