"""Settlement is a pure function of the set of spans, and never bills a token twice."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import Call, CallFacts, Span, Usage
from spanledger_ingest.settle import _settle, related_keys, settle
from spanledger_ingest.settle._settle import settle_all

T0 = 1_790_000_000_000_000_000
SECOND = 10**9
SCOPES = {
    "genai": "opentelemetry.instrumentation.genai.openai",
    "native_sdk": "com.anthropic.sdk.python",
    "openinference": "openinference.instrumentation.langchain",
    "traceloop": "opentelemetry.instrumentation.openai.v1",
    "litellm": "litellm",
}
COUNTS = st.sampled_from([1, 2, 3, 5, 8])
USAGES = st.one_of(
    st.just((Usage(), "missing")),
    st.builds(lambda i, o: (Usage(input=i, output=o), "provider"), COUNTS, COUNTS | st.none()),
    st.builds(lambda i: (Usage(input=i), "estimated"), COUNTS),
)
IDS = st.sampled_from([None, "r1", "chatcmpl-0123456789ab", "chatcmpl-ba9876543210", "msg_0123456789abcd"])


@st.composite
def worlds(
    draw: st.DrawFn, dialects: Sequence[str] = tuple(SCOPES)
) -> tuple[list[CallFacts], dict[SpanKey, str | None]]:
    """A few traces: some spans state facts, others only link, some parents are missing, some form cycles."""
    size = draw(st.integers(1, 12))
    facts: list[CallFacts] = []
    parents: dict[SpanKey, str | None] = {}
    for number in range(size):
        trace = draw(st.sampled_from(["t", "u"]))
        span = f"{number:x}"
        parent = draw(st.none() | st.integers(0, size).map(lambda n: f"{n:x}"))
        parents["", trace, span] = parent
        if draw(st.integers(0, 3)):
            facts.append(_fact(draw, trace, span, parent, dialects))
    return facts, parents


def _fact(draw: st.DrawFn, trace: str, span: str, parent: str | None, dialects: Sequence[str]) -> CallFacts:
    usage, source = draw(USAGES)
    dialect = draw(st.sampled_from(dialects))
    start = T0 + draw(st.integers(0, 5)) * SECOND // 4
    more: dict[str, Any] = {"usage_source": source, "status": draw(st.sampled_from(["ok", "ok", "error"]))}
    return CallFacts(
        owner="", trace_id=trace, span_id=span, parent_span_id=parent, start_ns=start,
        end_ns=start + draw(st.integers(0, 4)) * SECOND // 4,
        operation=draw(st.sampled_from(["chat", "embeddings", None])),
        request_model=draw(st.sampled_from(["gpt-4o", "claude", None])), response_id=draw(IDS), usage=usage,
        dialect=dialect, scope_name=SCOPES[dialect], rollup=not draw(st.integers(0, 9)),
        tenant_id=draw(st.sampled_from([None, "acme", "globex"])), **more,
    )  # fmt: skip


def _by_key(calls: Iterable[Call]) -> dict[SpanKey, Call]:
    return {(call.own.owner, call.own.trace_id, call.own.span_id): call for call in calls}


@given(worlds(), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(
    world: tuple[list[CallFacts], dict[SpanKey, str | None]], chance: random.Random
) -> None:
    facts, parents = world
    shuffled = facts + facts[: len(facts) // 2]
    chance.shuffle(shuffled)
    items = list(parents.items())
    chance.shuffle(items)
    assert settle(shuffled, dict(items)) == settle(facts, parents)


@given(worlds(("native_sdk", "traceloop", "litellm")), st.sets(st.integers(0, 12)))
def test_what_is_settled_alone_would_be_settled_the_same_among_all(
    world: tuple[list[CallFacts], dict[SpanKey, str | None]], moved: set[int]
) -> None:
    facts, parents = world
    facts = [
        replace(one, trace_id=f"own{n}", parent_span_id=None) if n in moved else one for n, one in enumerate(facts)
    ]
    with mock.patch.object(_settle, "_parted", lambda calls: ([], list(calls.items()))):
        together = settle_all(facts, parents)
    assert settle_all(facts, parents) == together


@given(worlds())
def test_settling_what_was_settled_changes_nothing(world: tuple[list[CallFacts], dict[SpanKey, str | None]]) -> None:
    facts, parents = world
    calls = settle(facts, parents)
    assert settle([call.own for call in calls], parents) == calls


@given(worlds())
def test_every_span_has_one_row_and_every_group_one_bill(
    world: tuple[list[CallFacts], dict[SpanKey, str | None]],
) -> None:
    facts, parents = world
    rows = settle_all(facts, parents)
    assert sorted(one.span_id + one.trace_id for one in facts) == sorted(
        r.call.own.span_id + r.call.own.trace_id for r in rows
    )
    billed: defaultdict[SpanKey, int] = defaultdict(int)
    for row in rows:
        if row.winner is not None:
            billed[row.winner] += row.call.billable
        else:
            assert not row.call.billable
    assert set(billed.values()) <= {1}


@given(worlds())
def test_nothing_is_billed_that_no_span_reported(world: tuple[list[CallFacts], dict[SpanKey, str | None]]) -> None:
    facts, parents = world
    billed = [call for call in settle(facts, parents) if call.billable]
    for part in ("input", "output"):
        reported = sum(getattr(one.usage, part) or 0 for one in facts)
        assert sum(getattr(call.facts.usage, part) or 0 for call in billed) <= reported


@given(worlds())
def test_a_call_is_lost_only_to_another_one(world: tuple[list[CallFacts], dict[SpanKey, str | None]]) -> None:
    facts, parents = world
    if any(not one.rollup for one in facts):
        assert any(call.billable for call in settle(facts, parents))


@given(worlds())
def test_rollups_are_never_billed_and_failures_never_stain_successes(
    world: tuple[list[CallFacts], dict[SpanKey, str | None]],
) -> None:
    facts, parents = world
    for call in settle(facts, parents):
        assert not (call.billable and call.own.rollup)
        if call.billable:
            assert call.facts.status == call.own.status


class _Store:
    """Answers ``related`` as the port demands: closed over traces and the response ids that rows show."""

    def __init__(self) -> None:
        self.calls: dict[SpanKey, Call] = {}
        self.parents: dict[SpanKey, str | None] = {}

    def related(self, traces: set[tuple[str, str]], ids: set[tuple[str, str]]) -> list[CallFacts]:
        known = -1
        found: dict[SpanKey, Call] = {}
        while known < len(found):
            known = len(found)
            for key, call in self.calls.items():
                if key[:2] in traces or (call.facts.owner, call.facts.response_id) in ids:
                    found[key] = call
                    traces.add(key[:2])
                    if call.facts.response_id is not None:
                        ids.add((call.facts.owner, call.facts.response_id))
        return [call.own for call in found.values()]

    def add(self, facts: Sequence[CallFacts], parents: Mapping[SpanKey, str | None]) -> None:
        spans = [
            Span(owner=owner, trace_id=trace, span_id=span, parent_span_id=parent, name="", start_ns=T0, end_ns=T0)
            for (owner, trace, span), parent in parents.items()
        ]
        self.parents |= parents
        keys = related_keys(spans, facts)
        if keys is not None:
            old = self.related(set(keys.trace_ids), set(keys.response_ids))
            self.calls |= _by_key(settle([*old, *facts], self.parents))


@settings(max_examples=200)
@given(worlds(dialects=("genai", "traceloop", "litellm")), st.data())
def test_arriving_bit_by_bit_comes_to_the_same(
    world: tuple[list[CallFacts], dict[SpanKey, str | None]], data: st.DataObject
) -> None:
    facts, parents = world
    at = {key: data.draw(st.integers(0, 3)) for key in parents}
    store = _Store()
    for batch in range(4):
        store.add(
            [one for one in facts if at[one.owner, one.trace_id, one.span_id] == batch],
            {key: parent for key, parent in parents.items() if at[key] == batch},
        )
    assert store.calls == _by_key(settle(facts, parents))
