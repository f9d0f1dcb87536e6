"""The store's memory of recent keys may claim too much; it never forgets a row that a batch must be compared with."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_analytics.records import Batch, Span
from spanledger_ingest.store import DuckDBStore, _recent
from spanledger_ingest.store._recent import MINUTE_NS, RecentKeys, stretches, within

T0 = 29_000_000 * MINUTE_NS
KEYS = st.integers(0, 2**64 - 1)
STARTS = st.integers(-120, 120).map(lambda minutes: T0 + minutes * MINUTE_NS + 1)


def hashes(*keys: int) -> _recent.Hashes:
    return np.array(keys, np.uint64)


def covers(times: list[tuple[int, int]], moment: int) -> bool:
    return any(low <= moment <= high for low, high in times)


@given(st.lists(st.tuples(KEYS, STARTS), min_size=1, max_size=30), st.integers(0, 29))
def test_what_was_added_is_found_where_it_is(rows: list[tuple[int, int]], chosen: int) -> None:
    recent = RecentKeys()
    for key, start in rows:
        recent.add(hashes(key), [start])
    key, start = rows[chosen % len(rows)]
    hit, times = recent.look_up(hashes(key), [(start - MINUTE_NS, start + MINUTE_NS)])
    assert hit.tolist() == [True]
    assert covers(times, start)


def test_what_was_never_added_is_hardly_ever_found() -> None:
    recent = RecentKeys()
    known = np.random.default_rng(1).integers(0, 2**64, 500_000, np.uint64)
    recent.add(known, [T0])
    others = np.random.default_rng(2).integers(0, 2**64, 100_000, np.uint64)
    hit, _ = recent.look_up(others, [(T0, T0)])
    assert hit.sum() < 20
    assert recent.look_up(known, [(T0, T0)])[0].all()
    assert recent.look_up(known, [(T0 + MINUTE_NS, T0 + MINUTE_NS)])[1] == []


def test_filters_that_were_dropped_leave_their_time_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recent, "_MAX_FILTERS", 2)
    monkeypatch.setattr(_recent, "_CAPACITY", 1)
    recent = RecentKeys()
    for number in range(5):
        recent.add(hashes(number), [T0 + number * 2 * MINUTE_NS])
    hit, times = recent.look_up(hashes(10**9), [(T0, T0 + 20 * MINUTE_NS)])
    assert hit.all()
    assert covers(times, T0)
    assert covers(times, T0 + 4 * MINUTE_NS)
    assert not covers(times, T0 + 8 * MINUTE_NS)


def test_rows_from_before_the_load_are_read() -> None:
    recent = RecentKeys()
    recent.forget_before(T0 // MINUTE_NS)
    assert recent.look_up(hashes(1), [(T0 - 5, T0 + 5)])[1] == [(T0 - 5, T0 - 1)]
    assert recent.look_up(hashes(1), [(T0, T0 + 5)])[1] == []


@given(st.sets(st.integers(0, 500), max_size=40))
def test_stretches_cover_every_minute_and_are_few(minutes: set[int]) -> None:
    found = stretches(minutes)
    assert len(found) <= 8
    assert all(covers(found, minute * MINUTE_NS) and covers(found, (minute + 1) * MINUTE_NS - 1) for minute in minutes)
    assert within(found, "t") == "false" if not minutes else " AND " in within(found, "t")


def test_duplicates_are_known_after_a_restart_however_much_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [
        Span(
            trace_id=f"{n:032x}", span_id=f"{n:016x}", name="x", start_ns=T0 + n * MINUTE_NS, end_ns=T0 + n * MINUTE_NS
        )
        for n in range(1, 200, 7)
    ]
    for loaded in (10_000, 3):
        monkeypatch.setattr(_recent, "_LOADED_ROWS", loaded)
        store = DuckDBStore(tmp_path / f"{loaded}.duckdb")
        assert store.append(Batch(spans=spans)).inserted_spans == len(spans)
        store.close()
        store = DuckDBStore(tmp_path / f"{loaded}.duckdb")
        assert store.append(Batch(spans=spans)).duplicate_spans == len(spans)
        store.close()
