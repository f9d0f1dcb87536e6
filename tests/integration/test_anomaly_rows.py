"""Findings in the store: scoped, filtered, page by page, replaced under their ids; and the benchmarks run."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from spanledger_analytics import schema
from spanledger_analytics.detect import Anomaly
from spanledger_analytics.queries import MAX_NS, Window
from spanledger_ingest.detection._rows import KEY, anomaly_row, anomaly_table
from spanledger_ingest.store import AnomalyFilter, DuckDBStore

ROOT = Path(__file__).parents[2]
HOUR = 3_600_000_000_000
EVER = Window(0, MAX_NS)
ONE = Anomaly(
    id="0a",
    owner="acme",
    tenant="acme",
    kind="unit_price",
    metric="unit_price",
    dimensions={"tenant": "acme", "model": "gpt-4o"},
    started_ns=10 * HOUR,
    detected_ns=11 * HOUR,
    ended_ns=None,
    severity="warning",
    status="open",
    summary="acme's cost per token on gpt-4o rose 2.0x",
    cause="the served model changed",
    impact_nano=1_500_000_000,
    impact_nano_per_hour=-1,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    with closing(DuckDBStore(tmp_path / "spans.duckdb")) as opened:
        yield opened


def put(store: DuckDBStore, *found: Anomaly) -> None:
    store.put_rows(schema.ANOMALIES, anomaly_table(map(anomaly_row, found)), KEY)


def ids(store: DuckDBStore, **wanted: object) -> list[str]:
    found = store.anomalies(AnomalyFilter(**{"window": EVER, **wanted}), None, 100)  # type: ignore[arg-type] # by name
    return [row["id"] for row in found.to_pylist()]


def test_a_finding_that_is_seen_again_takes_its_own_place(store: DuckDBStore) -> None:
    put(store, ONE)
    put(store, replace(ONE, ended_ns=12 * HOUR, status="ended"))
    (row,) = store.anomalies(AnomalyFilter(window=EVER), None, 10).to_pylist()
    assert (row["status"], str(row["impact_usd"]), str(row["impact_usd_per_hour"])) == (
        "ended",
        "1.500000000",
        "-1E-9",
    )
    assert row["dimensions"] == '{"model": "gpt-4o", "tenant": "acme"}'
    assert store.open_anomalies().num_rows == 0


def test_findings_are_narrowed_and_scoped(store: DuckDBStore) -> None:
    other = replace(ONE, id="0b", owner="globex", tenant="globex", severity="critical", started_ns=20 * HOUR)
    over = replace(ONE, id="0c", kind="latency", started_ns=15 * HOUR, ended_ns=16 * HOUR)
    put(store, ONE, other, over)
    assert ids(store) == ["0b", "0c", "0a"]
    assert ids(store, owner="acme") == ["0c", "0a"]
    assert ids(store, tenant="globex") == ids(store, severity="critical") == ["0b"]
    assert ids(store, kind="latency") == ids(store, is_open=False) == ["0c"]
    assert ids(store, window=Window(17 * HOUR, 18 * HOUR)) == ["0a"]
    assert {row["id"] for row in store.open_anomalies().to_pylist()} == {"0a", "0b"}


def test_pages_follow_each_other(store: DuckDBStore) -> None:
    put(store, *(replace(ONE, id=f"{number:02x}", started_ns=(10 + number // 2) * HOUR) for number in range(7)))
    seen, after = [], None
    while True:
        page = store.anomalies(AnomalyFilter(window=EVER), after, 2).to_pylist()
        if not page:
            break
        seen += [row["id"] for row in page]
        after = int(page[-1]["started"].timestamp()) * 1_000_000, page[-1]["id"]
    assert seen == ["06", "04", "05", "02", "03", "00", "01"]


def test_the_benchmarks_run() -> None:
    sizes = ("--seeds", "102", "--days", "3", "--tenants", "3", "--calls", "500", "--incidents", "none")
    command = [sys.executable, "-m", "benchmarks.anomaly", *sizes]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "organisation-weeks" in finished.stdout
    command = [sys.executable, "-m", "benchmarks.nab", "nowhere"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert (finished.returncode, finished.stdout[:11]) == (0, "no NAB data")
