"""The test kit that users get: fixed ids, a clock that stands, the enrichment of production, content on demand."""

import os
from typing import Any

import openai
import pytest

import spanledger
from spanledger.settings import CAPTURE_VARIABLE
from spanledger.testing import DEFAULT_NOW, SpanledgerTestKit

MESSAGES: Any = [{"role": "user", "content": "Write to ann@example.com"}]


def test_ids_count_and_the_clock_stands_until_it_is_moved() -> None:
    for _ in range(2):
        with SpanledgerTestKit(attach=False) as kit:
            span = kit.tracer().start_span("first")
            kit.tick(1.5)
            span.end()
            kit.tracer().start_span("second").end()
        first, second = kit.spans
        assert [first.context.trace_id, first.context.span_id] == [1, 1]
        assert [second.context.trace_id, second.context.span_id] == [2, 2]
        assert (first.start_time, first.end_time) == (DEFAULT_NOW, DEFAULT_NOW + 1_500_000_000)


def test_the_real_clock_can_be_kept_and_not_moved() -> None:
    with SpanledgerTestKit(attach=False, now=None) as kit:
        kit.tracer().start_span("x").end()
        with pytest.raises(ValueError, match="real clock"):
            kit.tick(1)
    assert (kit.spans[0].start_time or 0) > DEFAULT_NOW - 10**18


def test_calls_are_told_from_other_spans_and_priced() -> None:
    with SpanledgerTestKit(attach=False, cost=lambda _facts, _at: 0.5) as kit:
        kit.tracer().start_span("step").end()
        usage: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}
        kit.tracer().start_span("chat", attributes=usage).end()
        kit.tracer().start_span("chat", attributes={"gen_ai.operation.name": "chat"}).end()
        assert [span.name for span in kit.calls] == ["chat", "chat"]
        assert kit.costs() == [0.5, None]
        kit.clear()
        assert kit.spans == []


def test_content_is_recorded_under_the_policy_of_the_kit(provider: Any) -> None:
    for policy, text in (("none", None), ("masked", "Write to [email]"), ("full", "ann@example.com"), ("none", None)):
        with (
            SpanledgerTestKit(content=policy) as kit,  # type: ignore[arg-type]  # the literal is lost in the tuple
            openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k") as client,
            spanledger.context(tenant="acme"),
        ):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        said = kit.calls[0].attributes or {}
        assert ("gen_ai.input.messages" in said) is (text is not None)
        assert text is None or text in str(said["gen_ai.input.messages"])
    assert CAPTURE_VARIABLE not in os.environ
