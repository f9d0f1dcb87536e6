"""What every span store must do, as a test class to subclass."""
# ruff: noqa: S101 - this is a test class, asserts are what it is made of

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_analytics import schema
from spanledger_analytics.memory import MemoryStore
from spanledger_analytics.ports import CallKeys, SpanStore
from spanledger_analytics.queries import DIMENSIONS, CallsQuery, Cursor, Dimension, Filters, UsageQuery, Window
from spanledger_analytics.records import Batch, Content, LogRecord, MetricPoint, Rejection, Score, Span
from spanledger_analytics.testing._samples import SECOND, T0, a_call, a_span, facts_of
from spanledger_analytics.testing._strategies import batches, calls, spans

_ALWAYS: Final = CallKeys(trace_ids=[], response_ids=[], start_ns=0, end_ns=2**62)
_random = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class SpanStoreContract:
    """Subclass it, implement :meth:`open`, and let pytest collect the subclass.

    The in-memory store is the oracle of the random tests.
    """

    def open(self) -> SpanStore:
        """Return a new, empty store; the test closes it."""
        raise NotImplementedError

    def _store(self) -> AbstractContextManager[SpanStore]:
        return closing(self.open())

    def test_is_empty_at_first(self) -> None:
        with self._store() as store:
            assert store.journal_position() == 0
            assert store.calls(CallsQuery()).num_rows == 0
            assert store.calls(CallsQuery()).schema == schema.LLM_CALLS.view
            assert store.trace("00" * 16).schema == schema.SPANS.view
            assert store.rejections().schema == schema.REJECTION_SUMMARY
            assert store.usage(UsageQuery(by=("model",))).num_rows == 0
            assert store.usage(UsageQuery()).to_pylist()[0]["calls"] == 0

    def test_returns_spans_as_received(self) -> None:
        sent = a_span(1, parent_span_id="ff" * 8, trace_state="k=v", flags=1, dropped_events=2)
        with self._store() as store:
            store.append(Batch(spans=[sent]))
            (row,) = store.trace(sent.trace_id).to_pylist()
        assert row["parent_span_id"] == "ff" * 8
        assert row["name"] == "chat gpt-5-mini"
        assert row["tenant_id"] == "acme"
        assert row["service_name"] == "shop"
        assert row["duration_ms"] == 1000.0
        assert row["attributes"] == (
            '{"gen_ai.request.model":"gpt-5-mini","list":[1,2.5,null],"deep":{"a":{"b":true}}}'
        )
        assert '"https://example.invalid/1"' in row["resource"]
        assert '"https://example.invalid/2"' in row["scope"]
        assert '"gen_ai.choice"' in row["events"]
        assert '"why":"retry"' in row["links"]
        assert (row["trace_state"], row["flags"], row["dropped_events"]) == ("k=v", 1, 2)

    def test_same_batch_twice_equals_once(self) -> None:
        batch = _full_batch()
        with self._store() as once, self._store() as twice:
            once.append(batch)
            first = twice.append(batch)
            second = twice.append(batch)
            assert _everything(once) == _everything(twice)
        assert (first.inserted_spans, first.duplicate_spans) == (2, 0)
        assert (second.inserted_spans, second.duplicate_spans) == (0, 2)

    def test_counts_duplicates_within_a_batch(self) -> None:
        with self._store() as store:
            receipt = store.append(Batch(spans=[a_span(1), a_span(1), a_span(2)]))
            assert (receipt.inserted_spans, receipt.duplicate_spans) == (2, 1)

    def test_later_end_wins(self) -> None:
        early, late = a_span(1, status="unset"), a_span(1, end_ns=T0 + 2 * SECOND, status="error")
        for order in ([early, late], [late, early]):
            with self._store() as store:
                for span in order:
                    store.append(Batch(spans=[span]))
                assert store.trace(late.trace_id)["status"].to_pylist() == ["error"]

    def test_equal_ends_are_settled_by_content_not_by_arrival(self) -> None:
        versions = [
            a_span(1),
            a_span(1, parent_span_id="ff" * 8),
            a_span(1, status="error"),
            a_span(1, attributes={}),
            a_span(1, dropped_links=7),
        ]
        for one in versions:
            for other in versions:
                assert self._last_of([[one], [other]]) == self._last_of([[other], [one]])
                assert self._last_of([[one], [other]]) == self._last_of([[other, one]])

    def _last_of(self, batches: list[list[Span]]) -> list[dict[str, Any]]:
        with self._store() as store:
            for sent in batches:
                store.append(Batch(spans=sent))
            return _rows(store.trace(a_span(1).trace_id))

    def test_owners_do_not_share_identities(self) -> None:
        with self._store() as store:
            store.append(Batch(spans=[a_span(1, owner="acme"), a_span(1, owner="zeta")]))
            trace_id = a_span(1).trace_id
            assert store.trace(trace_id)["tenant_id"].to_pylist() == ["acme", "zeta"]
            assert store.trace(trace_id, owner="zeta")["tenant_id"].to_pylist() == ["zeta"]
            assert store.trace(trace_id, owner="nobody").num_rows == 0

    def test_settling_again_replaces_a_call(self) -> None:
        first, again = a_call(1), a_call(1, billable=False, cost=None)
        longer = a_call(1, end_ns=T0 + 5 * SECOND)
        with self._store() as store:
            store.append(Batch(calls=[first]))
            store.append(Batch(calls=[again]))
            assert store.calls(CallsQuery())["billable"].to_pylist() == [False]
            store.append(Batch(calls=[longer]))
            store.append(Batch(calls=[again]))
            assert store.calls(CallsQuery())["duration_ms"].to_pylist() == [5000.0]

    def test_journal_position_moves_with_the_rows_and_never_back(self) -> None:
        with self._store() as store:
            store.append(Batch(spans=[a_span(1)], journal_position=10))
            assert store.journal_position() == 10
            store.append(Batch(spans=[a_span(2)]))
            store.append(Batch(spans=[a_span(3)], journal_position=7))
            assert store.journal_position() == 10
            assert all(store.trace(a_span(n).trace_id).num_rows == 1 for n in (1, 2, 3))

    def test_a_batch_that_fails_leaves_nothing(self) -> None:
        broken = a_span(2, name=object())
        with self._store() as store:
            with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the adapter raises, nothing may stay
                store.append(Batch(spans=[a_span(1), broken], calls=[a_call(1)], journal_position=5))
            assert store.journal_position() == 0
            assert store.trace(a_span(1).trace_id).num_rows == 0
            assert store.calls(CallsQuery()).num_rows == 0
            store.append(Batch(spans=[a_span(1)], journal_position=6))
            assert store.journal_position() == 6

    def test_survives_hostile_values(self) -> None:
        hostile = a_span(
            1,
            end_ns=2**64 - 1,
            name="lone \ud800 surrogate \x00 nul",
            attributes={"nan": math.nan, "big": 10**30, "raw": b"\xff", "\udfff": ["\ud800"], "__proto__": {"x": 1}},
        )
        call = replace(a_call(1, ttft_ns=-5, use_case="\ud800", http_status=-1), cost_usd=Decimal("NaN"))
        metric = MetricPoint(name="m", kind="gauge", time_ns=2**64, value=math.nan, total=math.inf, count=2**63)
        with self._store() as store:
            store.append(Batch(spans=[hostile, a_span(2)], calls=[call], metrics=[metric]))
            assert store.trace(hostile.trace_id)["name"].to_pylist() == ["lone ? surrogate \x00 nul"]
            assert store.trace(a_span(2).trace_id).num_rows == 1
            row = store.calls(CallsQuery()).to_pylist()[0]
            assert (row["use_case"], row["ttft_ms"], row["cost_usd"], row["http_status"]) == ("?", 0.0, None, None)
            assert store.related(replace(_ALWAYS, trace_ids=[("", call.own.trace_id)])).facts == [call.own]

    def test_money_is_exact(self) -> None:
        dimes = [a_call(n, cost="0.1") for n in range(1, 11)]
        with self._store() as store:
            store.append(Batch(calls=[*dimes, a_call(11, cost="0.0000000005"), a_call(12, cost="999999999.999999999")]))
            assert store.usage(UsageQuery())["cost_usd"].to_pylist() == [Decimal("1000000000.999999999")]

    def test_unknown_stays_unknown(self) -> None:
        silent = a_call(1, cost=None, usage=facts_of().usage.__class__(), ttft_ns=None, use_case=None)
        failed = a_call(2, cost=None, status="error", usage=silent.facts.usage)
        with self._store() as store:
            store.append(Batch(calls=[silent, failed, a_call(3, billable=False)]))
            (row,) = store.usage(UsageQuery(by=("use_case",))).to_pylist()
        assert (row["calls"], row["errors"], row["unpriced_calls"]) == (2, 1, 1)
        assert row["use_case"] is None
        assert row["cost_usd"] is None
        assert row["input_tokens"] is None
        assert row["p50_ttft_ms"] is None

    def test_percentiles_interpolate(self) -> None:
        lasting = [a_call(n, end_ns=T0 + n * 100 * SECOND // 1000) for n in range(1, 5)]
        with self._store() as store:
            store.append(Batch(calls=lasting))
            (row,) = store.usage(UsageQuery()).to_pylist()
        assert row["p50_duration_ms"] == pytest.approx(250.0)
        assert row["p95_duration_ms"] == pytest.approx(385.0)
        assert row["p99_duration_ms"] == pytest.approx(397.0)

    def test_buckets_align_to_utc(self) -> None:
        at = [T0 - 1, T0, T0 + 3600 * SECOND - 1, T0 + 3600 * SECOND]
        with self._store() as store:
            store.append(Batch(calls=[a_call(n, start_ns=t, end_ns=t + 5) for n, t in enumerate(at, 1)]))
            hours = _micros(store.usage(UsageQuery(bucket=3600)), "bucket")
            days = _micros(store.usage(UsageQuery(bucket=86_400)), "bucket")
            weeks = _micros(store.usage(UsageQuery(bucket=7 * 86_400)), "bucket")
        hour = 3600 * 10**6
        noon = T0 // 1000
        assert hours == [noon - hour, noon, noon + hour]
        assert days == [noon - 12 * hour]
        assert weeks == [noon - 36 * hour]  # Monday 2026-03-02

    def test_window_is_half_open_and_filters_compose(self) -> None:
        with self._store() as store:
            store.append(Batch(calls=[a_call(1), a_call(2, start_ns=T0 + 1, request_model=None, tenant_id="zeta")]))
            assert store.calls(CallsQuery(window=Window(T0, T0 + 1))).num_rows == 1
            assert store.calls(CallsQuery(filters=Filters(model="gpt-5-mini-2026-01-01"))).num_rows == 1
            assert store.calls(CallsQuery(filters=Filters(tenant="zeta", model="gpt-5-mini"))).num_rows == 0
            assert store.calls(CallsQuery(filters=Filters(tenant="nobody"))).num_rows == 0
            assert store.calls(CallsQuery(filters=Filters(owner="acme"))).num_rows == 0
            assert store.usage(UsageQuery(by=("model",), filters=Filters(tenant="nobody"))).num_rows == 0

    def test_related_is_closed_over_traces_and_response_ids(self) -> None:
        chain = [
            a_call(1, response_id="r1"),
            a_call(2, trace_id=f"{1:032x}", response_id="r2"),
            a_call(3, response_id="r2"),
            a_call(4, trace_id=f"{3:032x}", response_id=None),
            a_call(5, response_id="r9"),
            a_call(6, owner="zeta", response_id="r1"),
        ]
        parents = [a_span(1), a_span(7, trace_id=f"{3:032x}", parent_span_id=f"{3:016x}")]
        with self._store() as store:
            store.append(Batch(calls=chain, spans=parents))
            found = store.related(replace(_ALWAYS, response_ids=[("", "r1")]))
            outside = store.related(replace(_ALWAYS, response_ids=[("", "r1")], end_ns=T0 - 1))
        assert sorted(f.span_id for f in found.facts) == [f"{n:016x}" for n in (1, 2, 3, 4)]
        assert found.parents == {
            ("", f"{1:032x}", f"{1:016x}"): None,
            ("", f"{3:032x}", f"{7:016x}"): f"{3:016x}",
        }
        assert not outside.facts
        assert not outside.parents

    def test_pages_stay_put_when_rows_arrive_between_them(self) -> None:
        with self._store() as store:
            store.append(Batch(calls=[a_call(n, start_ns=T0 + n // 2) for n in range(1, 8)]))
            seen: list[str] = []
            cursor = None
            for round_ in range(1, 9):
                page = store.calls(CallsQuery(limit=2, cursor=cursor)).to_pylist()
                if not page:
                    break
                seen += [row["span_id"] for row in page]
                cursor = Cursor.decode(Cursor.after(page[-1]).encode())
                store.append(Batch(calls=[a_call(100 + round_, start_ns=T0 + 1000)]))
        assert sorted(seen) == [f"{n:016x}" for n in range(1, 8)]

    def test_rejections_are_counted(self) -> None:
        letter = Rejection(owner="", signal="traces", reason="bad id", service_name="shop", size=7, time_ns=T0)
        later = replace(letter, time_ns=T0 + SECOND)
        with self._store() as store:
            store.append(Batch(rejections=[letter, letter, replace(letter, owner="zeta", reason="too long")]))
            store.append(Batch(rejections=[later]))
            everyone, zeta = store.rejections().to_pylist(), store.rejections(owner="zeta").to_pylist()
        assert [(row["reason"], row["count"], row["size"]) for row in everyone] == [
            ("bad id", 3, 21),
            ("too long", 1, 7),
        ]
        assert everyone[0]["last_seen"] > everyone[0]["first_seen"]
        assert [row["reason"] for row in zeta] == ["too long"]

    @_random
    @given(st.lists(spans(), max_size=8), st.randoms(use_true_random=False), st.integers(1, 8))
    def test_order_of_arrival_never_matters(self, sent: list[Any], random: Any, size: int) -> None:
        shuffled = random.sample(sent, len(sent))
        with self._store() as store:
            for start in range(0, len(shuffled), size):
                store.append(Batch(spans=shuffled[start : start + size]))
            oracle = MemoryStore()
            oracle.append(Batch(spans=sent))
            assert _traces(store) == _traces(oracle)

    @_random
    @given(st.lists(batches(), max_size=4))
    def test_equals_the_oracle(self, sent: list[Batch]) -> None:
        oracle = MemoryStore()
        with self._store() as store:
            for batch in sent:
                assert store.append(batch) == oracle.append(batch)
            assert _everything(store) == _everything(oracle)
            keys = replace(_ALWAYS, response_ids=[("", "r1")], trace_ids=[("acme", f"{1:032x}")])
            assert _related(store, keys) == _related(oracle, keys)

    @_random
    @given(
        st.lists(calls(distinct=True), max_size=30),
        st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True),
        st.sampled_from([None, 1, 60, 3600, 7 * 3600, 86_400]),
        st.sampled_from(["dimensions", "cost", "calls"]),
        st.integers(1, 20),
    )
    def test_usage_equals_the_oracle(
        self, sent: Sequence[Any], by: list[Dimension], bucket: int | None, order: Any, limit: int
    ) -> None:
        query = UsageQuery(by=tuple(by), bucket=bucket, order=order, limit=limit)
        oracle = MemoryStore()
        with self._store() as store:
            store.append(Batch(calls=sent))
            oracle.append(Batch(calls=sent))
            found, expected = store.usage(query), oracle.usage(query)
        assert found.schema == expected.schema
        assert found.num_rows == expected.num_rows
        assert all(map(_alike, _rows(found), _rows(expected)))


def _full_batch() -> Batch:
    letter = Rejection(owner="", signal="logs", reason="bad", time_ns=T0)
    return Batch(
        spans=[a_span(1), a_span(2)],
        calls=[a_call(1)],
        contents=[Content(owner="", tenant_id="acme", trace_id="t", span_id="s", time_ns=T0, kind="input", text="hi")],
        logs=[LogRecord(time_ns=T0, body={"a": 1}), LogRecord(time_ns=T0, body={"a": 1})],
        metrics=[MetricPoint(name="m", kind="sum", time_ns=T0, value=1.5)],
        scores=[Score(owner="", tenant_id="acme", trace_id="t", span_id="s", time_ns=T0, name="relevance", value=1.0)],
        rejections=[letter, letter],
        journal_position=3,
    )


def _everything(store: SpanStore) -> Any:
    return (
        _rows(store.calls(CallsQuery(limit=1000))),
        _traces(store),
        _rows(store.rejections()),
        store.journal_position(),
    )


def _traces(store: SpanStore) -> list[Any]:
    return [_rows(store.trace(f"{trace:032x}")) for trace in range(1, 7)]


def _related(store: SpanStore, keys: CallKeys) -> Any:
    found = store.related(keys)
    return sorted(map(repr, found.facts)), dict(found.parents)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


def _micros(table: pa.Table, name: str) -> list[int | None]:
    return table[name].cast(pa.int64()).to_pylist()


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compare rows, floats but for the last bits: interpolation may be spelt in several ways."""
    return all(
        math.isclose(value, other[name], rel_tol=1e-12) if isinstance(value, float) else value == other[name]
        for name, value in one.items()
    )
