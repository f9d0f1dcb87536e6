"""Which span is billed when several tell of one call, rule by rule."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import Call, CallFacts, Span, Usage
from spanledger_ingest.settle import REASONS, Neighbours, explain, related_keys, settle

T0 = 1_790_000_000_000_000_000
SECOND = 10**9
OFFICIAL: dict[str, Any] = {"dialect": "genai", "scope_name": "opentelemetry.instrumentation.genai.openai"}
NATIVE: dict[str, Any] = {"dialect": "native_sdk", "scope_name": "com.anthropic.sdk.python"}
TRACELOOP: dict[str, Any] = {"dialect": "traceloop", "scope_name": "opentelemetry.instrumentation.anthropic"}
OI_CLIENT: dict[str, Any] = {"dialect": "openinference", "scope_name": "openinference.instrumentation.openai"}
OI_CHAIN: dict[str, Any] = {"dialect": "openinference", "scope_name": "openinference.instrumentation.langchain"}


def fact(span: str, *, parent: str | None = None, tokens: tuple[int, int] | None = None, **more: Any) -> CallFacts:
    """A call of one second in trace ``t``; ``tokens`` are input and output."""
    usage: dict[str, Any] = (
        {"usage": Usage(input=tokens[0], output=tokens[1]), "usage_source": "provider"} if tokens else {}
    )
    fields: dict[str, Any] = {"owner": "", "trace_id": "t", "start_ns": T0, "end_ns": T0 + SECOND, "operation": "chat",
              "request_model": "gpt-4o", "service_name": "bot", **OFFICIAL}  # fmt: skip
    return CallFacts(span_id=span, parent_span_id=parent, **(fields | usage | more))


def settled(*facts: CallFacts, parents: Mapping[SpanKey, str | None] | None = None) -> dict[str, Call]:
    return {call.own.span_id: call for call in settle(facts, parents or {})}


def reasons(*facts: CallFacts, parents: Mapping[SpanKey, str | None] | None = None) -> dict[str, str]:
    return {span: call.billing_reason for span, call in settled(*facts, parents=parents).items()}


def test_a_single_span_is_billed_as_it_is() -> None:
    one = fact("a", tokens=(14, 17))
    call = settled(one)["a"]
    assert (call.billable, call.billing_reason, call.facts, call.own) == (True, "only_span", one, one)
    assert call.cost_status == "unpriced_model"


def test_calls_without_usage_count_and_say_so() -> None:
    found = settled(fact("a"), fact("b", trace_id="u", status="error"))
    assert [(c.billable, c.billing_reason, c.cost_status) for c in found.values()] == [
        (True, "usage_missing", "no_usage"),
        (True, "error_without_usage", "no_usage"),
    ]


def test_one_response_id_is_one_call_even_in_two_traces_and_with_different_counts() -> None:
    traceloop = fact("a", response_id="msg_01367ac64a16d19e", tokens=(14, 18), tenant_id="acme", **TRACELOOP)
    native = fact("b", trace_id="u", response_id="msg_01367ac64a16d19e", tokens=(14, 17), ttft_ns=5, **NATIVE)
    found = settled(traceloop, native)
    assert found["b"].billable
    assert found["b"].billing_reason == "best_span"
    assert (found["b"].facts.usage.output, found["b"].facts.tenant_id, found["b"].facts.ttft_ns) == (17, "acme", 5)
    assert (found["a"].billable, found["a"].billing_reason) == (False, "same_response_id")
    assert found["a"].facts == traceloop


def test_owners_never_share_a_call() -> None:
    one = fact("a", response_id="msg_01367ac64a16d19e", tokens=(14, 17), owner="acme")
    other = fact("a", response_id="msg_01367ac64a16d19e", tokens=(14, 17), owner="globex")
    assert [call.billable for call in settle([one, other], {})] == [True, True]


@pytest.mark.parametrize(
    ("response_id", "scope", "tokens", "gap_s", "calls"),
    [
        ("chatcmpl-b1d5781111d8", "other", (14, 17), 0, 1),
        ("chatcmpl-b1d5781111d8", "same", (14, 17), 60, 1),  # a cached answer, told again
        ("chatcmpl-b1d5781111d8", "same", (96, 11), 60, 2),  # one instrumentation, two counts: the id is not unique
        ("chatcmpl-b1d5781111d8", "other", (14, 18), 60, 1),
        ("chatcmpl-b1d5781111d8", "other", (14, 17), 3500, 1),
        ("chatcmpl-b1d5781111d8", "other", (14, 17), 3700, 2),
        ("emb-0001", "other", (14, 17), 0, 1),
        ("emb-0001", "other", (14, 17), 60, 2),
        ("emb-0001", "other", (96, 11), 0, 2),
        ("emb-0001", "same", (14, 17), 0, 2),
        ("0", "same", (14, 17), 0, 2),
    ],
)
def test_ids_that_everybody_gets_do_not_unite(
    response_id: str, scope: str, tokens: tuple[int, int], gap_s: int, calls: int
) -> None:
    start = T0 + gap_s * SECOND
    more: dict[str, Any] = {} if scope == "same" else NATIVE
    one = fact("a", response_id=response_id, tokens=(14, 17))
    other = fact("b", trace_id="u", response_id=response_id, tokens=tokens, start_ns=start, end_ns=start + 1, **more)
    assert sum(call.billable for call in settle([one, other], {})) == calls


def test_a_thousand_embeddings_with_one_id_are_a_thousand_calls() -> None:
    many = [fact(f"{n}", trace_id=f"{n}", response_id="emb-0001", tokens=(8, 0), start_ns=T0 + n) for n in range(1000)]
    assert all(call.billable for call in settle(many, {}))


def test_nested_spans_with_equal_usage_are_one_call_whatever_their_ids() -> None:
    outer = fact("a", tokens=(14, 17), response_id="chatcmpl-02295737-7a47-4e98", dialect="litellm")
    inner = fact(
        "b", parent="a", tokens=(14, 17), response_id="msg_011d513c0bcbe33b", response_model="gpt-4o-2024-08-06"
    )
    assert reasons(outer, inner) == {"a": "nested_duplicate", "b": "best_span"}


def test_models_must_agree_for_usage_to_unite() -> None:
    outer, inner = fact("a", tokens=(14, 17)), fact("b", parent="a", tokens=(14, 17), request_model="claude-x")
    assert reasons(outer, inner) == {"a": "only_span", "b": "only_span"}
    dated = fact("b", parent="a", tokens=(14, 17), request_model="gpt-4o-2024-08-06")
    assert reasons(outer, dated)["b"] == "best_span"


def test_nesting_is_seen_through_other_spans() -> None:
    outer, inner = fact("a", tokens=(14, 17)), fact("c", parent="b", tokens=(14, 17))
    assert reasons(outer, inner, parents={("", "t", "b"): "a"}) == {"a": "nested_duplicate", "c": "best_span"}
    assert reasons(outer, inner) == {"a": "only_span", "c": "only_span"}


def test_the_inner_span_wins_within_a_rank_and_the_better_dialect_between_ranks() -> None:
    assert reasons(fact("a", tokens=(1, 1)), fact("b", parent="a", tokens=(1, 1)))["b"] == "best_span"
    official = fact("a", tokens=(1, 1))
    assert reasons(official, fact("b", parent="a", tokens=(1, 1), **NATIVE))["a"] == "best_span"


def test_a_wrapper_of_one_call_adds_what_it_knows() -> None:
    outer = fact("a", use_case="support", **OI_CHAIN)
    inner = fact("b", parent="a", tokens=(14, 17), **OI_CLIENT)
    found = settled(outer, inner)
    assert found["b"].billable
    assert found["b"].facts.use_case == "support"
    assert found["a"].billing_reason == "nested_duplicate"


def test_usage_comes_from_the_only_span_that_has_it() -> None:
    outer, inner = fact("a", tokens=(14, 17)), fact("b", parent="a", finish_reason="stop")
    call = settled(outer, inner)["b"]
    assert call.billable
    assert (call.facts.usage.input, call.facts.usage_source) == (14, "provider")


def test_a_wrapper_of_several_calls_joins_none() -> None:
    steps = [fact("b", parent="a", tokens=(62, 16)), fact("c", parent="a", tokens=(96, 11))]
    assert reasons(fact("a"), *steps) == {"a": "wrapper", "b": "only_span", "c": "only_span"}


def test_a_sum_of_several_calls_is_a_rollup() -> None:
    steps = [fact("b", parent="a", tokens=(62, 16)), fact("c", parent="a", tokens=(96, 11))]
    assert reasons(fact("a", tokens=(158, 27)), *steps) == {"a": "rollup", "b": "only_span", "c": "only_span"}


def test_a_rollup_operation_is_never_billed_even_alone() -> None:
    assert reasons(fact("a", tokens=(158, 27), rollup=True)) == {"a": "rollup"}


def test_of_several_equal_calls_the_outer_span_repeats_the_last() -> None:
    first = fact("b", parent="a", tokens=(14, 17))
    last = fact("c", parent="a", tokens=(14, 17), start_ns=T0 + 5)
    found = reasons(fact("a", tokens=(14, 17), **OI_CHAIN), first, last)
    assert found == {"a": "nested_duplicate", "b": "only_span", "c": "best_span"}


def test_retries_inside_a_success_are_failed_attempts() -> None:
    attempts = [
        fact("b", parent="a", status="error", error_type="RateLimitError"),
        fact("c", parent="a", status="error"),
    ]
    found = settled(fact("a", tokens=(14, 17)), *attempts)
    assert {span: call.billing_reason for span, call in found.items()} == {
        "a": "best_span", "b": "failed_attempt", "c": "failed_attempt",
    }  # fmt: skip
    assert found["a"].facts.error_type is None
    last = fact("d", parent="a", tokens=(14, 17), start_ns=T0 + 5)
    assert reasons(fact("a", tokens=(14, 17), **OI_CHAIN), *attempts, last)["d"] == "best_span"


def test_a_failure_of_every_attempt_is_one_failed_call() -> None:
    attempts = [fact(span, parent="a", status="error", start_ns=T0 + n) for n, span in enumerate("bcd")]
    calls = settled(fact("a", status="error"), *attempts)
    assert [span for span, call in calls.items() if call.billable] == ["d"]
    assert (calls["b"].billing_reason, calls["a"].billing_reason) == ("failed_attempt", "nested_duplicate")


def test_an_embedding_inside_a_chat_is_a_call_of_its_own() -> None:
    inner = fact("b", parent="a", operation="embeddings", request_model="text-embedding-3-small", tokens=(8, 0))
    assert reasons(fact("a", tokens=(14, 17)), inner) == {"a": "only_span", "b": "only_span"}


def test_different_usage_means_different_calls() -> None:
    assert reasons(fact("a", tokens=(500, 60)), fact("b", parent="a", tokens=(14, 17))) == {
        "a": "only_span", "b": "only_span",
    }  # fmt: skip


def test_a_guess_never_outweighs_the_providers_count() -> None:
    guess = fact("a", usage=Usage(input=37, output=35), usage_source="estimated", response_id="r" * 20 + "123")
    told = fact("b", trace_id="u", tokens=(14, 17), response_id="r" * 20 + "123", **TRACELOOP)
    (call,) = [call for call in settle([guess, told], {}) if call.billable]
    assert (call.facts.usage.input, call.facts.usage_source) == (14, "provider")
    alone = settled(guess)["a"]
    assert (alone.billable, alone.facts.usage_source) == (True, "estimated")


def test_classes_are_filled_only_where_they_fit() -> None:
    one = fact("a", tokens=(100, 10), response_id="x" * 20 + "123")
    fits = fact("b", parent="a", response_id="x" * 20 + "123", usage_source="provider",
                usage=Usage(input=100, output=10, cache_read=90), **NATIVE)  # fmt: skip
    assert settled(one, fits)["a"].facts.usage == Usage(input=100, output=10, cache_read=90)
    burst = fact("b", parent="a", response_id="x" * 20 + "123", usage_source="provider",
                 usage=Usage(input=900, output=10, cache_read=900), **NATIVE)  # fmt: skip
    assert settled(one, burst)["a"].facts.usage == Usage(input=100, output=10)


def test_a_native_span_that_lost_its_context_is_found_by_time() -> None:
    outer = fact("a", status="error", **TRACELOOP)
    inner = fact("b", trace_id="u", start_ns=T0 + 10, end_ns=T0 + SECOND - 10, status="error", **NATIVE)
    assert reasons(outer, inner) == {"a": "detached_duplicate", "b": "error_without_usage"}


@pytest.mark.parametrize(
    "change",
    [
        {"start_ns": T0 + 2 * SECOND, "end_ns": T0 + 3 * SECOND}, {"service_name": "other"},
        {"request_model": "claude"}, {"status": "ok"}, {"parent_span_id": "p"}, {"owner": "acme"},
        {"dialect": "traceloop"},
    ],
)  # fmt: skip
def test_time_alone_unites_only_what_cannot_be_told_apart(change: dict[str, Any]) -> None:
    outer = fact("a", status="error", **TRACELOOP)
    fields: dict[str, Any] = {"trace_id": "u", "status": "error"} | NATIVE | change
    inner = fact("b", parent=fields.pop("parent_span_id", None), **fields)
    assert all(call.billable for call in settle([outer, inner], {}))


def test_parallel_streams_find_their_own_half() -> None:
    chains = [fact(f"a{n}", trace_id=f"t{n}", parent="x", tokens=(14, 17), start_ns=T0 + n * 1000, **OI_CHAIN)
              for n in range(20)]  # fmt: skip
    clients = [fact(f"b{n}", trace_id=f"u{n}", tokens=(14, 17), start_ns=T0 + n * 1000 + 10,
                    response_id=f"chatcmpl-0123456789{n:03}", **OI_CLIENT) for n in range(20)]  # fmt: skip
    calls = settle([*chains, *clients], {})
    assert {call.own.span_id for call in calls if call.billable} == {one.span_id for one in clients}
    shown = {call.own.span_id: call.facts.response_id for call in calls}
    assert all(shown[f"a{n}"] == f"chatcmpl-0123456789{n:03}" for n in range(20))


def test_a_client_without_ids_finds_its_framework_in_a_crowd() -> None:
    chains = [fact(f"a{n}", trace_id=f"t{n}", tokens=(14, 17), start_ns=T0 + n * 100, end_ns=T0 + SECOND + 90_000 - n,
                   **OI_CHAIN) for n in range(20)]  # fmt: skip
    clients = [fact(f"b{n}", trace_id=f"u{n}", tokens=(14, 17), start_ns=T0 + 5000 + 7 * n, **OI_CLIENT)
               for n in range(20)]  # fmt: skip
    direct = fact("c", trace_id="v", tokens=(14, 17), start_ns=T0 + 50_000, end_ns=T0 + SECOND // 2, **OI_CLIENT)
    calls = settle([*chains, *clients, direct], {})
    assert {call.own.span_id for call in calls if call.billable} == {one.span_id for one in (*clients, direct)}


@pytest.mark.parametrize(
    ("response_id", "later_ns", "calls"),
    [
        ("resp_b94f55b701e74b17b6", 10**6, 1),  # Traceloop starts this span when the answer is there, without context
        ("resp_b94f55b701e74b17b6", SECOND, 2),
        ("chatcmpl-b1d5781111d8", 10**6, 2),
        (None, 10**6, 2),
    ],
)
def test_traceloop_loses_context_in_the_responses_api_only(response_id: str | None, later_ns: int, calls: int) -> None:
    framework = "opentelemetry.instrumentation.langchain"
    chain = fact("a", tokens=(14, 17), end_ns=T0 + SECOND + later_ns, **TRACELOOP | {"scope_name": framework})
    client = fact("b", trace_id="u", tokens=(14, 17), response_id=response_id, **TRACELOOP)
    assert sum(call.billable for call in settle([chain, client], {})) == calls


@pytest.mark.parametrize(("first_word_ns", "calls"), [(400, 1), (None, 2), (100, 2), (SECOND + 60 * 10**6, 2)])
def test_a_stream_handed_over_before_the_client_asks_is_one_call(first_word_ns: int | None, calls: int) -> None:
    early = fact("a", end_ns=T0 + 200, ttft_ns=first_word_ns, tokens=(14, 17), **OI_CHAIN)
    client = fact("b", trace_id="u", start_ns=T0 + 300, end_ns=T0 + SECOND, tokens=(14, 17), ttft_ns=95,
                  response_id="chatcmpl-b1d5781111d8", **OI_CLIENT)  # fmt: skip
    assert sum(call.billable for call in settle([early, client], {})) == calls


def test_a_framework_that_missed_a_part_of_the_input_believes_its_client() -> None:
    heard = fact("a", tokens=(1920, 17), **OI_CHAIN)
    said = fact("b", trace_id="u", tokens=(2048, 17), response_id="msg_01367ac64a16d19e", **NATIVE)
    assert reasons(heard, said) == {"a": "detached_duplicate", "b": "best_span"}
    more = fact("a", tokens=(2100, 17), **OI_CHAIN)
    assert all(call.billable for call in settle([more, said], {}))
    chain = fact("a", tokens=(1920, 17), scope_name="opentelemetry.instrumentation.genai.langchain")
    nested = settled(chain, fact("b", parent="a", tokens=(2048, 17), **NATIVE))
    assert (nested["a"].billing_reason, nested["b"].billing_reason) == ("best_span", "nested_duplicate")
    assert nested["a"].facts.usage.input == 2048


def test_a_client_inside_a_framework_is_its_call_unless_both_have_ids() -> None:
    outer = fact("a", tokens=(14, 18), response_id="chatcmpl-1", **OI_CHAIN)
    inner = fact("b", parent="a", tokens=(14, 17), **OI_CLIENT)
    assert sum(call.billable for call in settle([outer, inner], {})) == 1
    named = fact("b", parent="a", tokens=(14, 17), response_id="chatcmpl-2", **OI_CLIENT)
    assert sum(call.billable for call in settle([outer, named], {})) == 2
    several = [inner, fact("c", parent="a", tokens=(15, 17), **OI_CLIENT)]
    assert sum(call.billable for call in settle([outer, *several], {})) == 3


def test_cycles_and_missing_parents_do_not_hang() -> None:
    loop = [
        fact("a", parent="b", tokens=(1, 1)),
        fact("b", parent="a", tokens=(2, 2)),
        fact("c", parent="c", tokens=(3, 3)),
    ]
    assert sum(call.billable for call in settle(loop, {})) == 3
    lost = fact("d", parent="gone", tokens=(4, 4))
    assert reasons(lost, parents={("", "t", "gone"): "far", ("", "t", "far"): "gone"}) == {"d": "only_span"}


def test_a_very_deep_trace_is_settled() -> None:
    parents: dict[SpanKey, str | None] = {("", "t", f"s{n}"): f"s{n - 1}" for n in range(1, 20_000)}
    outer, inner = fact("s0", tokens=(14, 17)), fact("leaf", parent="s19999", tokens=(14, 17))
    assert reasons(outer, inner, parents=parents) == {"leaf": "best_span", "s0": "nested_duplicate"}
    tower = [fact(f"s{n}", parent=f"s{n - 1}" if n else None, tokens=(14, 17)) for n in range(3000)]
    assert sum(call.billable for call in settle(tower, {})) == 1


def test_explain_says_who_is_billed() -> None:
    outer = fact("a", tokens=(14, 17), **OI_CHAIN)
    inner = fact("b", parent="a", tokens=(14, 17), **OI_CLIENT)
    rollup = fact("r", tokens=(14, 17), rollup=True, start_ns=T0 + 1)
    told = {item.span_id: item for item in explain(settle([outer, inner, rollup], {}))}
    assert "span b" in told["a"].text
    assert told["a"].winner == ("", "t", "b")
    assert told["b"].billable
    assert told["r"].winner is None
    assert "sums up" in told["r"].text


def test_explain_does_not_guess_about_spans_it_was_not_given() -> None:
    outer = fact("a", trace_id="t", tokens=(14, 17), response_id="msg_01367ac64a16d19e", **TRACELOOP)
    inner = fact("b", trace_id="u", tokens=(14, 17), response_id="msg_01367ac64a16d19e", **NATIVE)
    calls = settle([outer, inner], {})
    assert "span b of trace u" in explain(calls)[0].text
    alone = [call for call in calls if call.own.trace_id == "t"]
    (item,) = explain(alone)
    assert (item.billable, item.winner, item.reason) == (False, None, "same_response_id")
    assert "another span" in item.text


def test_every_reason_has_words() -> None:
    assert all(text.format(winner="x").strip() for text in REASONS.values())


def make_span(span: str, parent: str | None) -> Span:
    return Span(trace_id="t", span_id=span, parent_span_id=parent, name="x", start_ns=T0, end_ns=T0 + 5)


def test_related_keys_name_traces_ids_and_times() -> None:
    keys = related_keys([make_span("a", None)], [fact("a", response_id="r1")])
    assert keys is not None
    assert (set(keys.trace_ids), set(keys.response_ids)) == ({("", "t")}, {("", "r1")})
    assert keys.start_ns < T0 < T0 + SECOND < keys.end_ns
    assert related_keys([make_span("a", None)], []) is None
    linking = related_keys([make_span("b", "a")], [])
    assert linking is not None
    assert set(linking.trace_ids) == {("", "t")}


def traces(neighbours: Neighbours, *facts: CallFacts, spans: Sequence[Span] = ()) -> set[str]:
    keys = neighbours.related_keys(spans, facts)
    return set() if keys is None else {trace for _, trace in keys.trace_ids}


def test_halves_in_two_batches_find_each_other_in_any_order() -> None:
    client = fact("b", trace_id="u", start_ns=T0 + 10, tokens=(14, 17), **OI_CLIENT)
    chain = fact("a", parent="x", tokens=(14, 17), **OI_CHAIN)
    for first, second in ((client, chain), (chain, client)):
        neighbours = Neighbours()
        assert traces(neighbours, first) == {first.trace_id}
        assert traces(neighbours, second) == {"t", "u"}
        late = make_span("c", "a")  # any later span of the chain's trace
        assert traces(neighbours, spans=[late]) == {"t", "u"}


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "acme"}, {"service_name": "other"}, {"status": "error"}, {"request_model": "claude"},
        {"parent_span_id": "p"}, {"end_ns": T0 + 3 * SECOND}, {"usage": Usage(input=1, output=1)},
        {"scope_name": "openinference.instrumentation.langchain"},
    ],
)  # fmt: skip
def test_strangers_are_not_looked_up(change: dict[str, Any]) -> None:
    neighbours = Neighbours()
    traces(neighbours, fact("a", tokens=(14, 17), **OI_CHAIN))
    stranger = replace(fact("b", trace_id="u", tokens=(14, 17), **OI_CLIENT), **change)
    assert traces(neighbours, stranger) == {"u"}
    named = fact("c", trace_id="v", response_id="chatcmpl-b1d5781111d8", tokens=(14, 17))
    assert traces(neighbours, named) == {"v"}


def test_the_memory_of_neighbours_is_bounded() -> None:
    neighbours = Neighbours()
    for number in range(600):
        pair: dict[str, Any] = {"tokens": (14, 17), "start_ns": T0 + number}
        traces(neighbours, fact("a", trace_id=f"t{number}", **pair, **OI_CHAIN))
        found = traces(neighbours, fact("b", trace_id=f"u{number}", **pair, **OI_CLIENT))
        assert len(found) <= 1 + 512 + 32
