"""What was said leaves spans and log records; evaluations become scores; nothing raises."""

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spanledger_analytics.records import Event, LogRecord, Resource, Span
from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.normalise._table import SOURCE_NAMES

T0 = 1_790_000_000_000_000_000
TRACE, SPAN = "0" * 31 + "1", "0" * 15 + "2"


def make(attributes: dict[str, Any], **more: Any) -> Span:
    fields: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "name": "x",
        "kind": "client",
        "start_ns": T0,
        "end_ns": T0 + 10**9,
    }
    return Span(**(fields | more), attributes=attributes)


def chat(**more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"} | more


def test_content_leaves_the_span_by_kind() -> None:
    span = make(
        chat(
            **{
                "gen_ai.input.messages": "[1]",
                "gen_ai.output.messages": "[2]",
                "gen_ai.system_instructions": "be nice",
                "gen_ai.tool.definitions": "[3]",
                "gen_ai.prompt.0.content": "hi",
                "llm.input_messages.0.message.content": "x",
                "llm.openai.messages": "[]",
                "gen_ai.prompt.name": "kept",
                "llm.token_count.prompt": 3,
                "llm.cost.output": 0.1,
                "gen_ai.prompt.variable.context": "doc",
                "ai.request.headers.authorization": "Bearer k",
            }
        ),
        events=(Event("gen_ai.choice", T0, {"finish_reason": "stop", "message": "said"}), Event("other", T0, {"a": 1})),
    )
    found = normalise(span)
    kept = {"gen_ai.prompt.name": "kept", "llm.token_count.prompt": 3, "llm.cost.output": 0.1}
    assert found.span.attributes == chat(**kept)
    assert [dict(event.attributes) for event in found.span.events] == [{"finish_reason": "stop"}, {"a": 1}]
    texts = {content.kind: content.text for content in found.contents}
    assert texts["system"] == "be nice"
    assert texts["tools"] == "[3]"
    assert texts["retrieval"] == "doc"
    assert "said" in texts["output"]
    assert "[2]" in texts["output"]
    assert "hi" in texts["input"]
    assert {content.tenant_id for content in found.contents} == {"unknown"}


def test_a_sender_may_withhold_the_text_of_a_span_but_not_its_facts() -> None:
    said = chat(**{"gen_ai.output.messages": '[{"role": "assistant", "finish_reason": "stop"}]'})
    plain, marked = normalise(make(said)), normalise(make(said | {"spanledger.content": "none"}))
    assert plain.contents
    assert (marked.contents, marked.facts, marked.span) == ((), plain.facts, plain.span)
    assert marked.facts is not None
    assert marked.facts.finish_reason == "stop"
    assert normalise(make(said | {"spanledger.content": "all"})).contents == plain.contents


def test_a_sender_may_withhold_the_text_of_a_log_record() -> None:
    attributes = {"spanledger.content": "none", "role": "user"}
    name = "gen_ai.user.message"
    record = LogRecord(
        time_ns=T0, trace_id=TRACE, span_id=SPAN, event_name=name, attributes=attributes, body={"content": "hi"}
    )
    found = normalise_log(record)
    assert (found.contents, found.record.attributes, found.record.body) == ((), {"role": "user"}, None)


def test_log_events_of_the_first_generation() -> None:
    record = LogRecord(time_ns=T0, trace_id=TRACE, span_id=SPAN, event_name="gen_ai.user.message",
                       attributes={"gen_ai.system": "openai", "tenant.id": "acme"}, body={"content": "hi"})  # fmt: skip
    found = normalise_log(record)
    assert found.record.body is None
    assert [(c.kind, c.text, c.trace_id, c.tenant_id) for c in found.contents] == [
        ("input", '{"content":"hi"}', TRACE, "acme")
    ]


def test_ordinary_log_lines_stay_the_same_object() -> None:
    record = LogRecord(time_ns=T0, body="hello", attributes={"k": "v"})
    assert normalise_log(record).record is record


def test_evaluations_become_scores() -> None:
    record = LogRecord(
        time_ns=T0,
        trace_id=TRACE,
        span_id=SPAN,
        owner="acme",
        event_name="gen_ai.evaluation.result",
        attributes={
            "gen_ai.evaluation.name": "groundedness",
            "gen_ai.evaluation.score.value": 0.75,
            "gen_ai.evaluation.score.label": "pass",
            "gen_ai.evaluation.explanation": "all cited",
            "gen_ai.request.model": "gpt-4o",
            "spanledger.use_case": "support",
            "spanledger.scorer.version": "2",
        },
    )
    (score,) = normalise_log(record).scores
    assert (score.name, score.value, score.label, score.explanation) == ("groundedness", 0.75, "pass", "all cited")
    assert (score.tenant_id, score.model, score.use_case, score.scorer_version) == ("acme", "gpt-4o", "support", "2")


@pytest.mark.parametrize("value", [math.nan, math.inf, "high", None, True, [1]])
def test_scores_that_are_no_numbers_are_unknown(value: Any) -> None:
    record = LogRecord(time_ns=T0, event_name="gen_ai.evaluation.result",
                       attributes={"gen_ai.evaluation.name": "x", "gen_ai.evaluation.score.value": value})  # fmt: skip
    (score,) = normalise_log(record).scores
    assert score.value is None


def test_a_nameless_evaluation_is_no_score() -> None:
    assert normalise_log(LogRecord(time_ns=T0, event_name="gen_ai.evaluation.result")).scores == ()


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=20),
    st.sampled_from(["", "[", "{", '{"id": [', "[[[[", "{'a': ", "nan", "-1", "1e308", '"', "\x00", "9" * 5000]),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
                      max_leaves=6)  # fmt: skip
NAMES = st.sampled_from(
    [*sorted(SOURCE_NAMES), "gen_ai.operation.name", "openinference.span.kind", "ai.operationId", "llm.request.type",
     "langfuse.observation.type", "gen_ai.input.messages", "gen_ai.prompt.0.content"]
)  # fmt: skip
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=12)
SELECTED = st.sampled_from(
    [
        {"gen_ai.operation.name": "chat"},
        {"openinference.span.kind": "LLM"},
        {"ai.operationId": "ai.x.doStream"},
        {"langfuse.observation.type": "generation"},
        {},
    ]
)
EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(["exception", "gen_ai.choice", "First Token Stream Event", "x"]),
        st.integers(0, 2**63),
        ATTRIBUTES | st.dictionaries(st.just("exception.message"), VALUES),
    ),
    max_size=3,
)


@given(
    ATTRIBUTES, SELECTED, EVENTS, st.sampled_from(["ok", "error", "unset"]), st.dictionaries(NAMES, VALUES, max_size=3)
)
def test_nothing_raises_and_every_number_is_sound(
    attributes: dict[str, Any], selected: dict[str, Any], events: list[Event], status: str, resource: dict[str, Any]
) -> None:
    found = normalise(make(attributes | selected, events=tuple(events), status=status, resource=Resource(resource)))
    if found.facts is None:
        return
    usage = found.facts.usage
    counts = (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning, usage.audio_input)
    assert all(count is None or (type(count) is int and 0 <= count < 2**53) for count in counts)
    cached = (usage.cache_read or 0) + (usage.cache_write or 0)
    assert usage.input is None or cached <= usage.input
    assert usage.output is None or (usage.reasoning or 0) <= usage.output
    assert found.facts.ttft_ns is None or found.facts.ttft_ns >= 0
    assert found.facts.reported_cost_usd is None or found.facts.reported_cost_usd > 0
    texts = (found.facts.tenant_id, found.facts.provider, found.facts.request_model, found.facts.response_id)
    assert all(text is None or (text and "\x00" not in text) for text in texts)


@example({}, [-(2**63) - 1], "gen_ai.choice")
@example({}, {"content": "\ud800"}, "gen_ai.choice")
@given(ATTRIBUTES, VALUES, st.sampled_from(["gen_ai.evaluation.result", "gen_ai.choice", "gen_ai.x", ""]))
def test_no_log_record_raises(attributes: dict[str, Any], body: Any, name: str) -> None:
    record = LogRecord(time_ns=T0, trace_id=TRACE, span_id=SPAN, event_name=name, attributes=attributes, body=body)
    assert all(type(content.text) is str for content in normalise_log(record).contents)
