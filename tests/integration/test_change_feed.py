"""A consumer that follows the feed of changes has, at any time it asks, what a look at all calls would give."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_analytics import schema
from spanledger_analytics.queries import CallsQuery, Window
from spanledger_analytics.records import Batch, Call
from spanledger_analytics.testing import SECOND, T0, facts_of
from spanledger_ingest.reprice import Repricing
from spanledger_ingest.settle import settle
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

MINUTE = 60 * SECOND
Cells = dict[tuple[str, int], Decimal]


def open_store(path: Path) -> DuckDBStore:
    return DuckDBStore(path / "spanledger.duckdb", DatabaseConfig(threads=1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    with closing(open_store(tmp_path)) as opened:
        yield opened


def calls_of(n: int, *, owner: str = "acme", minute: int = 0, cost: int = 1, ends: int = 1) -> list[Call]:
    start = T0 + minute * MINUTE
    facts = facts_of(n, owner=owner, start_ns=start, end_ns=start + ends * SECOND)
    return [replace(call, cost_usd=Decimal(cost)) for call in settle([facts], {})]


def cells(store: DuckDBStore) -> Cells:
    found: Cells = {}
    for row in store.calls(CallsQuery(limit=10_000)).to_pylist():
        minute = int(row["time"].timestamp()) * SECOND // MINUTE * MINUTE
        key = (str(row["tenant_id"]), minute)
        found[key] = found.get(key, Decimal(0)) + (row["cost_usd"] or 0)
    return found


class Consumer:
    """Sums of minutes, kept by the feed alone."""

    def __init__(self) -> None:
        self.revision = 0
        self.cells: Cells = {}

    def follow(self, store: DuckDBStore, limit: int = 3) -> None:
        more = True
        while more:
            changes = store.changes(self.revision, limit)
            if changes.whole:
                self.cells.clear()
            now = cells(store)
            for owner, minute in zip(*(column.to_pylist() for column in changes.minutes.columns), strict=True):
                self.cells.pop((owner, minute), None)
                if (owner, minute) in now:
                    self.cells[owner, minute] = now[owner, minute]
            self.revision, more = changes.revision, changes.more


STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 5), st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 4)),
    st.tuples(st.just("reprice"), st.integers(2, 9)),
    st.tuples(st.sampled_from(["follow", "restart", "forget"])),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=12))
def test_a_consumer_has_what_a_look_at_everything_gives(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store, consumer = open_store(Path(directory)), Consumer()
        for step in steps:
            match step:
                case ("append", int(n), str(owner), int(minute), int(ends)):
                    store.append(Batch(calls=calls_of(n, owner=owner, minute=minute, ends=ends)))
                case ("reprice", int(cost)):
                    dearer = Repricing(store, settle, lambda call, cost=cost: replace(call, cost_usd=Decimal(cost)))  # type: ignore[misc]
                    dearer.step(Window(0, T0 + 9 * MINUTE))
                case ("follow",):
                    consumer.follow(store)
                case ("forget",):
                    store.forget_changes(2**62)
                case _:
                    store.close()
                    store = open_store(Path(directory))
        consumer.follow(store)
        assert consumer.cells == cells(store)
        assert store.changes(consumer.revision).minutes.num_rows == 0
        store.close()


def test_a_call_that_moves_to_another_minute_touches_both(store: DuckDBStore) -> None:
    store.append(Batch(calls=calls_of(1, minute=0)))
    seen = store.changes(0).revision
    store.append(Batch(calls=calls_of(1, minute=3)))
    changes = store.changes(seen)
    assert changes.minutes["minute_ns"].to_pylist() == [T0 // MINUTE * MINUTE, T0 // MINUTE * MINUTE + 3 * MINUTE]
    assert not changes.whole


def test_who_was_away_for_too_long_gets_everything(store: DuckDBStore) -> None:
    store.append(Batch(calls=calls_of(1, minute=0)))
    old = store.changes(0).revision
    for minute in (1, 2):
        store.append(Batch(calls=calls_of(1 + minute, minute=minute)))
    assert store.changes(old).minutes.num_rows == 2
    store.forget_changes(2**62)
    everything = store.changes(old)
    assert everything.whole
    assert everything.minutes.num_rows == 3
    assert not store.changes(everything.revision).whole


def test_a_watermark_from_the_future_of_a_restored_store_starts_anew(store: DuckDBStore) -> None:
    store.append(Batch(calls=calls_of(1)))
    assert store.changes(2**62).whole


def anomalies(*rows: tuple[str, float]) -> pa.Table:
    table: pa.Table = pa.Table.from_pylist(
        [{"owner": "a", "id": identity, "observed": observed} for identity, observed in rows],
        schema=schema.ANOMALIES.arrow,
    )
    return table


def test_rows_of_derived_tables_replace_those_of_their_key(store: DuckDBStore) -> None:
    query = "SELECT id, observed FROM anomalies ORDER BY id"
    store.put_rows(schema.ANOMALIES, anomalies(("x", 1), ("y", 1)), key=("owner", "id"))
    store.put_rows(schema.ANOMALIES, anomalies(("y", 2), ("z", 2)), key=("owner", "id"))
    assert store.run_sql(query).to_pydict() == {"id": ["x", "y", "z"], "observed": [1, 2, 2]}
    store.replace_rows(schema.ANOMALIES, anomalies(("q", 3)))
    assert store.run_sql(query).to_pydict() == {"id": ["q"], "observed": [3]}
