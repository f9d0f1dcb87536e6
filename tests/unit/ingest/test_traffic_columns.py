"""Generated traffic as columns: the rows that the service would store, whoever makes them and in whatever pieces."""

import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_analytics.rows import call_row
from spanledger_analytics.schema import LLM_CALLS
from spanledger_ingest.normalise import normalise
from spanledger_ingest.otlp import decode
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.settle import settle
from spanledger_ingest.traffic import HOUR_NS, Ledger, LoadError, World, build_world, calls, generate, generate_hour

_PUBLIC: Final = [column.name for column in LLM_CALLS.columns if column.name != "own"]
# The rows of a seed. If this changes, raise `VERSION` in traffic/_ledger.py.
GOLDEN: Final = {
    ("seasonal", 30): "7844ef34ed037a082e5d6dc09a861d897461daad2832bde77c6d55209cc462b7",
    ("seasonal", 1400): "8f1add83e3afcb2af18df87cef2604cc13e2a692e0b47c8e4170d557d996fb11",
    ("wild", 700): "b49e643e983f4d64d7233e327e6a2e7849628c5b5e92838fd9d062e21e9e680c",
}


def digest(world: World, hour: int) -> str:
    """A hash of an hour's rows, of what an Arrow release cannot change."""
    columns = [name for name in _PUBLIC if name != "price_id"]  # it names the release of the price list
    return sha256(repr(calls(world, hour, hour + 1, columns=columns).to_pylist()).encode()).hexdigest()


def stored(bodies: list[bytes]) -> list[dict[str, Any]]:
    """The rows that the service makes of OTLP bodies, by span id."""
    book, facts, parents = PriceBook.build(), {}, {}
    for body in bodies:
        for span in decode("traces", body, "protobuf", "").spans:
            parents[span.owner, span.trace_id, span.span_id] = span.parent_span_id
            found = normalise(span).facts
            if found is not None:
                facts[found.trace_id, found.span_id] = found
    rows = [
        dict(zip(LLM_CALLS.arrow.names, call_row(book.price(call)), strict=True))
        for call in settle(facts.values(), parents)
    ]
    return sorted(rows, key=lambda row: row["span_id"])


def made(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a table as `stored` has them."""
    times = table["start_ns"].to_numpy() // 1000
    rows = [row | {"time": int(time)} for row, time in zip(table.to_pylist(), times, strict=True)]
    return sorted(rows, key=lambda row: row["span_id"])


def without_own(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in _PUBLIC} for row in rows]


@pytest.fixture(scope="module")
def full() -> World:
    return build_world(3, days=28, tenants=40, calls_per_day=10_000, incidents="full")


@pytest.fixture(scope="module")
def faulty() -> World:
    return build_world(4, days=3, calls_per_day=4000, faults=True)


def test_the_columns_are_what_the_service_stores_of_the_spans(full: World) -> None:
    hours = {full.hours.index((i.onset_ns + i.end_ns) // 2 // HOUR_NS): i.kind for i in full.incidents}
    chosen = sorted({kind: hour for hour, kind in hours.items()}.values())
    assert len(chosen) == 9
    for hour in (0, 36, *chosen):
        table = calls(full, hour, hour + 1)
        assert table.schema == LLM_CALLS.arrow
        assert without_own(made(table)) == without_own(stored(generate_hour(full, full.hours[hour]).bodies))


def test_rows_do_not_depend_on_where_one_begins(full: World) -> None:
    whole = calls(full, 500, 530)
    pieces = pa.concat_tables([calls(full, 500, 501), calls(full, 501, 513), calls(full, 513, 530)])
    assert whole.sort_by("span_id").equals(pieces.sort_by("span_id"))


def test_a_tenant_does_not_depend_on_the_others() -> None:
    few, many = (build_world(1, days=2, tenants=n, calls_per_day=n * 100, incidents="none") for n in (1, 400))
    assert len({tenant.id for tenant in many.tenants}) == 400
    assert few.tenants[0].id == many.tenants[0].id


def test_chosen_columns_are_those_of_the_whole(full: World) -> None:
    chosen = ["model", "start_ns", "cost_usd"]
    assert calls(full, 400, 402, columns=chosen).equals(calls(full, 400, 402).select(chosen))


def test_an_empty_part_has_the_schema(full: World) -> None:
    assert calls(full, 5, 5).equals(LLM_CALLS.arrow.empty_table())


@pytest.mark.parametrize(("mode", "hour"), GOLDEN)
def test_the_rows_of_a_seed_never_change(mode: Any, hour: int) -> None:
    world = build_world(1, days=60, tenants=30, calls_per_day=8000, mode=mode, incidents="full")
    assert digest(world, hour) == GOLDEN[mode, hour]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_makes_the_same(hash_seed: str) -> None:
    script = (
        "from hashlib import sha256\n"
        "from spanledger_ingest.traffic import build_world, calls, generate_hour\n"
        "world = build_world(6, days=12, calls_per_day=3000, incidents='full', faults=True)\n"
        "rows = repr(calls(world, 200, 206).to_pylist()) + repr(world.truth)\n"
        "print(sha256(rows.encode() + b''.join(generate_hour(world, world.hours[200]).bodies)).hexdigest())\n"
    )
    world = build_world(6, days=12, calls_per_day=3000, incidents="full", faults=True)
    rows = repr(calls(world, 200, 206).to_pylist()) + repr(world.truth)
    expected = sha256(rows.encode() + b"".join(generate_hour(world, world.hours[200]).bodies)).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_late_and_doubled_spans_change_no_total(faulty: World) -> None:
    hours = list(generate(faulty))
    ledger = Ledger()
    for hour in hours:
        ledger.merge(hour.ledger)
    bodies = [body for hour in hours for body in hour.bodies]
    sent = [span.span_id for body in bodies for span in decode("traces", body, "protobuf", "").spans]
    assert ledger.spans == len(set(sent)) < len(sent)
    rows = stored(bodies)
    assert len(rows) == ledger.total.calls
    assert without_own(rows) == without_own(made(calls(faulty)))
    assert sum(int(row["cost_usd"] * 10**9) for row in rows if row["cost_usd"]) == ledger.total.cost_nano_usd


def test_some_spans_are_late_and_none_is_early(faulty: World) -> None:
    late = total = 0
    for hour in generate(faulty):
        for body in hour.bodies:
            for span in decode("traces", body, "protobuf", "").spans:
                if span.parent_span_id is None:
                    behind = hour.hour - (span.start_ns + 5 * 10**9) // HOUR_NS
                    assert behind <= 2
                    late += behind >= 1
                    total += 1
    assert 0.005 < late / total < 0.03


def test_clocks_are_off_by_up_to_five_seconds(faulty: World) -> None:
    right = replace(faulty, faults=False)
    true = {row["span_id"]: row["start_ns"] for row in calls(right, columns=["span_id", "start_ns"]).to_pylist()}
    told = {row["span_id"]: row["start_ns"] for row in calls(faulty, columns=["span_id", "start_ns"]).to_pylist()}
    assert true.keys() == told.keys()
    off = {told[span] - true[span] for span in true}
    assert max(map(abs, off)) <= 5 * 10**9
    assert len(off) > 4


def test_an_outage_loses_a_service_and_is_listed() -> None:
    world = build_world(7, days=14, calls_per_day=8000, faults=True, incidents="none")
    gaps = [entry for entry in world.truth["not_incidents"] if entry["kind"] == "telemetry_gap"]
    assert len(gaps) == len(world.life.outages) > 0
    for outage in world.life.outages:
        first = world.hours.index(outage.onset_ns // HOUR_NS)
        table = calls(world, first, first + 3, columns=["service_name", "start_ns", "end_ns"])
        ended = table["end_ns"].to_numpy()
        inside = (ended >= outage.onset_ns + 60 * 10**9) & (ended < outage.end_ns - 60 * 10**9)
        assert outage.service not in table.filter(pa.array(inside))["service_name"].to_pylist()


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Three clients over a week: one steady, one that wakes at noon, one in the second half only."""
    rate = np.zeros((4, 1008), dtype=np.float32)
    rate[0] = 10.0
    rate[1, 72::144] = 500.0
    rate[2, 504:] = 5.0
    tok = np.full((4, 4, 28), np.nan, dtype=np.float32)
    tok[0, 0], tok[0, 2] = 1000.0, 200.0
    tok[0, 0, 14:] = 3000.0
    path = tmp_path / "load.npz"
    np.savez(path, rate=rate, tok=tok)
    return path


def test_a_wild_world_follows_a_recorded_load(recorded: Path) -> None:
    world = build_world(2, days=7, tenants=3, calls_per_day=9000, mode="wild", load=recorded, incidents="none")
    table = calls(world, columns=["tenant_id", "start_ns"])
    assert table.num_rows == pytest.approx(63_000, rel=0.15)
    bins = table["start_ns"].to_numpy() // (HOUR_NS // 6)
    names = np.array(table["tenant_id"].to_pylist())
    busy = {tenant.id: len(set(bins[names == tenant.id].tolist())) for tenant in world.tenants}
    assert sorted(count > 900 for count in busy.values()) == [False, False, True]
    assert 5 <= min(busy.values()) <= 8


def test_the_tokens_of_a_recorded_load_move_with_it(recorded: Path) -> None:
    world = build_world(2, days=7, tenants=3, calls_per_day=9000, mode="wild", load=recorded, incidents="none")
    steady = max(world.tenants, key=lambda tenant: tenant.requests_per_hour * (tenant.client == 0))
    table = calls(world, columns=["tenant_id", "input_tokens", "start_ns"])
    mine = table.filter(pa.array(np.array(table["tenant_id"].to_pylist()) == steady.id))
    days = mine["start_ns"].to_numpy() // (24 * HOUR_NS)
    tokens = np.array([value or 0 for value in mine["input_tokens"].to_pylist()])
    means = [tokens[days == day].mean() for day in sorted(set(days.tolist()))]
    assert max(means) > 2 * min(means)


@pytest.mark.parametrize("content", ["nothing", "other", "negative"])
def test_what_is_no_load_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "load.npz"
    if content == "other":
        np.savez(path, volume=np.ones((2, 2)))
    elif content == "negative":
        np.savez(path, rate=-np.ones((2, 2)))
    with pytest.raises(LoadError, match="no load"):
        build_world(1, mode="wild", load=path)


def test_only_a_wild_world_follows_a_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wild"):
        build_world(1, load=tmp_path / "load.npz")


def test_the_wild_process_is_wilder_than_the_seasonal_one() -> None:
    jumps = {}
    for mode in ("seasonal", "wild"):
        world = build_world(9, days=7, tenants=12, calls_per_day=40_000, mode=mode, incidents="none")
        starts = calls(world, columns=["start_ns"])["start_ns"].to_numpy() // HOUR_NS
        hourly = np.bincount(starts - starts.min())
        same_hour = np.corrcoef(hourly[:-24], hourly[24:])[0, 1]
        jumps[mode] = same_hour
    assert jumps["seasonal"] > jumps["wild"] + 0.1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**63), st.integers(1, 400), st.sampled_from(["seasonal", "wild"]), st.integers(0, HOUR_NS))
def test_any_world_keeps_its_books(seed: int, tenants: int, mode: Any, shift: int) -> None:
    world = build_world(
        seed, end_ns=1_790_812_800_000_000_000 + shift, days=1, tenants=tenants, calls_per_day=200, mode=mode
    )
    ledger = Ledger()
    for place, hour in enumerate(world.hours):
        if place % 6 == 0:
            part = generate_hour(world, hour)
            ledger.merge(part.ledger)
            table = calls(world, place, place + 1)
            assert table.num_rows == part.ledger.total.calls
            assert set(table["tenant_id"].to_pylist()) == set(part.ledger.tenants)
    assert ledger.total.calls == sum(totals.calls for totals in ledger.models.values())
