"""Budgets in the application: real SDKs, a provider that counts requests, a service that says what it is told."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import openai
import pytest

import spanledger
from spanledger._budget_body import demand_of
from spanledger._budget_gate import gate
from spanledger._budget_lease import Lease
from spanledger._guard import reports
from spanledger._runtime import runtime
from spanledger.testing import SpanledgerTestKit

MESSAGES: Any = [{"role": "user", "content": "Say hello"}]
ALLOW = {"decision": "allow", "reservation": "r.1", "lease": None}
DENY = {"decision": "deny", "budget": "all", "reset": "2026-12-01T00:00:00Z", "reservation": None, "lease": None}
CLAMP = {"decision": "clamp", "budget": "all", "reservation": "r.1", "max_tokens": 33, "lease": None}
CLAUDE = "claude-haiku-4-5"
RESET = datetime(2026, 12, 1, tzinfo=UTC)


class Service:
    """Answers ``admit`` as it is told, and keeps what it is asked."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.settled: list[dict[str, Any]] = []
        self.left: dict[str, str] = {}

    def take(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/settle"):
            self.settled += body["items"]
            return 200, {"unknown": [], "leases": self.left}
        self.asked.append(body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return (answer, {}) if isinstance(answer, int) else (200, answer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, answer = self.service.take(self.path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": service}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    use(monkeypatch, endpoint=f"http://127.0.0.1:{server.server_address[1]}", budgets="enforce")
    yield service
    use(monkeypatch, budgets="off")
    server.shutdown()
    server.server_close()


def use(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Bring settings into force, and let the gate begin anew."""
    defaults = {"budgets_timeout": 5.0}
    monkeypatch.setattr(runtime, "_settings", replace(runtime.settings, **{**defaults, **settings}))
    for transport in gate._idle:
        transport.close()
    gate._begin()
    monkeypatch.setattr(gate, "_start", lambda: None)  # the tests report themselves


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanledgerTestKit]:
    monkeypatch.setattr(reports, "reraise", True)
    with SpanledgerTestKit() as kit:
        yield kit


@pytest.fixture
def client(kit: SpanledgerTestKit, provider: Any) -> Iterator[openai.OpenAI]:
    assert kit.spans == []
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=2) as client:
        yield client


def said(kit: SpanledgerTestKit) -> dict[str, Any]:
    (span,) = kit.spans
    return {name: value for name, value in (span.attributes or {}).items() if name.startswith("spanledger.budget")}


def openai_plain(url: str) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        return client.chat.completions.create(model="gpt-4o", messages=MESSAGES).to_dict()


def openai_stream(url: str) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        return [chunk.to_dict() for chunk in stream]


def openai_responses(url: str) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        return client.responses.create(model="gpt-4o", input="Say hello").to_dict()


def openai_async(url: str) -> Any:
    async def call() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
            return (await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)).to_dict()

    return asyncio.run(call())


def anthropic_plain(url: str) -> Any:
    with anthropic.Anthropic(base_url=url, api_key="k") as client:
        return client.messages.create(model=CLAUDE, max_tokens=500, messages=MESSAGES).to_dict()


def anthropic_stream(url: str) -> Any:
    with (
        anthropic.Anthropic(base_url=url, api_key="k") as client,
        client.messages.stream(model=CLAUDE, max_tokens=500, messages=MESSAGES) as stream,
    ):
        return "".join(stream.text_stream)


def anthropic_async(url: str) -> Any:
    async def call() -> Any:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k") as client:
            message = await client.messages.create(model=CLAUDE, max_tokens=500, messages=MESSAGES)
            return message.to_dict()

    return asyncio.run(call())


CALLS = [
    openai_plain,
    openai_stream,
    openai_responses,
    openai_async,
    anthropic_plain,
    anthropic_stream,
    anthropic_async,
]


@pytest.mark.parametrize("call", CALLS)
def test_what_is_refused_never_reaches_the_provider(
    kit: SpanledgerTestKit, service: Service, provider: Any, call: Any
) -> None:
    service.answers = [DENY]
    with pytest.raises(spanledger.BudgetExceeded, match="budget 'all' has no room") as caught:
        call(provider.url)
    assert provider.requests == []
    assert (caught.value.budget, caught.value.reset) == ("all", RESET)
    assert said(kit) == {"spanledger.budget.decision": "deny", "spanledger.budget.name": "all"}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [ALLOW, DENY, CLAMP, 500])
def test_observing_changes_nothing(
    kit: SpanledgerTestKit, service: Service, provider: Any, monkeypatch: pytest.MonkeyPatch, call: Any, answer: Any
) -> None:
    monkeypatch.setattr(reports, "reraise", False)
    service.answers = [answer]
    use(monkeypatch, budgets="off")
    expected = call(provider.url)
    sent = provider.last.body
    kit.clear()
    use(monkeypatch, budgets="observe")
    assert call(provider.url) == expected
    assert provider.last.body == sent
    decision = said(kit)["spanledger.budget.decision"]
    word = "unknown" if isinstance(answer, int) else answer["decision"]
    assert decision == (word if word in ("allow", "unknown") else f"would_{word}")


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (openai_plain, "max_tokens"),
        (openai_stream, "max_tokens"),
        (openai_async, "max_tokens"),
        (openai_responses, "max_output_tokens"),
        (anthropic_plain, "max_tokens"),
        (anthropic_stream, "max_tokens"),
        (anthropic_async, "max_tokens"),
    ],
)
def test_a_clamp_lowers_what_may_come_out(service: Service, provider: Any, kit: Any, call: Any, limit: str) -> None:
    service.answers = [CLAMP]
    call(provider.url)
    assert provider.last.body[limit] == 33
    assert said(kit)["spanledger.budget.max_tokens"] == 33


def test_a_limit_stays_where_the_caller_put_it(service: Service, provider: Any, client: openai.OpenAI) -> None:
    service.answers = [CLAMP]
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_completion_tokens=900)
    assert (provider.last.body["max_completion_tokens"], "max_tokens" in provider.last.body) == (33, False)
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES, extra_body={"max_tokens": 900})
    assert provider.last.body["max_tokens"] == 33
    assert [body["max_tokens"] for body in service.asked] == [900, 900]


def test_what_is_asked(service: Service, client: openai.OpenAI, provider: Any) -> None:
    service.answers = [ALLOW]
    with spanledger.context(tenant="acme", use_case="support"):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100, n=2, timeout=20)
    asked = service.asked[0]
    wanted = {"model": "gpt-4o", "tenant": "acme", "use_case": "support", "service": "test", "max_tokens": 100}
    assert {**asked, **wanted, "choices": 2, "timeout_seconds": 60, "lease": True} == asked
    assert len(json.dumps(provider.last.body)) <= asked["input_tokens"] < 3000
    assert "audio_input" not in asked["classes"]


def test_what_a_call_used_is_settled(service: Service, client: openai.OpenAI) -> None:
    service.answers = [ALLOW]
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    gate.flush()
    (item,) = service.settled
    assert (item["reservation"], item["usage"]["input"], item["usage"]["output"]) == ("r.1", 14, 17)
    assert len(item["trace_id"]) == 32


def test_a_request_that_the_provider_refused_cost_nothing(
    service: Service, client: openai.OpenAI, provider: Any
) -> None:
    service.answers = [ALLOW]
    provider.failures = [(400, {"error": {"message": "no"}})]
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    gate.flush()
    assert [item.get("cost_usd") for item in service.settled] == ["0"]


def test_a_stream_that_was_left_is_not_settled(service: Service, client: openai.OpenAI) -> None:
    service.answers = [ALLOW]
    stream = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    next(iter(stream))
    stream.close()
    gate.flush()
    assert service.settled == []


def lease(amount: str = "0.0101") -> dict[str, Any]:
    prices = {"input_usd": "0.001", "output_pico_usd": 10_000_000}
    return {"id": "l.1", "amount_usd": amount, "seconds": 30, "until": None, **prices}


def test_calls_under_a_slice_ask_nobody_until_it_is_used_up(
    service: Service, client: openai.OpenAI, provider: Any
) -> None:
    service.answers = [{**ALLOW, "lease": lease()}, DENY]
    for _ in range(6):  # 0.001 of input and 100 tokens at 0.00001: five of them make 0.01
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100)
    assert (len(service.asked), len(provider.requests)) == (1, 6)
    with pytest.raises(spanledger.BudgetExceeded):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100)
    gate.flush()
    assert [item["reservation"] for item in service.settled] == ["r.1", *["l.1"] * 6]
    assert service.settled[-1] == {"reservation": "l.1", "keep_usd": "0"}


def test_without_a_service_the_rest_of_a_slice_counts_then_what_was_set(
    service: Service, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, kit: SpanledgerTestKit
) -> None:
    monkeypatch.setattr(reports, "reraise", False)
    service.answers = [{**ALLOW, "lease": lease("0.0021")}, 503]
    for _ in range(3):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100)
    decisions = [(span.attributes or {})["spanledger.budget.decision"] for span in kit.spans]
    assert decisions == ["allow", "allow", "unknown"]
    use(monkeypatch, budgets="enforce", budgets_on_error="block")
    with pytest.raises(spanledger.BudgetExceeded, match="nobody could say") as caught:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100)
    assert caught.value.budget is None


def test_a_service_that_cannot_be_reached_is_not_waited_for_each_time(
    client: openai.OpenAI, kit: SpanledgerTestKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "reraise", False)
    use(monkeypatch, endpoint="http://127.0.0.1:9", budgets="enforce")
    tried: list[str] = []
    connect = gate._connect

    def counted(*args: Any) -> Any:
        tried.append("once")
        return connect(*args)

    monkeypatch.setattr(gate, "_connect", counted)
    for _ in range(5):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert len(tried) == 1
    assert len(kit.spans) == 5


def test_a_slice_of_which_the_service_heard_nothing_is_used_no_more(
    service: Service, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.answers = [{**ALLOW, "lease": lease()}, ALLOW]
    for _ in range(2):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=100)
    monkeypatch.setattr(service, "take", lambda *_: (503, {}))
    gate._report(5.0)
    monkeypatch.undo()
    assert gate._leases == {}


def test_a_slice_never_gives_out_more_than_it_has() -> None:
    piece = Lease.of(lease(), {"input_tokens": 1000}, 0.0)
    body = {"input_tokens": 1000, "max_tokens": 100}
    assert [piece.take(body, 1.0) for _ in range(6)] == [2_000_000] * 5 + [None]
    assert piece.take({"input_tokens": 1001, "max_tokens": 1}, 1.0) is None, "a longer input may have another price"
    assert piece.take({"input_tokens": 1}, 1.0) is None, "a call without a limit has to ask"
    assert Lease.of(lease(), body, 0.0).take(body, 30.0) is None, "it is over"


@pytest.mark.parametrize(
    ("body", "least"),
    [
        ({"messages": [{"content": "x" * 5000}]}, 5000),
        ({"messages": [{"content": "\u00fc" * 5000}]}, 10_000),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}, 40_000),
        ({"previous_response_id": "resp_1"}, 1_000_000),
        ({"tools": [{"type": "web_search"}]}, 1_000_000),
        ({"conversation": {"id": "c"}}, 1_000_000),
        ({"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}, 1_000_000),
    ],
)
def test_the_input_is_never_taken_for_less_than_it_can_be(body: dict[str, Any], least: int) -> None:
    options = type("Options", (), {"url": "/responses", "json_data": {"model": "m", **body}, "extra_json": None})
    demand = demand_of("openai", type("Client", (), {"base_url": "http://x"}), options)
    assert demand is not None
    assert demand.input_tokens >= least
