"""``deploy/otelcol.yaml``: every span is accounted for as without a gateway, and text is kept of a sample only."""

import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from spanledger_analytics.records import LogRecord, Span
from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.normalise._content import _EVENT_KINDS, _NAMES, _PATTERNS, _PREFIXES, kind_of
from spanledger_ingest.normalise._table import SOURCE_NAMES
from spanledger_ingest.otlp import decode, inflate
from spanledger_ingest.traffic import DEFAULT_END_NS, build_world, generate_hour

Start = Callable[..., Any]

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = ROOT / "deploy" / "otelcol.yaml"
CORPUS = ROOT / "tests" / "data" / "corpus"
MARK = "spanledger.content"
FACTS_IN_TEXT = {"response_data", "gen_ai.completion.0.finish_reason"}
"""Attributes of which the gateway leaves what the books read."""


def traces() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.binpb")) if ".logs." not in path.name]


def spans_of(body: bytes) -> list[Span]:
    return [item for item in decode("traces", body, "protobuf", "").items if isinstance(item, Span)]


def send(collector: Any, bodies: list[bytes], signal: str = "traces") -> None:
    for body in bodies:
        headers = {"content-type": "application/x-protobuf"}
        request = urllib.request.Request(f"{collector.http}/v1/{signal}", body, headers)  # noqa: S310 -- loopback
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 -- as above


def key(span: Span) -> tuple[str, str]:
    return span.trace_id, span.span_id


class Sink:
    """What the gateway exports, decoded."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.logs: list[LogRecord] = []
        self.authorizations: set[str] = set()

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        plain = inflate(body, headers.get("content-encoding", ""), 1 << 26)
        self.authorizations.add(headers.get("authorization", ""))
        signal = path.rpartition("/")[2]
        for item in decode("logs" if signal == "logs" else "traces", plain, "protobuf", "").items:
            if isinstance(item, Span):
                self.spans.append(item)
            elif isinstance(item, LogRecord):
                self.logs.append(item)
        return 200


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def gateway(sink: Sink, start_stub: Start, start_collector: Start) -> Any:
    url = start_stub(sink.answer).url
    return start_collector(GATEWAY, SPANLEDGER_ENDPOINT=url, SPANLEDGER_API_KEY="k", OTELCOL_DECISION_WAIT="500ms")


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").glob("otelcol*.yaml")), ids=lambda path: path.name)
def test_the_collector_finds_every_shipped_configuration_valid(path: Path, validate: Start) -> None:
    validate(path, SPANLEDGER_ENDPOINT="http://127.0.0.1:4418", SPANLEDGER_API_KEY="k")


def test_the_books_are_the_same_without_text_for_every_captured_span(gateway: Any, sink: Sink, wait: Start) -> None:
    bodies = traces()
    sent = {key(span): span for body in bodies for span in spans_of(body)}
    send(gateway, bodies)
    books: dict[Any, Span] = {}

    def all_there() -> bool:
        for span in list(sink.spans):
            books.setdefault(key(span), span)  # the copy without text does not wait for a decision
        return len(books) == len(sent)

    wait(all_there, f"{len(sent)} spans", gateway)
    for where, span in books.items():
        original, copy = normalise(sent[where]), normalise(span)
        assert copy.facts == original.facts
        assert copy.span == original.span
        assert not copy.contents
    assert sink.authorizations == {"Bearer k"}


def text_names() -> Iterator[str]:
    """Every name that the service takes for text, with examples of those that it knows by a pattern."""
    for names in _NAMES.values():
        yield from names
    for prefix, _ in _PREFIXES:
        yield f"{prefix}0.message.content"
    yield from ("gen_ai.prompt.0.content", "gen_ai.completion.12.content", "gen_ai.completion.0.role")
    fields = [field for pattern, _ in _PATTERNS for field in re.findall(r"[(|](\w+)(?=[|)].*\$$)", pattern.pattern)]
    for provider in ("openai", "anthropic", "bedrock", "tencent", "None", "vertex_ai", "a", "sage"):
        yield from (f"llm.{provider}.{field}" for field in fields)


NUMBERS = (
    "llm.token_count.prompt",
    "llm.token_count.completion",
    "llm.cost.prompt",
    "llm.cost.input",
    "llm.cost.output",
    "llm.usage.prompt_tokens",
    "gen_ai.usage.input_tokens",
    "ai.usage.promptTokens",
)
SECRET = "the secret of the case"


def test_no_name_of_text_and_no_event_leaves_the_gateway_with_its_text(gateway: Any, sink: Sink, wait: Start) -> None:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\2" * 16, span_id=b"\2" * 8, name="chat")
    span.start_time_unix_nano, span.end_time_unix_nano = DEFAULT_END_NS, DEFAULT_END_NS + 1
    names = sorted(set(text_names()))
    for name in names:
        span.attributes.add(key=name).value.string_value = SECRET
    span.attributes.add(key="gen_ai.completion.0.finish_reason").value.string_value = "stop"
    for name in NUMBERS:
        span.attributes.add(key=name).value.int_value = 7
    span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    span.status.message = SECRET
    for name in (*_EVENT_KINDS, "exception"):
        event = span.events.add(name=name, time_unix_nano=DEFAULT_END_NS)
        event.attributes.add(key="finish_reason").value.string_value = "stop"
        said = ("exception.message", "exception.stacktrace") if name == "exception" else ("content", "message")
        for attribute in (*said, "input.value", "error.message"):
            event.attributes.add(key=attribute).value.string_value = SECRET
    assert all(kind_of(name) for name in names)
    send(gateway, [message.SerializeToString()])
    wait(lambda: sink.spans, "the span", gateway)
    (copy,) = sink.spans
    assert [name for name, value in copy.attributes.items() if SECRET in str(value)] == []
    assert [event for event in copy.events if SECRET in str(event)] == []
    assert SECRET not in copy.status_message
    assert {name: copy.attributes[name] for name in NUMBERS} == dict.fromkeys(NUMBERS, 7)
    assert set(copy.attributes) - {*NUMBERS, "gen_ai.operation.name", MARK} <= FACTS_IN_TEXT
    assert [event.attributes.get("finish_reason") for event in copy.events] == ["stop"] * len(copy.events)


def test_the_gateway_knows_every_text_from_which_the_books_read() -> None:
    """When this fails, teach transform/books the new name, add a case of it to the corpus, and then to this list."""
    read = {name for name in SOURCE_NAMES if kind_of(name)}
    in_documents = {"output.value", "input.value", "gen_ai.output.messages"}
    in_messages = {"error.message", "langfuse.observation.status_message"}
    assert read == in_documents | in_messages | {"gen_ai.completion.0.finish_reason"}


def test_failed_and_cut_off_traces_and_a_share_keep_their_text(gateway: Any, sink: Sink, wait: Start) -> None:
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number in range(256):
        reason = "length" if number == 2 else "stop"
        span = spans.add(trace_id=b"\7" * 15 + bytes([number]), span_id=b"\7" * 8, name="chat")
        span.start_time_unix_nano, span.end_time_unix_nano = DEFAULT_END_NS, DEFAULT_END_NS + 1
        span.attributes.add(key="gen_ai.input.messages").value.string_value = SECRET
        reasons = span.attributes.add(key="gen_ai.response.finish_reasons").value.array_value
        reasons.values.add(string_value=reason)
        if number == 3:
            span.status.code = Status.STATUS_CODE_ERROR
    send(gateway, [message.SerializeToString()])
    share = {number for number in range(256) if number % 16 < 2}

    def kept() -> set[int]:
        return {
            int(str(span.trace_id)[-2:], 16) for span in list(sink.spans) if "gen_ai.input.messages" in span.attributes
        }

    wait(lambda: kept() >= share | {2, 3}, "the sample", gateway)
    gateway.stop()  # decides on what is left
    assert kept() == share | {2, 3}
    assert sum(MARK in span.attributes for span in sink.spans) == 256


def test_log_records_take_one_road_and_lose_their_text_outside_the_share(gateway: Any, sink: Sink, wait: Start) -> None:
    message = ExportLogsServiceRequest()
    records = message.resource_logs.add().scope_logs.add().log_records
    for name in ("gen_ai.user.message", "gen_ai.client.inference.operation.details", "gen_ai.evaluation.result", ""):
        for last in (b"\1", b"\2"):  # the share is of traces that end in 0 or 1
            record = records.add(event_name=name, trace_id=b"\7" * 15 + last, span_id=b"\7" * 8)
            record.time_unix_nano = DEFAULT_END_NS
            record.body.string_value = SECRET
            for attribute in ("content", "gen_ai.input.messages", "gen_ai.evaluation.name"):
                record.attributes.add(key=attribute).value.string_value = SECRET
    send(gateway, [message.SerializeToString()], "logs")
    wait(lambda: len(sink.logs) == len(records), "all records", gateway)
    assert len(sink.logs) == len(records)
    for kept in sink.logs:
        sampled = str(kept.trace_id).endswith("1")
        assert ("gen_ai.input.messages" in kept.attributes) == sampled
        if kept.event_name == "gen_ai.evaluation.result":
            assert normalise_log(kept).scores  # scores are no text of the trace
        elif kept.event_name:
            assert bool(normalise_log(kept).contents) == sampled


TOTALS = """
    select tenant_id, provider, coalesce(request_model, response_model) as model, billable, cost_status, status,
        finish_reason, count(*) as calls, sum(input_tokens) as input, sum(output_tokens) as output,
        sum(cache_read_tokens) as cached, sum(cost_usd) as cost
    from llm_calls group by all order by all
"""

TEXTS = "select count(distinct trace_id) as traces from span_content"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_totals_through_the_gateway_equal_those_without_it(
    start_spanledger: Start, start_collector: Start, wait: Start
) -> None:
    """Generated traffic and the captured corpus, to one service directly and to another through the gateway."""
    direct, behind = start_spanledger("direct"), start_spanledger("behind")
    start = partial(start_collector, GATEWAY, SPANLEDGER_API_KEY="k", OTELCOL_DECISION_WAIT="500ms")
    collector = start(SPANLEDGER_ENDPOINT=behind.http)
    world = build_world(3, end_ns=DEFAULT_END_NS, days=1, tenants=5, calls_per_day=24_000)
    bodies = traces() + generate_hour(world, world.hours[12]).bodies
    for body in bodies:
        direct.post("/v1/traces", body)
    send(collector, bodies)
    accepted = collector.accepted
    for service in (direct, behind):
        wait(lambda service=service: service.stored() >= accepted, "every span is stored", collector, service)
    wait(lambda: behind.sql(TEXTS)[0]["traces"] > 0, "the text of the sample comes", collector, behind)
    collector.stop()  # the sampler decides on what is left
    assert (direct.stored(), behind.stored(), behind.doubled()) == (accepted, accepted, 0)
    assert behind.sql(TOTALS) == direct.sql(TOTALS)
    everything, sample = (service.sql(TEXTS) for service in (direct, behind))
    assert everything[0]["traces"] > 200
    assert 0 < sample[0]["traces"] < everything[0]["traces"] / 2
