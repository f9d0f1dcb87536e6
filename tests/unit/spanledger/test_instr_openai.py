"""The real openai SDK against a loopback provider: what the span says, and that the caller sees no difference."""

import asyncio
import gc
import importlib
import json
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

import spanledger
from spanledger import _stainless
from spanledger._guard import reports
from spanledger._runtime import runtime
from spanledger.testing import SpanledgerTestKit

MESSAGES: Any = [{"role": "user", "content": "Say hello"}]
COST = 0.0002
"""gpt-4o at 2.50 in, 1.25 cached, 10.00 out per million: (10 * 2.50 + 4 * 1.25 + 17 * 10.00) / 1e6."""


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanledgerTestKit]:
    monkeypatch.setattr(reports, "reraise", True)
    monkeypatch.setattr(_stainless, "_refusing", set())
    with SpanledgerTestKit() as kit:
        yield kit


@pytest.fixture
def client(kit: SpanledgerTestKit, provider: Any) -> Iterator[openai.OpenAI]:
    assert kit.spans == []  # the kit attaches before the client exists
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=2) as client:
        yield client


def only(kit: SpanledgerTestKit) -> dict[str, Any]:
    """The attributes of the only span."""
    assert len(kit.spans) == 1
    return dict(kit.spans[0].attributes or {})


def complete(span: ReadableSpan) -> None:
    """Check that a span tells the whole of the provider's standard answer."""
    said = span.attributes or {}
    assert span.status.status_code is StatusCode.UNSET
    assert said["gen_ai.usage.input_tokens"] == 14
    assert said["gen_ai.usage.output_tokens"] == 17
    assert said["gen_ai.usage.cache_read.input_tokens"] == 4
    assert said["gen_ai.usage.reasoning.output_tokens"] == 5
    assert said["gen_ai.usage.audio.input_tokens"] == 3
    assert said["gen_ai.usage.audio.output_tokens"] == 2
    assert said["openai.response.service_tier"] == "default"
    assert said["spanledger.finish_reason"] == "stop"
    assert said["gen_ai.response.id"] == "chatcmpl-1"
    assert said["gen_ai.usage.cost.amount"] == COST
    assert said["gen_ai.usage.cost.currency"] == "USD"
    assert said["gen_ai.usage.cost.source"] == "local"
    assert "error.type" not in said
    assert "spanledger.stream.aborted" not in said


def test_a_plain_call(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    with spanledger.context(tenant="acme", session="s-1", prompt="greeting@v3"):
        answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello there"
    complete(kit.spans[0])
    said = only(kit)
    assert said["tenant.id"] == "acme"
    assert said["gen_ai.conversation.id"] == "s-1"
    assert (said["gen_ai.prompt.name"], said["gen_ai.prompt.version"]) == ("greeting", "v3")
    assert not any("messages" in name for name in said)


def test_a_stream_gets_its_usage_and_the_caller_sees_nothing_of_it(
    kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any
) -> None:
    seen = [chunk.to_dict() for chunk in client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)]
    assert provider.last.body["stream_options"] == {"include_usage": True}
    complete(kit.spans[0])
    said = only(kit)
    assert said["gen_ai.request.stream"] is True
    assert said["gen_ai.response.time_to_first_chunk"] >= 0
    runtime_off(client, seen)


def runtime_off(client: openai.OpenAI, seen: list[dict[str, object]]) -> None:
    """Compare with the same call without us asking for usage."""
    options = runtime.settings
    object.__setattr__(options, "include_usage", False)
    try:
        bare = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        assert [chunk.to_dict() for chunk in bare] == seen
    finally:
        object.__setattr__(options, "include_usage", True)


@pytest.mark.parametrize("include", [True, False])
def test_a_caller_who_decides_about_usage_is_left_alone(
    kit: SpanledgerTestKit,
    client: openai.OpenAI,
    provider: Any,
    include: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": include}
    )
    chunks = list(stream)
    assert provider.last.body["stream_options"] == {"include_usage": include}
    assert (chunks[-1].usage is not None) is include
    assert ("gen_ai.usage.input_tokens" in only(kit)) is include


def test_other_stream_options_are_kept(kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any) -> None:
    options: Any = {"include_obfuscation": False}
    for _ in client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options=options):
        pass
    assert provider.last.body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    complete(kit.spans[0])


def test_leaving_at_the_finish_reason_loses_nothing(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    for chunk in client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
        if chunk.choices[0].finish_reason:
            break
    complete(kit.spans[0])


def aborted(kit: SpanledgerTestKit) -> None:
    said = only(kit)
    assert said["spanledger.stream.aborted"] is True
    assert said["spanledger.finish_reason"] == "error"
    assert "gen_ai.usage.cost.amount" not in said


def test_a_stream_that_is_dropped_ends_at_once_and_is_marked(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    next(iter(stream))
    assert kit.spans == []
    del stream
    aborted(kit)


def test_a_stream_that_is_closed_is_marked(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    aborted(kit)


def test_an_exception_of_the_caller_within_a_stream_marks_it(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    def read() -> None:
        with client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True) as stream:
            raise KeyError(next(iter(stream)).id)

    with pytest.raises(KeyError):
        read()
    aborted(kit)


def test_a_cancelled_stream_is_marked(kit: SpanledgerTestKit, provider: Any) -> None:
    provider.stall = threading.Event()

    async def read(started: asyncio.Event) -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as client:
            stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            async for _ in stream:
                started.set()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(read(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    aborted(kit)


def test_async_calls_and_streams(kit: SpanledgerTestKit, provider: Any) -> None:
    async def main() -> int:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
            stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            async with stream:
                return len([chunk async for chunk in stream])

    with spanledger.context(tenant="acme"):
        assert asyncio.run(main()) == 3
    for span in kit.spans:
        complete(span)
        assert (span.attributes or {})["tenant.id"] == "acme"
    assert len(kit.spans) == 2


def test_the_streaming_helper_of_the_sdk(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert stream.get_final_completion().usage is None
    assert text == "Hello there"
    complete(kit.spans[0])


def test_raw_responses_are_not_touched(kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES, stream=True)
    assert len(list(raw.parse())) == 3
    assert "stream_options" not in provider.last.body
    with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES) as response:
        assert response.parse().id == "chatcmpl-1"
    plain = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    assert plain.parse().id == "chatcmpl-1"
    complete(kit.spans[-1])


def test_an_unread_answer_warns_nobody(kit: SpanledgerTestKit, provider: Any) -> None:
    async def main() -> str:
        async with (
            openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as client,
            client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES) as response,
        ):
            return (await response.parse()).id

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert asyncio.run(main()) == "chatcmpl-1"
        gc.collect()
    assert caught == []
    assert len(kit.spans) == 1


def test_raw_embeddings_have_their_usage(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="text-embedding-3-small", input="hello")
    assert raw.parse().data[0].embedding == [0.1, 0.2]
    assert only(kit)["gen_ai.usage.cost.amount"] == pytest.approx(8 * 0.02 / 1e6)


class City(pydantic.BaseModel):
    name: str


def paid(kit: SpanledgerTestKit, error: str) -> None:
    said = only(kit)
    assert said["error.type"] == error
    assert said["spanledger.finish_reason"] == "error"
    assert said["gen_ai.usage.input_tokens"] == 14
    assert said["gen_ai.usage.output_tokens"] == 17
    assert said["gen_ai.usage.cost.amount"] == COST


def test_an_answer_that_the_sdk_cannot_parse_is_paid_all_the_same(
    kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any
) -> None:
    with pytest.raises(pydantic.ValidationError):
        client.chat.completions.parse(model="gpt-4o", messages=MESSAGES, response_format=City)
    paid(kit, "pydantic_core._pydantic_core.ValidationError")
    kit.clear()
    provider.finish_reason = "length"
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="gpt-4o", messages=MESSAGES, response_format=City)
    paid(kit, "openai.LengthFinishReasonError")
    kit.clear()
    with pytest.raises(pydantic.ValidationError):
        client.responses.parse(model="gpt-4o", input="Say hello", text_format=City)
    paid(kit, "pydantic_core._pydantic_core.ValidationError")


def test_a_raw_answer_that_cannot_be_parsed_fails_where_it_is_parsed(
    kit: SpanledgerTestKit, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """As LangChain's with_structured_output does."""
    raw = client.chat.completions.with_raw_response.parse(model="gpt-4o", messages=MESSAGES, response_format=City)
    with pytest.raises(pydantic.ValidationError):
        raw.parse()
    said = only(kit)
    assert said["gen_ai.usage.cost.amount"] == COST
    assert said["gen_ai.usage.output_tokens"] == 17
    assert caplog.records == []


def test_an_answer_of_any_shape_reaches_the_caller(
    kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "reraise", False)
    provider.failures.append((200, {"id": "x", "choices": [], "usage": "many", "model": "gpt-4o"}))
    assert client.chat.completions.create(model="gpt-4o", messages=MESSAGES).id == "x"
    assert only(kit)["gen_ai.response.id"] == "x"


def usage_asked(base_url: str, *chunks: dict[str, Any]) -> tuple[bool, list[Any]]:
    """Whether a server at ``base_url`` is asked for usage, and what of its ``chunks`` the caller sees."""
    asked: list[bool] = []
    httpx: Any = importlib.import_module("httpx" if openai.__version__ < "3" else "httpx2")

    def serve(request: Any) -> Any:
        asked.append("stream_options" in json.loads(request.content))
        text = "".join(f"data: {json.dumps(CHUNK | chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)

    http = httpx.Client(transport=httpx.MockTransport(serve))
    with openai.OpenAI(base_url=base_url, api_key="k", http_client=http) as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        return asked == [True], [chunk.usage for chunk in stream]


CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": []}
LAST = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


def test_a_server_that_tells_its_usage_unasked_is_left_alone(kit: SpanledgerTestKit) -> None:
    assert usage_asked("https://openrouter.ai/api/v1", LAST, USAGE)[0] is False
    assert len(usage_asked("https://openrouter.ai/api/v1", LAST, USAGE)[1]) == 2
    assert usage_asked("https://api.openai.com/v1", LAST, USAGE) == (True, [None])
    assert [(span.attributes or {})["gen_ai.usage.output_tokens"] for span in kit.spans] == [1, 1, 1]


def test_chunks_without_choices_are_passed_on(kit: SpanledgerTestKit) -> None:
    assert usage_asked("https://proxy.example/v1", {"choices": None}, LAST, USAGE) == (True, [None, None])
    assert only(kit)["gen_ai.usage.output_tokens"] == 1


def test_a_client_that_was_used_before_we_came_is_asked_for_usage_too(run_python: Any, provider: Any) -> None:
    out = run_python(
        f"""
import openai
client = openai.OpenAI(base_url="{provider.url}/v1", api_key="k")
client.chat.completions.create(model="gpt-4o", messages=[])
from spanledger.testing import SpanledgerTestKit
with SpanledgerTestKit() as kit:
    print(len(list(client.chat.completions.create(model="gpt-4o", messages=[], stream=True))))
client.close()
print(*kit.costs())
"""
    )
    assert out.split() == ["3", str(COST)]


def test_a_server_that_refuses_stream_options_is_asked_once(
    kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any
) -> None:
    provider.refuses_stream_options = True
    for _ in range(2):
        assert len(list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))) == 3
    assert ["stream_options" in request.body for request in provider.requests] == [True, False, False]
    assert [span.status.status_code for span in kit.spans] == [StatusCode.UNSET] * 2
    assert [(span.attributes or {})["spanledger.finish_reason"] for span in kit.spans] == ["stop", "stop"]
    assert kit.costs() == [None, None]


def test_an_async_refusal_is_handled_too_and_other_errors_are_not_retried(
    kit: SpanledgerTestKit, provider: Any
) -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as client:
            stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            assert len([chunk async for chunk in stream]) == 3
            provider.failures.append((400, {"error": {"message": "no such model"}}))
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model="nope", messages=MESSAGES, stream=True)

    provider.refuses_stream_options = True
    asyncio.run(main())
    assert len(provider.requests) == 3
    failed = kit.spans[-1].attributes or {}
    assert failed["error.type"] == "openai.BadRequestError"
    assert failed["spanledger.finish_reason"] == "error"
    assert "spanledger.stream.aborted" not in failed


def test_retries_are_one_call(kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any) -> None:
    provider.failures.append((429, {"error": {"message": "slow down"}}))
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert len(provider.requests) == 2
    complete(kit.spans[0])
    assert len(kit.spans) == 1


def test_errors_reach_the_caller_unchanged(kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any) -> None:
    provider.failures.append((400, {"error": {"message": "bad key sk-abcdefghijklmnopqrstuvwx of a@b.example"}}))
    with pytest.raises(openai.BadRequestError, match="sk-abcdefghijklmnopqrstuvwx"):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    said = only(kit)
    assert said["spanledger.finish_reason"] == "error"
    assert "gen_ai.usage.cost.amount" not in said
    assert "sk-" not in str(kit.spans[0].status.description)
    assert "[secret]" in str(kit.spans[0].status.description)


def test_tool_calls(kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any) -> None:
    provider.finish_reason = "tool_calls"
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    said = only(kit)
    assert said["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert said["spanledger.finish_reason"] == "tool_call"


def test_responses_and_embeddings(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    client.responses.create(model="gpt-4o", input="Say hello")
    for _ in client.responses.create(model="gpt-4o", input="Say hello", stream=True):
        pass
    with client.responses.stream(model="gpt-4o", input="Say hello") as stream:
        stream.until_done()
    client.embeddings.create(model="text-embedding-3-small", input="hello")
    *responses, embedding = (span.attributes or {} for span in kit.spans)
    assert len(responses) == 3
    for said in responses:
        assert said["gen_ai.usage.reasoning.output_tokens"] == 5
        assert said["gen_ai.usage.cost.amount"] == COST
        assert said["spanledger.finish_reason"] == "stop"
    assert embedding["gen_ai.usage.cost.amount"] == pytest.approx(8 * 0.02 / 1e6)


def test_an_unknown_model_has_no_cost(kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any) -> None:
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "house-model-7", "choices": []}
    provider.failures.append(
        (200, {**answer, "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    )
    client.chat.completions.create(model="house-model-7", messages=MESSAGES)
    said = only(kit)
    assert said["gen_ai.usage.input_tokens"] == 1
    assert not any("cost" in name for name in said)


def test_azure_clients(kit: SpanledgerTestKit, provider: Any) -> None:
    with openai.AzureOpenAI(azure_endpoint=provider.url, api_key="k", api_version="2025-01-01") as client:
        assert len(list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))) == 3
    assert provider.last.body["stream_options"] == {"include_usage": True}
    assert only(kit)["gen_ai.usage.input_tokens"] == 14


def test_several_choices_are_all_read(kit: SpanledgerTestKit, client: openai.OpenAI) -> None:
    assert len(list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, n=2))) == 3
    assert only(kit)["gen_ai.usage.input_tokens"] == 14


def test_outside_of_a_kit_nothing_is_asked_for_when_nothing_records(provider: Any) -> None:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k") as client:
        list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    assert "stream_options" not in provider.last.body


def legacy(span: ReadableSpan) -> None:
    said = span.attributes or {}
    assert said["gen_ai.operation.name"] == "text_completion"
    assert said["gen_ai.request.model"] == "gpt-3.5-turbo-instruct"
    assert said["gen_ai.response.id"] == "cmpl-1"
    assert said["gen_ai.usage.input_tokens"] == 14
    assert said["gen_ai.usage.output_tokens"] == 17
    assert said["spanledger.finish_reason"] == "stop"
    assert said["gen_ai.usage.cost.amount"] == pytest.approx((14 * 1.5 + 17 * 2.0) / 1e6)


def test_legacy_completions_have_spans_too(kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any) -> None:
    model = "gpt-3.5-turbo-instruct"
    assert client.completions.create(model=model, prompt="hi").choices[0].text == "Hello there"
    assert len(list(client.completions.create(model=model, prompt="hi", stream=True))) == 2
    assert provider.last.body["stream_options"] == {"include_usage": True}

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as other:
            await other.completions.create(model=model, prompt="hi")
            stream = await other.completions.create(model=model, prompt="hi", stream=True)
            assert len([chunk async for chunk in stream]) == 2

    asyncio.run(main())
    assert len(kit.spans) == 4
    for span in kit.spans:
        legacy(span)


def test_legacy_completions_that_fail_or_are_dropped(
    kit: SpanledgerTestKit, client: openai.OpenAI, provider: Any
) -> None:
    provider.failures.append((400, {"error": {"message": "no"}}))
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi")
    stream = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi", stream=True)
    next(stream)
    del stream
    failed, dropped = (span.attributes or {} for span in kit.spans)
    assert failed["error.type"] == "openai.BadRequestError"
    assert dropped["spanledger.stream.aborted"] is True
    assert dropped["spanledger.finish_reason"] == "error"
