"""Identity: on every span of its context, nowhere else, and never in headers to a vendor."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import spanledger
from spanledger import semconv
from spanledger._propagation import VendorSafePropagator, is_vendor_host
from spanledger.asgi import ContextMiddleware
from spanledger.testing import SpanledgerTestKit

FIELDS = {
    "tenant": semconv.TENANT_ID,
    "user": semconv.USER_ID,
    "session": semconv.SESSION_ID,
    "use_case": semconv.USE_CASE,
    "region": semconv.CLOUD_REGION,
}


@pytest.fixture
def kit() -> Iterator[SpanledgerTestKit]:
    before = context.get_current()
    with SpanledgerTestKit(attach=False) as kit:
        yield kit
    context.attach(before)


def stamped(kit: SpanledgerTestKit) -> dict[str, Any]:
    """What a span started here is stamped with."""
    kit.tracer().start_span("probe").end()
    return dict(kit.spans[-1].attributes or {})


def tenant(kit: SpanledgerTestKit) -> Any:
    return stamped(kit).get(semconv.TENANT_ID)


def test_every_fact_has_its_attribute(kit: SpanledgerTestKit) -> None:
    with spanledger.context(
        tenant="acme", user="u-1", session="s-1", use_case="support", prompt="greeting@v3", region="eu"
    ):
        assert stamped(kit) == {
            "tenant.id": "acme",
            "user.id": "u-1",
            "session.id": "s-1",
            "spanledger.use_case": "support",
            "gen_ai.prompt.name": "greeting",
            "gen_ai.prompt.version": "v3",
            "cloud.region": "eu",
        }
    assert stamped(kit) == {}


def test_a_prompt_may_have_no_version_and_ids_need_not_be_strings(kit: SpanledgerTestKit) -> None:
    number: Any = 7
    identity: Any = UUID(int=1)
    with spanledger.context(tenant=number, user=identity, prompt="greeting"):
        assert stamped(kit) == {"tenant.id": "7", "user.id": str(UUID(int=1)), "gen_ai.prompt.name": "greeting"}


def test_a_session_is_the_conversation_of_model_calls_only(kit: SpanledgerTestKit) -> None:
    with spanledger.context(session="s-1"):
        assert semconv.CONVERSATION_ID not in stamped(kit)
        kit.tracer().start_span("chat", attributes={semconv.OPERATION_NAME: "chat"}).end()
        assert (kit.spans[-1].attributes or {})[semconv.CONVERSATION_ID] == "s-1"
        own = {semconv.OPERATION_NAME: "chat", semconv.CONVERSATION_ID: "thread-9"}
        kit.tracer().start_span("chat", attributes=own).end()
        assert (kit.spans[-1].attributes or {})[semconv.CONVERSATION_ID] == "thread-9"


def test_what_a_span_says_of_itself_stays(kit: SpanledgerTestKit) -> None:
    with spanledger.context(tenant="acme", user="u-1"):
        kit.tracer().start_span("probe", attributes={"user.id": "someone else"}).end()
    assert dict(kit.spans[-1].attributes or {}) == {"tenant.id": "acme", "user.id": "someone else"}


@given(st.lists(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text("abc", min_size=1)), max_size=5))
def test_inner_contexts_override_and_inherit(layers: list[dict[str, Any]]) -> None:
    with SpanledgerTestKit(attach=False) as kit:
        expected: list[dict[str, Any]] = [{}]
        entered = []
        for layer in layers:
            scope = spanledger.context(**layer)
            scope.__enter__()
            entered.append(scope)
            expected.append(expected[-1] | {FIELDS[name]: value for name, value in layer.items()})
            assert stamped(kit) == expected[-1]
        while entered:
            entered.pop().__exit__(None, None, None)
            expected.pop()
            assert stamped(kit) == expected[-1]


def test_one_scope_can_be_entered_again_and_within_itself(kit: SpanledgerTestKit) -> None:
    scope = spanledger.context(tenant="acme")
    with scope:
        with scope, spanledger.context(tenant="inner"):
            assert tenant(kit) == "inner"
        assert tenant(kit) == "acme"
    assert tenant(kit) is None


def test_exceptions_leave_the_context_behind(kit: SpanledgerTestKit) -> None:
    with pytest.raises(KeyError), spanledger.context(tenant="acme"):
        raise KeyError
    assert tenant(kit) is None


def test_tasks_inherit_and_do_not_mix(kit: SpanledgerTestKit) -> None:
    async def work(name: str) -> list[Any]:
        with spanledger.context(tenant=name):
            seen = [tenant(kit)]
            await asyncio.sleep(0)
            seen.append(await asyncio.create_task(child()))
            seen.append(tenant(kit))
            return seen

    async def child() -> Any:
        await asyncio.sleep(0)
        return tenant(kit)

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(work(name) for name in "abc"))

    assert asyncio.run(main()) == [["a"] * 3, ["b"] * 3, ["c"] * 3]


def test_threads_inherit_through_the_helper_only(kit: SpanledgerTestKit) -> None:
    with ThreadPoolExecutor(1) as pool, spanledger.context(tenant="acme"):
        with trace.use_span(kit.tracer().start_span("parent")) as parent:
            bound = spanledger.propagate(tenant)
            assert pool.submit(bound, kit).result() == "acme"
            assert kit.spans[-1].parent == parent.get_span_context()
        assert pool.submit(tenant, kit).result() is None


def in_generator(kit: SpanledgerTestKit) -> Iterator[Any]:
    with spanledger.context(tenant="inside"):
        yield tenant(kit)
        yield tenant(kit)
    yield tenant(kit)


def test_a_suspended_generator_does_not_lend_its_identity(kit: SpanledgerTestKit) -> None:
    with spanledger.context(tenant="outside"):
        seen = [(item, tenant(kit)) for item in in_generator(kit)]
    assert seen == [("inside", "outside")] * 2 + [("outside", "outside")]


def test_context_managers_made_of_generators_lend_their_identity(kit: SpanledgerTestKit) -> None:
    @contextmanager
    def request() -> Iterator[None]:
        with spanledger.context(tenant="acme"):
            yield

    @asynccontextmanager
    async def dependency() -> AsyncIterator[None]:
        with spanledger.context(tenant="acme"):
            yield

    async def main() -> Any:
        async with dependency():
            await asyncio.sleep(0)
            return tenant(kit)

    with request():
        assert tenant(kit) == "acme"
    assert tenant(kit) is None
    assert asyncio.run(main()) == "acme"


def test_generators_interleave(kit: SpanledgerTestKit) -> None:
    def named(name: str) -> Iterator[Any]:
        with spanledger.context(tenant=name):
            while True:
                yield tenant(kit)

    first, second = named("a"), named("b")
    assert [next(one) for one in (first, second, first, second)] == ["a", "b", "a", "b"]
    assert tenant(kit) is None
    del first, second
    assert tenant(kit) is None


def test_a_generator_closed_elsewhere_leaves_no_trace(kit: SpanledgerTestKit, caplog: pytest.LogCaptureFixture) -> None:
    generator = in_generator(kit)
    assert next(generator) == "inside"
    thread = threading.Thread(target=generator.close)  # type: ignore[attr-defined]  # it is a generator
    thread.start()
    thread.join()
    assert not caplog.records


def test_a_suspended_async_generator_does_not_lend_its_identity(kit: SpanledgerTestKit) -> None:
    async def child() -> Any:
        await asyncio.sleep(0)
        return tenant(kit)

    async def generate() -> AsyncIterator[Any]:
        with spanledger.context(tenant="inside"):
            yield tenant(kit)
            await asyncio.sleep(0)
            yield await asyncio.create_task(child())
        yield tenant(kit)

    async def main() -> list[Any]:
        with spanledger.context(tenant="outside"):
            return [(item, tenant(kit)) async for item in generate()]

    assert asyncio.run(main()) == [("inside", "outside"), ("inside", "outside"), ("outside", "outside")]


def test_decorated_functions_run_in_the_context(kit: SpanledgerTestKit) -> None:
    @spanledger.context(tenant="acme")
    def plain(word: str) -> Any:
        return word, tenant(kit)

    @spanledger.context(tenant="acme")
    async def coroutine() -> Any:
        await asyncio.sleep(0)
        return tenant(kit)

    assert plain("x") == ("x", "acme")
    assert asyncio.run(coroutine()) == "acme"
    assert plain.__name__ == "plain"
    assert tenant(kit) is None


def test_decorated_generators_keep_their_own_context(kit: SpanledgerTestKit) -> None:
    @spanledger.context(tenant="acme")
    def generate() -> Any:
        received = []
        with trace.use_span(kit.tracer().start_span("work")):
            try:
                received.append((yield tenant(kit)))
            except KeyError:
                received.append("caught")
            yield trace.get_current_span().get_span_context().span_id, received, tenant(kit)
        return "done"

    sent = generate()
    assert next(sent) == "acme"
    assert tenant(kit) is None
    span, received, seen = sent.send("hello")
    assert (received, seen) == (["hello"], "acme")
    assert span
    assert not trace.get_current_span().get_span_context().is_valid
    with pytest.raises(StopIteration, match="done"):
        next(sent)
    thrown = generate()
    next(thrown)
    assert thrown.throw(KeyError())[1] == ["caught"]
    thrown.close()


def test_decorated_async_generators_keep_their_own_context(kit: SpanledgerTestKit) -> None:
    closed = []

    @spanledger.context(tenant="acme")
    async def generate() -> AsyncIterator[Any]:
        try:
            yield tenant(kit)
            await asyncio.sleep(0)
            yield tenant(kit)
        finally:
            closed.append(tenant(kit))

    async def main() -> list[Any]:
        seen = [(item, tenant(kit)) async for item in generate()]
        partial: Any = generate()
        seen.append((await anext(partial), tenant(kit)))
        await partial.aclose()
        return seen

    assert asyncio.run(main()) == [("acme", None)] * 3
    assert closed == ["acme", "acme"]


def test_a_foreign_context_copy_keeps_the_identity(kit: SpanledgerTestKit) -> None:
    with spanledger.context(tenant="acme"):
        copied = contextvars.copy_context()
    assert copied.run(tenant, kit) == "acme"


def test_no_baggage_unless_asked_for() -> None:
    carrier: dict[str, str] = {}
    with spanledger.context(tenant="acme", user="u-1"):
        assert not baggage.get_all()
        propagate.inject(carrier)
    assert "baggage" not in carrier


@pytest.fixture
def global_propagator() -> Iterator[None]:
    before = propagate.get_global_textmap()
    yield
    propagate.set_global_textmap(before)


@pytest.mark.usefixtures("global_propagator")
def test_opt_in_baggage_reaches_services_and_no_vendor(kit: SpanledgerTestKit) -> None:
    def headers(attributes: dict[str, Any], nested: dict[str, Any] | None = None) -> str:
        carrier: dict[str, str] = {}
        with trace.use_span(kit.tracer().start_span("x", attributes=attributes), end_on_exit=True):
            if nested is None:
                propagate.inject(carrier)
            else:
                with trace.use_span(kit.tracer().start_span("y", attributes=nested), end_on_exit=True):
                    propagate.inject(carrier)
        return carrier.get("baggage", "")

    token = context.attach(baggage.set_baggage("theirs", "kept"))
    with spanledger.context(tenant="acme", region="eu", propagate=True):
        assert headers({"server.address": "orders.internal"}) == "theirs=kept,tenant.id=acme"
        assert headers({"url.full": "https://api.openai.com/v1/chat"}) == "theirs=kept"
        assert headers({semconv.OPERATION_NAME: "chat"}) == "theirs=kept"
        assert headers({semconv.OI_KIND: "LLM"}, {"server.address": "gateway.internal"}) == "theirs=kept"
        assert headers({semconv.OPERATION_NAME: "invoke_agent"}, {}) == "theirs=kept,tenant.id=acme"
        assert headers({semconv.OPERATION_NAME: "chat"}, {semconv.OPERATION_NAME: "execute_tool"}).endswith("acme")
    context.detach(token)
    assert isinstance(propagate.get_global_textmap(), VendorSafePropagator)


@pytest.mark.usefixtures("global_propagator")
def test_a_call_that_was_sampled_out_carries_no_baggage_either() -> None:
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("x")
    carrier: dict[str, str] = {}
    with spanledger.context(tenant="acme", propagate=True):
        with tracer.start_as_current_span("POST", attributes={"url.full": "https://api.openai.com/v1"}):
            propagate.inject(carrier)
        assert "baggage" not in carrier
        propagate.inject(carrier)
    assert carrier["baggage"] == "tenant.id=acme"


@pytest.mark.parametrize(
    ("address", "vendor"),
    [
        ("api.openai.com", True),
        ("https://my.openai.azure.com:443/openai", True),
        ("bedrock-runtime.eu-west-1.amazonaws.com", True),
        ("notopenai.com", False),
        ("http://127.0.0.1:8000/v1", False),
        ("openai.com.evil.example", False),
    ],
)
def test_vendor_hosts_are_told_by_their_domain(address: str, vendor: bool) -> None:  # noqa: FBT001  # a table's column
    assert is_vendor_host(address) is vendor


async def _nothing() -> MutableMapping[str, Any]:
    return {}


async def _sink(message: MutableMapping[str, Any]) -> None:
    pass


def run_app(kit: SpanledgerTestKit, scope: dict[str, Any], **resolvers: Any) -> dict[str, Any]:
    """Send one request through the middleware; what a span within the application is stamped with."""
    seen: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "more_body": True})
        await asyncio.create_task(asyncio.sleep(0))
        seen.append(stamped(kit))

    asyncio.run(ContextMiddleware(app, **resolvers)(scope, _nothing, _sink))
    assert tenant(kit) is None
    return seen[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_middleware_resolves_per_request(kit: SpanledgerTestKit, kind: str) -> None:
    async def user(scope: Any) -> str:
        await asyncio.sleep(0)
        return "u-" + str(scope["path"])

    found = run_app(kit, {"type": kind, "path": "7"}, tenant=lambda scope: scope["path"], user=user, use_case="chat")
    assert found == {"tenant.id": "7", "user.id": "u-7", "spanledger.use_case": "chat"}


def test_a_failing_resolver_costs_only_its_value(kit: SpanledgerTestKit, caplog: pytest.LogCaptureFixture) -> None:
    found = run_app(kit, {"type": "http"}, tenant=lambda scope: scope["missing"], user=lambda _scope: "u-1")
    assert found == {"user.id": "u-1"}
    assert "resolving the tenant of a request failed" in caplog.text


def test_lifespan_passes_through_without_resolving(kit: SpanledgerTestKit) -> None:
    assert run_app(kit, {"type": "lifespan"}, tenant=lambda _scope: pytest.fail("not a request")) == {}


def test_incoming_baggage_counts_only_where_it_is_trusted(kit: SpanledgerTestKit) -> None:
    scope = {"type": "http", "headers": [(b"baggage", b"tenant.id=acme,user.id=u%201,other=x")]}
    assert run_app(kit, scope) == {}
    assert run_app(kit, scope, trust_baggage=True, user="known") == {"tenant.id": "acme", "user.id": "known"}
