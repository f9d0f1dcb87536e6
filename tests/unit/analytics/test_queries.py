"""Queries refuse what cannot be meant, and say what can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_analytics.errors import InvalidQueryError
from spanledger_analytics.queries import DIMENSIONS, MAX_NS, CallsQuery, Cursor, UsageQuery, Window


@pytest.mark.parametrize(("low", "high"), [(-1, 5), (5, 4), (0, MAX_NS + 1)])
def test_windows_run_forwards(low: int, high: int) -> None:
    with pytest.raises(InvalidQueryError, match="0 <= from <= to"):
        Window(low, high)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_limits_are_bounded(limit: int) -> None:
    with pytest.raises(InvalidQueryError, match="between 1 and 10000"):
        CallsQuery(limit=limit)
    with pytest.raises(InvalidQueryError, match="between 1 and 10000"):
        UsageQuery(limit=limit)


def test_an_unknown_dimension_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidQueryError) as refused:
        UsageQuery(by=("colour",))  # type: ignore[arg-type]  # what a client may send
    assert all(name in str(refused.value) for name in DIMENSIONS)


def test_other_senseless_usage_queries() -> None:
    with pytest.raises(InvalidQueryError, match="named twice"):
        UsageQuery(by=("tenant", "tenant"))
    with pytest.raises(InvalidQueryError, match="1 second to 366 days"):
        UsageQuery(bucket=0)
    with pytest.raises(InvalidQueryError, match="dimensions, cost, calls"):
        UsageQuery(order="colour")  # type: ignore[arg-type]  # what a client may send


@given(st.integers(0, MAX_NS), st.text(), st.text(), st.text())
def test_cursors_survive_the_trip(time_us: int, trace_id: str, span_id: str, tenant_id: str) -> None:
    cursor = Cursor(time_us=time_us, trace_id=trace_id, span_id=span_id, tenant_id=tenant_id)
    assert Cursor.decode(cursor.encode()) == cursor


@given(st.text() | st.text(alphabet="abcdefABCDEF0123456789-_", max_size=40))
def test_made_up_cursors_are_refused(text: str) -> None:
    with pytest.raises(InvalidQueryError, match="gave out"):
        Cursor.decode(text)


@pytest.mark.parametrize("text", ["WzEsMiwzLDRd", "W10", "bnVsbA", "WyIxIiwiYSIsImIiLCJjIl0", "Wy0xLCJhIiwiYiIsImMiXQ"])
def test_forged_cursors_are_refused(text: str) -> None:
    with pytest.raises(InvalidQueryError, match="gave out"):
        Cursor.decode(text)
