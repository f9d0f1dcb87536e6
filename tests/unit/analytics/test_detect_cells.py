"""The leaf table: sums that are the same however the calls came."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_analytics.detect import AT, CALL_COLUMNS, MINUTE_NS, Cells, Leaf, cells_of, merge
from spanledger_analytics.schema import LLM_CALLS

T0 = 29_500_000 * MINUTE_NS


def call(**given: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(CALL_COLUMNS)
    return row | {"owner": "", "start_ns": T0, "model": "gpt-4o", "status": "ok", "trace_id": "t"} | given


def table(rows: list[dict[str, Any]]) -> pa.Table:
    shape = pa.schema([LLM_CALLS.arrow.field(name) for name in CALL_COLUMNS])
    return pa.Table.from_pylist(rows, schema=shape)


def plain(cells: Cells) -> dict[tuple[Leaf, int], list[int]]:
    rows = zip(cells.leaf.tolist(), cells.minute.tolist(), cells.values.tolist(), strict=True)
    return {(cells.leaves[leaf], minute): values for leaf, minute, values in rows}


def facets(cells: Cells) -> set[tuple[Leaf, int, int, str, int]]:
    one = cells.facets
    columns = (one.leaf.tolist(), one.minute.tolist(), one.kind.tolist(), one.text, one.calls.tolist())
    rows = zip(*columns, strict=True)
    return {(cells.leaves[row[0]], *row[1:]) for row in rows}


calls = st.builds(
    call,
    start_ns=st.integers(0, 5 * 60).map(lambda seconds: T0 + seconds * 1_000_000_000),
    tenant_id=st.sampled_from([None, "acme", "globex"]),
    model=st.sampled_from(["gpt-4o", "claude"]),
    user_id=st.sampled_from([None, "u1", "u2"]),
    status=st.sampled_from(["ok", "error"]),
    finish_reason=st.sampled_from([None, "stop", "length"]),
    trace_id=st.uuids().map(str),
    input_tokens=st.none() | st.integers(0, 10**6),
    output_tokens=st.none() | st.integers(0, 10**5),
    cache_read_tokens=st.none() | st.integers(0, 10**5),
    duration_ms=st.none() | st.floats(0, 1e6),
    cost_usd=st.none() | st.integers(0, 10**12).map(lambda nano: Decimal(nano).scaleb(-9)),
    response_model=st.sampled_from([None, "a", "b"]),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(calls, max_size=30), st.randoms(use_true_random=False), st.integers(1, 4))
def test_cells_do_not_depend_on_order_or_batches(rows: list[dict[str, Any]], random: Any, batches: int) -> None:
    whole = cells_of(table(rows))
    shuffled = random.sample(rows, len(rows))
    parts = merge([cells_of(table(shuffled[place::batches])) for place in range(batches)])
    assert plain(parts) == plain(whole)
    assert facets(parts) == facets(whole)


@settings(deadline=None, max_examples=20)
@given(st.lists(calls, max_size=20))
def test_sums_are_the_calls(rows: list[dict[str, Any]]) -> None:
    cells = cells_of(table(rows))
    sums = cells.values.sum(axis=0)
    known = [row for row in rows if row["status"] == "ok" and None not in (row["input_tokens"], row["output_tokens"])]
    assert sums[AT["calls"]] == len(rows)
    assert sums[AT["errors"]] == sum(row["status"] == "error" for row in rows)
    assert sums[AT["input"]] == sum(row["input_tokens"] for row in known)
    assert sums[AT["cost"]] == sum(int(row["cost_usd"] * 10**9) for row in known if row["cost_usd"] is not None)
    assert sums[[AT[f"user_{bucket}"] for bucket in range(8)]].sum() == sum(row["user_id"] is not None for row in rows)


def test_a_call_after_a_failed_one_in_the_same_place_is_a_retry() -> None:
    second = 1_000_000_000
    rows = [
        call(status="error", parent_span_id="p"),
        call(start_ns=T0 + second, parent_span_id="p"),
        call(start_ns=T0 + 2 * second, parent_span_id="p"),
        call(start_ns=T0 + second, parent_span_id="q"),
        call(start_ns=T0 + 3 * second, parent_span_id="p", model="other"),
        call(start_ns=T0, trace_id="u", status="error"),
        call(start_ns=T0 + 301 * second, trace_id="u"),
    ]
    assert cells_of(table(rows)).values[:, AT["retries"]].sum() == 1


def test_minutes_of_an_owner_can_be_taken_out_and_put_back() -> None:
    rows = [call(owner=owner, start_ns=T0 + minute * MINUTE_NS) for owner in ("a", "b") for minute in range(4)]
    cells = cells_of(table(rows))
    gone = {("a", T0 // MINUTE_NS + 1)}
    rest = cells.without(gone)
    again = merge([rest, cells_of(table([rows[1]]))])
    assert len(rest) == len(cells) - 1
    assert plain(again) == plain(cells)
    assert facets(again) == facets(cells)


def test_nothing_adds_up_to_nothing() -> None:
    assert len(merge([])) == len(cells_of(table([]))) == len(Cells.empty()) == 0


@pytest.mark.parametrize("bound", [0, 2, 9])
def test_a_stretch_of_minutes_and_the_rest_are_the_whole(bound: int) -> None:
    cells = cells_of(table([call(start_ns=T0 + minute * MINUTE_NS) for minute in range(5)]))
    first = T0 // MINUTE_NS
    parts = [cells.between(0, first + bound), cells.between(first + bound, first + 99)]
    assert plain(merge(parts)) == plain(cells)
    assert np.array_equal(merge(parts).minute, cells.minute)
