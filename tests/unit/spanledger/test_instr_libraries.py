"""One real call through each library of the table: exactly one instrumentor, and a span that can be billed."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import spanledger
from spanledger._attach import Attachments, attachments
from spanledger._guard import reports
from spanledger._libraries import LIBRARIES, Instrumentor, Library
from spanledger.settings import LIBRARIES as NAMES
from spanledger.testing import SpanledgerTestKit

MESSAGES: Any = [{"role": "user", "content": "Say hello"}]

pytestmark = [
    # Libraries that are imported here deprecate things of their own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanledgerTestKit]:
    monkeypatch.setattr(reports, "reraise", True)
    with SpanledgerTestKit() as kit, spanledger.context(tenant="acme"):
        yield kit
    gc.collect()  # clients that cannot be closed go now, while their warnings are ignored


def billable(kit: SpanledgerTestKit, tokens: tuple[int, int] = (14, 17), reason: str = "stop") -> ReadableSpan:
    """The only call, checked: tenant, finish reason and tokens, whatever the dialect."""
    assert len(kit.calls) == 1, [(span.name, dict(span.attributes or {})) for span in kit.calls]
    said = dict(kit.calls[0].attributes or {})
    assert said["tenant.id"] == "acme"
    assert said["spanledger.finish_reason"] == reason
    names = ("gen_ai.usage.input_tokens", "llm.token_count.prompt")
    assert next(said[name] for name in names if name in said) == tokens[0]
    names = ("gen_ai.usage.output_tokens", "llm.token_count.completion")
    assert next(said[name] for name in names if name in said) == tokens[1]
    assert not any("messages" in name or name in ("input.value", "output.value") for name in said)
    return kit.calls[0]


def test_the_table_has_the_names_of_the_settings_and_extras() -> None:
    assert tuple(library.name for library in LIBRARIES) == NAMES
    for library in LIBRARIES:
        assert library.instrumentors


def test_google_genai(kit: SpanledgerTestKit, provider: Any) -> None:
    from google import genai

    client = genai.Client(api_key="k", http_options={"base_url": provider.url})
    client.models.generate_content(model="gemini-2.5-flash", contents="Say hello")
    said = billable(kit).attributes or {}
    assert said["gen_ai.usage.cost.amount"] == pytest.approx(14 * 0.3e-6 + 17 * 2.5e-6)
    assert attachments.attached["google-genai"] == "openinference-instrumentation-google-genai"


def test_bedrock(kit: SpanledgerTestKit, provider: Any) -> None:
    import boto3  # type: ignore[import-untyped]  # ships no types

    client = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=provider.url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    turn = {"role": "user", "content": [{"text": "Say hello"}]}
    client.converse(modelId="anthropic.claude-3-5-sonnet-20240620-v1:0", messages=[turn])
    billable(kit)


def test_mistral(kit: SpanledgerTestKit, provider: Any) -> None:
    from mistralai.client import Mistral

    with Mistral(api_key="k", server_url=provider.url) as client:
        client.chat.complete(model="mistral-large-latest", messages=MESSAGES)
    said = billable(kit).attributes or {}
    assert said["gen_ai.response.id"] == "chatcmpl-1"


def test_a_mistral_stream_that_is_dropped_is_marked(kit: SpanledgerTestKit, provider: Any) -> None:
    from mistralai.client import Mistral

    with Mistral(api_key="k", server_url=provider.url) as client:
        stream = client.chat.stream(model="mistral-large-latest", messages=MESSAGES)
        next(iter(stream))
        del stream
    (said,) = (span.attributes or {} for span in kit.spans)
    assert said["spanledger.stream.aborted"] is True
    assert said["spanledger.finish_reason"] == "error"


def test_cohere(kit: SpanledgerTestKit, provider: Any) -> None:
    import cohere

    cohere.ClientV2(api_key="k", base_url=provider.url).chat(model="command-r-plus", messages=MESSAGES)
    said = kit.calls[0].attributes or {}
    assert said["spanledger.finish_reason"] == "stop"
    assert len(kit.calls) == 1


def test_groq_plain_and_streamed(kit: SpanledgerTestKit, provider: Any) -> None:
    import groq

    with groq.Groq(api_key="k", base_url=provider.url) as client:
        client.chat.completions.create(model="llama-3.3-70b-versatile", messages=MESSAGES)
        billable(kit)
        kit.clear()
        assert len(list(client.chat.completions.create(model="llama-3.3-70b", messages=MESSAGES, stream=True))) == 3
    assert "stream_options" not in provider.last.body
    assert (billable(kit).attributes or {})["gen_ai.response.id"] == "chatcmpl-1"


def test_ollama(kit: SpanledgerTestKit, provider: Any) -> None:
    import ollama

    ollama.Client(host=provider.url).chat(model="llama3.2", messages=MESSAGES)
    billable(kit)


@pytest.mark.parametrize("streaming", [False, True])
def test_langchain_over_openai_is_one_call(
    kit: SpanledgerTestKit,
    provider: Any,
    streaming: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-4o", base_url=f"{provider.url}/v1", api_key="k")  # type: ignore[arg-type]  # a str will do
    if streaming:
        assert "".join(str(chunk.content) for chunk in model.stream("Say hello")) == "Hello there"
    else:
        assert model.invoke("Say hello").content == "Hello there"
    said = billable(kit).attributes or {}
    assert said["gen_ai.usage.audio.input_tokens"] == 3
    assert said["gen_ai.usage.cost.amount"] == 0.0002


def test_a_groq_stream_that_is_dropped_ends_and_is_marked(kit: SpanledgerTestKit, provider: Any) -> None:
    import groq

    with groq.Groq(api_key="k", base_url=provider.url) as client:
        stream = client.chat.completions.create(model="llama-3.3-70b-versatile", messages=MESSAGES, stream=True)
        next(stream)
        assert kit.spans == []
        del stream
    (said,) = (span.attributes or {} for span in kit.spans)
    assert said["spanledger.stream.aborted"] is True
    assert said["spanledger.finish_reason"] == "error"
    assert "gen_ai.response.time_to_first_chunk" in said


def test_llama_index_over_openai_may_be_doubled_but_shares_the_response(kit: SpanledgerTestKit, provider: Any) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai import OpenAI

    model = OpenAI(model="gpt-4o", api_base=f"{provider.url}/v1", api_key="k")
    model.chat([ChatMessage(role="user", content="Say hello")])
    inner, outer = kit.calls
    assert inner.parent == outer.get_span_context()
    assert [(span.attributes or {})["gen_ai.usage.cost.amount"] for span in kit.calls] == [0.0002, 0.0002]


def test_openai_agents(kit: SpanledgerTestKit, provider: Any) -> None:
    import agents
    import openai

    async def main() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as client:
            model = agents.OpenAIChatCompletionsModel("gpt-4o", client)
            return await agents.Runner.run(agents.Agent("greeter", model=model), "Say hello")

    agents.set_trace_processors([])
    assert asyncio.run(main()).final_output == "Hello there"
    billable(kit)
    assert all((span.attributes or {}).get("tenant.id") == "acme" for span in kit.spans)
    wrappers = [span for span in kit.spans if span not in kit.calls]
    assert not any("gen_ai.usage.cost.amount" in (span.attributes or {}) for span in wrappers)


class Fake:
    """A stand-in library ``fake_llm`` and its instrumentors, as modules."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.calls: list[str] = []
        self.library = ModuleType("fake_llm")

    def instrumentor(self, module: str, *, active: bool = False, fails: bool = False) -> Instrumentor:
        fake = self

        class FakeInstrumentor:
            _instance: Any = object() if active else None
            is_instrumented_by_opentelemetry = active

            def instrument(self, **_kwargs: Any) -> None:
                if fails:
                    raise RuntimeError("broken instrumentor")
                fake.calls.append(module)

        found = ModuleType(module)
        found.FakeInstrumentor = FakeInstrumentor  # type: ignore[attr-defined]  # a made-up module
        self.patch.setitem(sys.modules, module, found)
        return Instrumentor("wrapt", module, "FakeInstrumentor")

    def attach(self, *instrumentors: Instrumentor, entry: str = "", foreign: tuple[str, ...] = ()) -> dict[str, str]:
        self.patch.setitem(sys.modules, "fake_llm", self.library)
        row = Library("fake", "wrapt", "fake_llm", instrumentors, entry, foreign)
        attachments = Attachments([row])
        attachments.attach()
        attachments.attach()
        return attachments.attached


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setattr(reports, "reraise", False)
    reports.forget()
    return Fake(monkeypatch)


def test_the_first_fitting_instrumentor_is_attached_once(fake: Fake) -> None:
    assert fake.attach(fake.instrumentor("one"), fake.instrumentor("two")) == {"fake": "wrapt"}
    assert fake.calls == ["one"]


def test_an_instrumentor_that_is_not_installed_is_passed_over(fake: Fake) -> None:
    absent = Instrumentor("no-such-distribution", "nowhere", "Nothing")
    assert fake.attach(absent, fake.instrumentor("two")) == {"fake": "wrapt"}
    assert fake.calls == ["two"]


def test_an_instrumentor_whose_range_refuses_is_passed_over(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    refusing = Instrumentor("opentelemetry-instrumentation-google-genai", "nowhere", "Nothing")
    with caplog.at_level("INFO", "spanledger"):
        fake.attach(refusing, fake.instrumentor("two"))
    assert fake.calls == ["two"]
    assert "refuses google-genai 3" in caplog.text
    assert "using wrapt instead" in caplog.text


def test_a_refusal_without_alternative_is_a_warning(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.attach(Instrumentor("opentelemetry-instrumentation-google-genai", "nowhere", "Nothing")) == {}
    (record,) = [record for record in caplog.records if "refuses" in record.message]
    assert record.levelname == "WARNING"
    assert "nothing else is installed" in record.message


def test_another_active_instrumentor_is_left_alone(fake: Fake) -> None:
    fake.instrumentor("theirs", active=True)
    assert fake.attach(fake.instrumentor("ours"), foreign=("theirs:FakeInstrumentor",)) == {"fake": "foreign"}
    assert fake.calls == []


def test_a_wrapped_entry_method_is_left_alone(fake: Fake) -> None:
    import wrapt

    class Client:
        def chat(self) -> None:
            pass

    wrapt.wrap_function_wrapper(Client, "chat", lambda wrapped, _instance, args, kwargs: wrapped(*args, **kwargs))
    fake.library.Client = Client  # type: ignore[attr-defined]  # a made-up module
    assert fake.attach(fake.instrumentor("ours"), entry="fake_llm:Client.chat") == {"fake": "foreign"}
    assert fake.calls == []


def test_a_broken_instrumentor_does_not_break_the_import(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.attach(fake.instrumentor("broken", fails=True)) == {}
    assert "instrumenting fake failed" in caplog.text
    assert "broken instrumentor" in caplog.text


def test_a_missing_instrumentor_is_named_with_its_remedy(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "spanledger"):
        fake.attach(Instrumentor("no-such-distribution", "nowhere", "Nothing"))
    assert "no instrumentor for fake: pip install 'spanledger[fake]'" in caplog.text


def test_litellm_is_attached_through_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """litellm itself cannot be installed here: its instrumentor meets a module of the same shape."""

    def completion(*_args: Any, **_kwargs: Any) -> None:
        return None

    stand_in = ModuleType("litellm")
    for name in ("completion", "acompletion", "completion_with_retries", "embedding", "aembedding", "responses"):
        setattr(stand_in, name, completion)
    for name in ("aresponses", "image_generation", "aimage_generation", "acompletion_with_retries"):
        setattr(stand_in, name, completion)
    monkeypatch.setitem(sys.modules, "litellm", stand_in)
    row = next(library for library in LIBRARIES if library.name == "litellm")
    attachments = Attachments([row])
    attachments.attach()
    assert attachments.attached == {"litellm": "openinference-instrumentation-litellm"}
    assert stand_in.completion is not completion
    from openinference.instrumentation.litellm import LiteLLMInstrumentor

    LiteLLMInstrumentor().uninstrument()
