"""The real anthropic SDK against a loopback provider: one span per call, the facts that bill it, quiet headers."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

import spanledger
from spanledger._guard import reports
from spanledger.testing import SpanledgerTestKit

MODEL = "claude-sonnet-4-5"
MESSAGES: Any = [{"role": "user", "content": "Say hello"}]
COST = 0.0025482
"""Sonnet 4.5 per million: 128 at 3, 1664 cached at 0.30, 56 written for 5 min at 3.75, 200 for 1 h at 6, 17 at 15."""

pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanledgerTestKit]:
    monkeypatch.setattr(reports, "reraise", True)
    with SpanledgerTestKit() as kit:
        yield kit


@pytest.fixture
def client(kit: SpanledgerTestKit, provider: Any) -> Iterator[anthropic.Anthropic]:
    assert kit.spans == []  # the kit attaches before the client exists
    with anthropic.Anthropic(base_url=provider.url, api_key="k") as client:
        yield client


def complete(span: ReadableSpan) -> None:
    said = span.attributes or {}
    assert span.status.status_code is StatusCode.UNSET
    assert said["gen_ai.usage.input_tokens"] == 2048
    assert said["gen_ai.usage.output_tokens"] == 17
    assert said["gen_ai.usage.cache_read.input_tokens"] == 1664
    assert said["gen_ai.usage.cache_write.input_tokens"] == 256
    assert said["spanledger.usage.cache_write_1h.input_tokens"] == 200
    assert said["anthropic.response.service_tier"] == "standard"
    assert said["spanledger.finish_reason"] == "stop"
    assert said["gen_ai.response.id"] == "msg_1"
    assert said["gen_ai.usage.cost.amount"] == COST
    assert "spanledger.stream.aborted" not in said


def test_every_way_to_call_is_one_complete_span(kit: SpanledgerTestKit, client: anthropic.Anthropic) -> None:
    client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
    for _ in client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES, stream=True):
        pass
    with client.messages.stream(model=MODEL, max_tokens=9, messages=MESSAGES) as stream:
        assert "".join(stream.text_stream) == "Hello there"
    with client.messages.stream(model=MODEL, max_tokens=9, messages=MESSAGES) as stream:
        assert stream.get_final_message().usage.output_tokens == 17
    assert client.messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=MESSAGES).parse().id == "msg_1"
    client.beta.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
    assert len(kit.spans) == 6
    for span in kit.spans:
        complete(span)
    timed = ["gen_ai.response.time_to_first_chunk" in (span.attributes or {}) for span in kit.spans]
    assert timed == [False, True, True, True, False, False]


def test_async_calls_and_streams(kit: SpanledgerTestKit, provider: Any) -> None:
    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k") as client:
            await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
            async with client.messages.stream(model=MODEL, max_tokens=9, messages=MESSAGES) as stream:
                assert [text async for text in stream.text_stream] == ["Hello", " there"]
            events = await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES, stream=True)
            assert len([event async for event in events]) == 7

    with spanledger.context(tenant="acme"):
        asyncio.run(main())
    assert len(kit.spans) == 3
    for span in kit.spans:
        complete(span)
        assert (span.attributes or {})["tenant.id"] == "acme"


def aborted(kit: SpanledgerTestKit) -> None:
    assert len(kit.spans) == 1
    said = kit.spans[0].attributes or {}
    assert said["spanledger.stream.aborted"] is True
    assert said["spanledger.finish_reason"] == "error"
    assert "gen_ai.usage.cost.amount" not in said  # the one output token that it says is a placeholder


def test_a_dropped_stream_is_ended_and_marked(kit: SpanledgerTestKit, client: anthropic.Anthropic) -> None:
    stream = client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES, stream=True)
    next(stream)
    del stream
    aborted(kit)


def test_leaving_the_streaming_helper_early_is_marked(kit: SpanledgerTestKit, client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=9, messages=MESSAGES) as stream:
        for event in stream:
            if event.type == "text":
                break
    aborted(kit)


def test_a_cancelled_stream_is_marked(kit: SpanledgerTestKit, provider: Any) -> None:
    provider.stall = threading.Event()

    async def read(started: asyncio.Event) -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k") as client:
            async for _ in await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES, stream=True):
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


def test_tool_use_and_errors(kit: SpanledgerTestKit, client: anthropic.Anthropic, provider: Any) -> None:
    provider.finish_reason = "tool_use"
    client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
    provider.failures.append((400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}))
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
    tool, failed = (span.attributes or {} for span in kit.spans)
    assert tool["spanledger.finish_reason"] == "tool_call"
    assert failed["spanledger.finish_reason"] == "error"
    assert "gen_ai.usage.cost.amount" not in failed


def test_a_retry_is_one_call(kit: SpanledgerTestKit, client: anthropic.Anthropic, provider: Any) -> None:
    provider.failures.append((429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}))
    client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
    assert len(provider.requests) == 2
    assert len(kit.spans) == 1
    complete(kit.spans[0])


def test_nothing_of_ours_is_in_the_headers(kit: SpanledgerTestKit, client: anthropic.Anthropic, provider: Any) -> None:
    with spanledger.context(tenant="acme", user="u-1"):
        client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
    assert not {"baggage", "traceparent", "tracestate"} & set(provider.last.headers)
    assert "acme" not in str(provider.last)
    assert len(kit.spans) == 1


def test_a_call_made_while_a_stream_is_open_is_a_call_of_its_own(
    kit: SpanledgerTestKit, client: anthropic.Anthropic
) -> None:
    with kit.tracer().start_as_current_span("request") as request:
        with client.messages.stream(model=MODEL, max_tokens=9, messages=MESSAGES) as stream:
            for _ in stream:
                client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
                break
            stream.until_done()
        events = client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES, stream=True)
        next(events)
        client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)
        for _ in events:
            pass
    assert len(kit.calls) == 4
    for span in kit.calls:
        complete(span)
        assert span.parent == request.get_span_context()
