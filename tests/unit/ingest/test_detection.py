"""The detector in the service: late, doubled, shuffled, killed, it ends the same."""

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spanledger_analytics import schema
from spanledger_analytics.detect import AT, CALL_COLUMNS, MINUTE_NS, Planned
from spanledger_analytics.ports import Changes
from spanledger_analytics.queries import Window
from spanledger_ingest.auth import StateDb
from spanledger_ingest.detection._leaf_table import RETRY_MINUTES, LeafTable, read_cells
from spanledger_ingest.detection.area import Detection, DetectorTables, configured_changes, looked_again, options_of
from spanledger_ingest.settings import DetectionConfig, SettingsError

START = 29_505_600
HOURS = 30
ONSET, END = START + 27 * 60, START + HOURS * 60
SHAPE = pa.schema([schema.LLM_CALLS.arrow.field(name) for name in CALL_COLUMNS])


class CrashError(Exception):
    """The process is killed."""


class FakeStore:
    """Keeps calls and findings in memory; dies when told to."""

    def __init__(self) -> None:
        self.rows = SHAPE.empty_table()
        self.feed: list[tuple[str, int]] = []
        self.anomalies: dict[tuple[str, str], dict[str, Any]] = {}
        self.writes_until_crash = 10**9

    def write(self, rows: pa.Table) -> None:
        self.rows = pa.concat_tables([self.rows, rows])
        minutes = {(row["owner"], row["start_ns"] // MINUTE_NS * MINUTE_NS) for row in rows.to_pylist()}
        self.feed += sorted(minutes)

    def changes(self, after: int, limit: int = 50_000) -> Changes:
        until = min(len(self.feed), after + limit)
        minutes = sorted(set(self.feed[after:until]))
        table = pa.table({"owner": [owner for owner, _ in minutes], "minute_ns": [at for _, at in minutes]})
        return Changes(revision=until, minutes=table, more=until < len(self.feed), whole=False)

    def leaf_calls(self, window: Window) -> pa.Table:
        start = self.rows.column("start_ns").to_numpy()
        return self.rows.filter(pa.array((start >= window.from_ns) & (start < window.to_ns)))

    def call_bounds(self) -> tuple[int, int] | None:
        start = self.rows.column("start_ns").to_numpy()
        return (int(start.min()), int(start.max())) if len(start) else None

    def open_anomalies(self) -> pa.Table:
        rows = [row for row in self.anomalies.values() if row["ended"] is None]
        return pa.Table.from_pylist(rows, schema=schema.ANOMALIES.arrow)

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        assert (table, tuple(key)) == (schema.ANOMALIES, ("owner", "id"))
        self.writes_until_crash -= 1
        if self.writes_until_crash < 0:
            raise CrashError
        self.anomalies |= {(row["owner"], row["id"]): row for row in rows.to_pylist()}

    def is_heard(self, owner: str, tenant: str | None, window: Window) -> bool:
        del owner, tenant
        return window.from_ns < window.to_ns


_ANSWERED = {"status": "ok", "input_tokens": 1000, "output_tokens": 100, "cost_usd": Decimal("0.0035")}


def made_calls() -> pa.Table:
    """Calls of two tenants on two models, 1 % of which fail; from the onset on, 40 % of those of one model do."""
    rng = np.random.default_rng(3)
    count = (END - START) * 12
    at = np.sort(rng.integers(START * 60, END * 60, count)) * 1_000_000_000
    model = rng.integers(0, 2, count)
    failed = rng.random(count) < np.where((at >= ONSET * MINUTE_NS) & (model == 1), 0.4, 0.01)
    rows = [
        dict.fromkeys(CALL_COLUMNS)
        | {
            "owner": ("acme", "globex")[place % 2],
            "tenant_id": ("acme", "globex")[place % 2],
            "start_ns": int(at[place]),
            "trace_id": f"{place:032x}",
            "model": ("gpt", "claude")[model[place]],
            "provider": ("openai", "anthropic")[model[place]],
            "status": "error" if failed[place] else "ok",
            "input_tokens": None if failed[place] else 1000,
            "output_tokens": None if failed[place] else 100,
            "cost_usd": None if failed[place] else Decimal("0.0035"),
            "duration_ms": 900.0,
        }
        for place in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=SHAPE)


@pytest.fixture(scope="module")
def calls() -> pa.Table:
    return made_calls()


def detection(store: FakeStore, path: Path, **config: Any) -> Detection:
    # Long after the calls: what is judged then follows them, not the clock.
    return Detection(
        store, DetectorTables(StateDb(path)), DetectionConfig(**config), clock=lambda: (END + 10**5) * MINUTE_NS
    )


def run(one: Detection) -> None:
    while one.step():
        pass


@pytest.fixture(scope="module")
def plain(calls: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tuple[FakeStore, bytes]:
    store, path = FakeStore(), tmp_path_factory.mktemp("plain")
    store.write(calls)
    one = detection(store, path)
    run(one)
    return store, one.state.dump()


def told(store: FakeStore) -> list[dict[str, Any]]:
    return [row for row in store.anomalies.values() if row["metric"] != "names" and row["status"] != "withdrawn"]


def test_errors_of_a_model_are_published_once(plain: tuple[FakeStore, bytes]) -> None:
    (row,) = told(plain[0])
    assert (row["kind"], row["severity"], row["status"], row["ended"]) == ("error_burst", "critical", "open", None)
    assert row["owner"] == ""  # several tenants' calls: the row belongs to none of them
    assert int(row["started"].timestamp()) // 60 in range(ONSET - 3, ONSET + 4)
    assert row["summary"].startswith("Error rate on ")


def test_late_doubled_and_shuffled_calls_end_the_same(
    calls: pa.Table, plain: tuple[FakeStore, bytes], tmp_path: Path
) -> None:
    store = FakeStore()
    one = detection(store, tmp_path)
    rng = np.random.default_rng(8)
    # Each call comes up to 55 minutes late; the detector looks in between.
    arrives = calls.column("start_ns").to_numpy() + rng.integers(0, 55 * MINUTE_NS, calls.num_rows)
    batches = np.array_split(np.argsort(arrives), 40)
    for batch in batches:
        store.write(calls.take(batch))
        run(one)
    assert one.too_late == 0
    assert one.state.dump() == plain[1]
    assert {key: row for key, row in store.anomalies.items() if row["status"] != "withdrawn"} == plain[0].anomalies


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_kill_changes_nothing(calls: pa.Table, plain: tuple[FakeStore, bytes], tmp_path: Path, writes: int) -> None:
    store = FakeStore()
    for part in range(6):
        store.write(calls.slice(part * calls.num_rows // 6, calls.num_rows // 6))
        store.writes_until_crash = writes
        with suppress(CrashError):
            run(detection(store, tmp_path))
    store.writes_until_crash = 10**9
    one = detection(store, tmp_path)
    run(one)
    assert one.state.dump() == plain[1]
    assert told(store) == told(plain[0])


def test_the_leaf_table_follows_the_store(calls: pa.Table) -> None:
    store = FakeStore()
    leaves = LeafTable(store)
    leaves.load(START)
    order = np.random.default_rng(2).permutation(2000)
    for batch in np.array_split(order, 7):
        store.write(calls.take(batch))
        while leaves.refresh(START):
            pass
        whole = read_cells(store, START, leaves.last + 1)
        assert (whole.leaves, whole.minute.tolist()) == (leaves.cells.leaves, leaves.cells.minute.tolist())
        assert whole.values.tolist() == leaves.cells.values.tolist()
        assert whole.facets.text == leaves.cells.facets.text


def test_a_failure_that_comes_late_makes_the_call_behind_it_a_retry() -> None:
    about = {"owner": "acme", "trace_id": "t", "model": "gpt"}
    answered = {**about, **_ANSWERED, "start_ns": (START + RETRY_MINUTES) * MINUTE_NS}
    failed = {**about, "status": "error", "start_ns": START * MINUTE_NS}
    store = FakeStore()
    leaves = LeafTable(store)
    leaves.load(START)
    for retries, row in enumerate((answered, failed)):
        store.write(pa.Table.from_pylist([dict.fromkeys(CALL_COLUMNS) | row], schema=SHAPE))
        leaves.refresh(START)
        assert leaves.cells.values[:, AT["retries"]].sum() == retries


def test_an_announced_change_is_no_alarm(calls: pa.Table, tmp_path: Path) -> None:
    store = FakeStore()
    store.write(calls)
    change = Planned(start=ONSET, end=ONSET + 60, label="a new contract", dimensions={"model": "claude"})
    run(Detection(store, DetectorTables(StateDb(tmp_path)), DetectionConfig(), lambda: [change]))
    (row,) = told(store)
    assert (row["status"], row["severity"]) == ("planned", "info")
    assert "a new contract" in row["cause"]


def test_what_later_calls_explain_ends_after_a_restart_too(calls: pa.Table, tmp_path: Path) -> None:
    store = FakeStore()
    store.write(calls)
    one = detection(store, tmp_path)
    run(one)
    assert [row["status"] for row in told(store)] == ["open"]
    healthy = calls.filter(pa.array(calls.column("start_ns").to_numpy() >= ONSET * MINUTE_NS)).to_pylist()
    healthy = [row | _ANSWERED | {"trace_id": f"f{number:031x}"} for number, row in enumerate(healthy)]
    store.rows = store.rows.filter(pa.array(store.rows.column("start_ns").to_numpy() < ONSET * MINUTE_NS))
    store.write(pa.Table.from_pylist(healthy, schema=SHAPE))
    again = detection(store, tmp_path)  # a restart in between: it knows what is published
    run(again)
    # The first hour was learned before its calls came; what is seen since then is right.
    (row,) = told(store)
    assert (row["status"], int(row["ended"].timestamp()) // 60) == ("ended", again.state.until)


def test_looking_again_finds_the_same(plain: tuple[FakeStore, bytes]) -> None:
    window = Window(START * MINUTE_NS, END * MINUTE_NS)
    steps = list(looked_again(plain[0], options_of(DetectionConfig()), window))
    assert [share for share, _ in steps] == sorted(share for share, _ in steps)
    assert steps[-1][0] == 1.0
    found = {one.id for _, part in steps for one in part if one.metric != "names"}
    assert found == {row["id"] for row in told(plain[0])}


def test_planned_changes_of_the_configuration() -> None:
    config = DetectionConfig(planned=({"at": "2026-03-01T12:00:00Z", "label": "v2", "model": "gpt"},))
    assert configured_changes(config) == [
        Planned(start=29_539_440, end=29_539_500, label="v2", dimensions={"model": "gpt"})
    ]
    for wrong in ({"at": "soon"}, {"at": "2026-03-01", "modle": "gpt"}, {"at": "2026-03-02", "until": "2026-03-01"}):
        with pytest.raises(SettingsError, match=r"detection\.planned\[0\]"):
            configured_changes(DetectionConfig(planned=(wrong,)))
