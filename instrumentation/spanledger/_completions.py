"""Spans for openai's legacy completions API, which the official instrumentor (1.3b0) does not cover.

Emitted through util-genai's handler, as the official instrumentors do, so that names and metrics are theirs.
"""

from typing import Any
from urllib.parse import urlsplit

import wrapt
from opentelemetry.util.genai.handler import TelemetryHandler

from spanledger._guard import shielded
from spanledger._streams import Verdict, tap
from spanledger._tracing import FollowingProvider

_MODULE = "openai.resources.completions"
_GUARD = shielded("recording a completion")


def install(version: str) -> None:
    """Wrap ``completions.create``, sync and async."""
    handler = TelemetryHandler(
        tracer_provider=FollowingProvider(),
        instrumentation_scope_name="spanledger.openai",
        instrumentation_scope_version=version,
    )

    def create(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recording = _Recording(handler, instance, kwargs)
        try:
            return recording.of(wrapped(*args, **kwargs))
        except BaseException as error:
            recording.failed(error)
            raise

    async def create_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recording = _Recording(handler, instance, kwargs)
        try:
            return recording.of(await wrapped(*args, **kwargs))
        except BaseException as error:
            recording.failed(error)
            raise

    wrapt.wrap_function_wrapper(_MODULE, "Completions.create", create)
    wrapt.wrap_function_wrapper(_MODULE, "AsyncCompletions.create", create_async)


class _Recording:
    """The invocation of one call; also the valve that reads its stream."""

    def __init__(self, handler: TelemetryHandler, resource: Any, kwargs: dict[str, Any]) -> None:
        self._invocation: Any = None
        self._finish_reasons: dict[int, str] = {}
        self._streamed = bool(kwargs.get("stream"))
        with _GUARD:
            model = kwargs.get("model")
            address = urlsplit(str(resource._client.base_url))  # noqa: SLF001  # where every resource keeps its client
            self._invocation = handler.inference(
                "openai",
                request_model=model if isinstance(model, str) else None,
                server_address=address.hostname,
                server_port=address.port,
                operation_name="text_completion",
            )

    def of(self, result: Any) -> Any:
        """Record a result: at once, or as the stream passes. A raw response is recorded as a call without facts."""
        with _GUARD:
            if hasattr(result, "__next__") or hasattr(result, "__anext__"):
                self._invocation.suspend()
                self._invocation.request_stream = True
                return tap(result, self)
            if hasattr(result, "choices"):
                self.judge(result)
            self.ended()
        return result

    def judge(self, item: Any) -> Verdict:
        """Read a completion or a chunk of one."""
        invocation = self._invocation
        invocation.response_id, invocation.response_model_name = item.id, item.model
        for choice in item.choices:
            if choice.finish_reason:
                self._finish_reasons[choice.index] = choice.finish_reason
        if self._streamed:
            invocation.record_stream_chunk()
        if getattr(item, "usage", None) is not None:
            invocation.input_tokens = item.usage.prompt_tokens
            invocation.output_tokens = item.usage.completion_tokens
        return Verdict.PASS

    def ended(self) -> None:
        """End the span with what was read."""
        invocation, self._invocation = self._invocation, None
        if invocation is not None:
            invocation.finish_reasons = list(self._finish_reasons.values()) or None
            invocation.stop()

    def failed(self, error: BaseException) -> None:
        """End the span with an error."""
        with _GUARD:
            invocation, self._invocation = self._invocation, None
            if invocation is not None:
                invocation.fail(error)
