"""The fake provider, driven by the real SDKs: they parse what it says, and its books agree with what they heard."""

import base64
import json
import struct
from collections.abc import Iterator

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from spanledger_ingest.demo import FakeProvider, TokenCounts

CHAT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CACHED_SYSTEM: list[anthropic.types.TextBlockParam] = [
    {"type": "text", "text": "rule " * 100, "cache_control": {"type": "ephemeral"}}
]


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture
def gpt(provider: FakeProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.openai_url, api_key="any") as client:
        yield client


@pytest.fixture
def claude(provider: FakeProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.anthropic_url, api_key="any") as client:
        yield client


def script(text: str) -> dict[str, str]:
    return {"x-fake-script": text}


def test_a_completion_and_its_entry_in_the_books(provider: FakeProvider, gpt: openai.OpenAI) -> None:
    completion = gpt.chat.completions.create(model="gpt-4o", messages=CHAT)
    (served,) = provider.requests
    assert completion.choices[0].message.content is not None
    assert completion.choices[0].message.content.startswith("The capital of France is Paris.")
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == served.model == "gpt-4o-2024-08-06"
    assert completion.id == served.response_id
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, 17)
    assert served.usage == TokenCounts(input=10, output=17)
    assert served.completed


def test_usage_is_the_same_and_ids_are_new_each_time(provider: FakeProvider, gpt: openai.OpenAI) -> None:
    first, second = (gpt.chat.completions.create(model="gpt-4o", messages=CHAT) for _ in range(2))
    assert first.id != second.id
    assert first.usage == second.usage
    assert [served.response_id for served in provider.requests] == [first.id, second.id]


def test_an_unknown_model_answers_under_its_own_name(gpt: openai.OpenAI) -> None:
    assert gpt.chat.completions.create(model="house-model-9", messages=CHAT).model == "house-model-9"


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_reports_usage_only_if_asked(
    provider: FakeProvider,
    gpt: openai.OpenAI,
    include_usage: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    stream = gpt.chat.completions.create(
        model="gpt-4o", messages=CHAT, stream=True, stream_options={"include_usage": include_usage}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("The capital of France is Paris.")
    assert len({chunk.id for chunk in chunks}) == 1
    reported = [chunk.usage for chunk in chunks if chunk.usage]
    (served,) = provider.requests
    assert served.told_usage == include_usage == bool(reported)
    assert served.usage == TokenCounts(input=10, output=17)
    assert served.completed


def test_a_tool_is_called_and_its_result_is_answered(gpt: openai.OpenAI) -> None:
    asked = gpt.chat.completions.create(model="gpt-4o", messages=CHAT, tools=[TOOL]).choices[0]
    assert asked.finish_reason == "tool_calls"
    assert asked.message.tool_calls is not None
    (call,) = asked.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    result: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    asked_again: ChatCompletionMessageParam = {
        "role": "assistant",
        "tool_calls": [
            {"id": call.id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
        ],
    }
    answered = gpt.chat.completions.create(model="gpt-4o", messages=[*CHAT, asked_again, result], tools=[TOOL])
    assert answered.choices[0].finish_reason == "stop"


def test_a_short_limit_cuts_the_answer(provider: FakeProvider, gpt: openai.OpenAI) -> None:
    cut = gpt.chat.completions.create(model="gpt-4o", messages=CHAT, max_completion_tokens=5)
    assert cut.choices[0].finish_reason == "length"
    assert provider.requests[0].usage.output == 5


def test_the_script_decides_over_usage_and_finish(provider: FakeProvider, gpt: openai.OpenAI) -> None:
    wanted = "input=2048 cache_read=1920 output=420 reasoning=384 finish=content_filter"
    completion = gpt.chat.completions.create(model="gpt-4o", messages=CHAT, extra_headers=script(wanted))
    assert provider.requests[0].usage == TokenCounts(2048, 420, cache_read=1920, reasoning=384)
    assert completion.choices[0].finish_reason == "content_filter"
    usage = completion.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 1920
    assert usage.completion_tokens_details.reasoning_tokens == 384


def test_a_refused_request_is_served_on_retry(provider: FakeProvider, gpt: openai.OpenAI) -> None:
    raw = gpt.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=CHAT, extra_headers=script("status=429 times=1 retry_after_ms=1")
    )
    assert [served.status for served in provider.requests] == [429, 200]
    assert raw.headers["x-request-id"].startswith("req_")
    assert "x-ratelimit-remaining-tokens" in raw.headers


@pytest.mark.parametrize(("status", "kind"), [(429, openai.RateLimitError), (500, openai.InternalServerError)])
def test_openai_errors_are_those_of_the_sdk(gpt: openai.OpenAI, status: int, kind: type[openai.APIStatusError]) -> None:
    with pytest.raises(kind) as caught:
        gpt.with_options(max_retries=0).chat.completions.create(
            model="gpt-4o", messages=CHAT, extra_headers=script(f"status={status}")
        )
    assert caught.value.request_id is not None
    assert caught.value.type


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [(429, anthropic.RateLimitError, "rate_limit_error"), (529, anthropic.InternalServerError, "overloaded_error")],
)
def test_anthropic_errors_are_those_of_the_sdk(
    claude: anthropic.Anthropic, status: int, kind: type[anthropic.APIStatusError], name: str
) -> None:
    with pytest.raises(kind) as caught:
        claude.with_options(max_retries=0).messages.create(
            model="claude-haiku-4-5",
            max_tokens=64,
            messages=[{"role": "user", "content": "hello"}],
            extra_headers=script(f"status={status}"),
        )
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == name


def test_embeddings_count_their_words(provider: FakeProvider, gpt: openai.OpenAI) -> None:
    texts = ["one two three", "four"]
    plain = gpt.embeddings.create(model="text-embedding-3-small", input=texts, encoding_format="float")
    packed = gpt.embeddings.create(model="text-embedding-3-small", input=texts, encoding_format="base64")
    assert plain.usage.prompt_tokens == 4
    assert provider.requests[0].usage == TokenCounts(input=4)
    encoded: object = packed.data[1].embedding
    assert isinstance(encoded, str)
    assert list(struct.unpack("<8f", base64.b64decode(encoded))) == plain.data[1].embedding


def test_the_responses_api_plain_and_streamed(provider: FakeProvider, gpt: openai.OpenAI) -> None:
    plain = gpt.responses.create(model="gpt-4o", input="hello there")
    with gpt.responses.stream(model="gpt-4o", input="hello there") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert plain.output_text == final.output_text
    assert plain.usage == final.usage
    assert [served.response_id for served in provider.requests] == [plain.id, final.id]
    assert plain.usage is not None
    assert plain.usage.input_tokens == provider.requests[0].usage.input == 6


def test_the_responses_api_calls_tools_and_stops_at_a_limit(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(
        model="gpt-4o",
        input="weather?",
        tools=[{"type": "function", "name": "get_weather", "parameters": {}, "strict": False}],
    ) as stream:
        stream.until_done()
        (item,) = stream.get_final_response().output
    assert item.type == "function_call"
    assert item.name == "get_weather"
    cut = gpt.responses.create(model="gpt-4o", input="hello", max_output_tokens=3)
    assert cut.status == "incomplete"


def test_anthropic_reads_the_cache_that_it_wrote(provider: FakeProvider, claude: anthropic.Anthropic) -> None:
    written = claude.messages.create(
        model="claude-haiku-4-5", max_tokens=64, system=CACHED_SYSTEM, messages=[{"role": "user", "content": "hi"}]
    )
    with claude.messages.stream(
        model="claude-haiku-4-5", max_tokens=64, system=CACHED_SYSTEM, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        read = stream.get_final_message()
    assert (written.usage.input_tokens, written.usage.cache_creation_input_tokens) == (5, 100)
    assert (read.usage.input_tokens, read.usage.cache_read_input_tokens, read.usage.output_tokens) == (5, 100, 17)
    assert [served.usage for served in provider.requests] == [
        TokenCounts(input=105, output=17, cache_write=100),
        TokenCounts(input=105, output=17, cache_read=100),
    ]
    assert [served.response_id for served in provider.requests] == [written.id, read.id]


def test_anthropic_tells_the_two_lifetimes_of_cache_writes_apart(claude: anthropic.Anthropic) -> None:
    message = claude.messages.create(
        model="claude-haiku-4-5",
        max_tokens=64,
        messages=[{"role": "user", "content": "hi"}],
        extra_headers=script("input=2048 cache_read=1000 cache_write=300 cache_write_1h=100"),
    )
    assert message.usage.input_tokens == 748
    assert message.usage.cache_creation is not None
    assert message.usage.cache_creation.ephemeral_5m_input_tokens == 200
    assert message.usage.cache_creation.ephemeral_1h_input_tokens == 100


def test_anthropic_uses_tools_plain_and_streamed(claude: anthropic.Anthropic) -> None:
    tool: anthropic.types.ToolParam = {"name": "get_weather", "input_schema": {"type": "object"}}
    plain = claude.messages.create(
        model="claude-haiku-4-5", max_tokens=64, tools=[tool], messages=[{"role": "user", "content": "weather?"}]
    )
    with claude.messages.stream(
        model="claude-haiku-4-5", max_tokens=64, tools=[tool], messages=[{"role": "user", "content": "weather?"}]
    ) as stream:
        streamed = stream.get_final_message()
    for message in (plain, streamed):
        assert message.stop_reason == "tool_use"
        (block,) = message.content
        assert block.type == "tool_use"
        assert block.input == {"city": "Paris"}


def test_a_stream_that_the_client_leaves_is_not_complete() -> None:
    with FakeProvider() as provider, openai.OpenAI(base_url=provider.openai_url, api_key="any") as gpt:
        stream = gpt.chat.completions.create(
            model="gpt-4o", messages=CHAT, stream=True, extra_headers=script("chunk_ms=20")
        )
        next(iter(stream))
        stream.close()
    (served,) = provider.requests
    assert served.stream
    assert not served.completed


def test_wrong_requests_are_told_so(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="unknown key 'inputs'; known are"):
        gpt.chat.completions.create(model="gpt-4o", messages=CHAT, extra_headers=script("inputs=3"))
    with pytest.raises(openai.NotFoundError):
        gpt.moderations.create(input="hello")
    with pytest.raises(openai.AuthenticationError):
        gpt.chat.completions.create(model="gpt-4o", messages=CHAT, extra_headers={"Authorization": openai.Omit()})
