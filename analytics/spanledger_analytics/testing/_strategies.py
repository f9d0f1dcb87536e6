"""Hypothesis strategies for records: few identities, so that they collide; few values, so that groups fill."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from spanledger_analytics.records import Batch, Call, CallFacts, CostStatus, Span, Usage
from spanledger_analytics.testing._samples import SECOND, T0, a_span

_OWNERS = st.sampled_from(["", "acme", "zeta"])
_STARTS = st.integers(0, 3_000).map(lambda second: T0 + second * SECOND + 1_234)
_TOKENS = st.none() | st.integers(0, 5_000)
_NUMBERS = st.integers(1, 6)


def spans() -> st.SearchStrategy[Span]:
    """Spans of a few identities that differ in time, status, parent and attributes."""
    return st.builds(
        _span,
        trace=st.integers(1, 2),
        number=_NUMBERS,
        owner=_OWNERS,
        start_ns=_STARTS,
        lasts_ns=st.integers(0, 3).map(lambda n: n * SECOND),
        status=st.sampled_from(["unset", "ok", "error"]),
        parent_span_id=st.none() | _NUMBERS.map(lambda n: f"{n:016x}"),
        attributes=st.dictionaries(st.sampled_from(["a", "tenant.id"]), st.sampled_from(["x", "y"]), max_size=2),
    )


def _span(*, trace: int, number: int, start_ns: int, lasts_ns: int, **changes: Any) -> Span:
    return a_span(number, trace_id=f"{trace:032x}", start_ns=start_ns, end_ns=start_ns + lasts_ns, **changes)


def usages() -> st.SearchStrategy[Usage]:
    """Token counts, any of them unknown."""
    return st.builds(Usage, **dict.fromkeys(Usage.__dataclass_fields__, _TOKENS))


def facts(*, distinct_numbers: bool = False) -> st.SearchStrategy[CallFacts]:
    """Facts of a few spans, tenants, models and response ids."""
    return st.builds(
        CallFacts,
        owner=_OWNERS,
        trace_id=st.integers(1, 4).map(lambda n: f"{n:032x}"),
        span_id=(st.integers(1, 2**60) if distinct_numbers else _NUMBERS).map(lambda n: f"{n:016x}"),
        parent_span_id=st.none() | _NUMBERS.map(lambda n: f"{n:016x}"),
        start_ns=_STARTS,
        end_ns=st.integers(3_000, 5_000).map(lambda second: T0 + second * SECOND + 77),
        tenant_id=st.sampled_from([None, "acme", "umbra"]),
        use_case=st.sampled_from([None, "support", "Zürich", ""]),
        provider=st.sampled_from(["openai", "anthropic"]),
        request_model=st.sampled_from([None, "gpt-5-mini", "claude"]),
        response_model=st.sampled_from([None, "gpt-5-mini-2026"]),
        response_id=st.sampled_from([None, "r1", "r2", "r3"]),
        prompt_name=st.sampled_from([None, "greeting"]),
        prompt_version=st.sampled_from([None, "v1", "v2"]),
        usage=usages(),
        usage_source=st.sampled_from(["provider", "estimated", "missing"]),
        finish_reason=st.sampled_from([None, "stop", "length"]),
        stream=st.sampled_from([None, True, False]),
        ttft_ns=st.none() | st.integers(0, 10**10),
        status=st.sampled_from(["ok", "ok", "error"]),
        error_type=st.sampled_from([None, "timeout"]),
    )


def any_facts() -> st.SearchStrategy[CallFacts]:
    """Facts with any value that their types admit, for codecs."""
    text = st.text(st.characters(codec=None), max_size=8)
    money = st.none() | st.decimals(allow_nan=False, allow_infinity=False)
    return st.builds(CallFacts, reported_cost_usd=money, finish_reasons_raw=st.lists(text, max_size=3).map(tuple))


def calls(*, distinct: bool = False) -> st.SearchStrategy[Call]:
    """Settled calls, billed or not, priced or not; ``distinct`` ones hardly ever share an identity."""
    return st.builds(
        _call,
        said=facts(distinct_numbers=distinct),
        billable=st.sampled_from([True, True, False]),
        cost=st.none() | st.integers(0, 10**12).map(lambda nano: Decimal(nano).scaleb(-9)),
    )


def _call(*, said: CallFacts, billable: bool, cost: Decimal | None) -> Call:
    status: CostStatus = "priced" if cost is not None else "unpriced_model"
    return Call(facts=said, own=said, billable=billable, billing_reason="", cost_usd=cost, cost_status=status)


def batches() -> st.SearchStrategy[Batch]:
    """Batches of colliding spans and calls."""
    return st.builds(Batch, spans=st.lists(spans(), max_size=6), calls=st.lists(calls(), max_size=6))
