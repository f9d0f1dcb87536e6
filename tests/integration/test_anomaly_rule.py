"""What the detector found becomes an alert: in its own sentence, while it goes on, and when it is news."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from spanledger_alerts.records import Finding
from spanledger_alerts.rules import AnomalyRule, evaluate
from spanledger_analytics import schema
from spanledger_analytics.detect import Anomaly
from spanledger_ingest.alerting import StoredData
from spanledger_ingest.detection._rows import KEY, anomaly_row, anomaly_table
from spanledger_ingest.store import DuckDBStore

HOUR = 3_600_000_000_000
FOUND = Anomaly(
    id="0a",
    owner="acme",
    tenant="acme",
    kind="unit_price",
    metric="unit_price",
    dimensions={"tenant": "acme", "model": "gpt-4o"},
    started_ns=100 * HOUR,
    detected_ns=101 * HOUR,
    ended_ns=None,
    severity="warning",
    status="open",
    summary="acme's cost per token on gpt-4o rose 2.0x",
    cause="the served model changed",
    impact_nano=1_500_000_000,
    impact_nano_per_hour=1,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    with closing(DuckDBStore(tmp_path / "spans.duckdb")) as opened:
        yield opened


def told(store: DuckDBStore, at_hour: int) -> list[Finding]:
    """Return what is an alert at an hour."""
    (found,) = evaluate(AnomalyRule(name="anomaly"), StoredData(store), [at_hour * HOUR])
    return [one for one in found if one.active]


def test_an_anomaly_is_told_in_its_own_sentence_with_where_to_look(store: DuckDBStore) -> None:
    store.put_rows(schema.ANOMALIES, anomaly_table([anomaly_row(FOUND)]), KEY)
    (finding,) = told(store, 102)
    assert finding.summary == FOUND.summary
    assert finding.labels == {"tenant": "acme", "model": "gpt-4o", "metric": "unit_price", "kind": "unit_price"}
    since = "from=1970-01-05T04%3A00%3A00Z&to=1970-01-05T06%3A00%3A00Z"
    assert finding.links == {
        "anomalies": f"/api/v1/anomalies?{since}&kind=unit_price",
        "calls": f"/api/v1/calls?{since}&tenant=acme&model=gpt-4o",
    }


def test_nothing_is_told_before_it_was_found_and_after_it_has_ended(store: DuckDBStore) -> None:
    over = replace(FOUND, ended_ns=104 * HOUR, status="ended")
    store.put_rows(schema.ANOMALIES, anomaly_table([anomaly_row(over)]), KEY)
    assert [hour for hour in range(99, 108) if told(store, hour)] == [102, 103, 104]


def test_history_that_is_taken_in_is_no_news(store: DuckDBStore) -> None:
    """While old calls are taken in, an anomaly of last week is open until the hours behind it are learned."""
    store.put_rows(schema.ANOMALIES, anomaly_table([anomaly_row(FOUND)]), KEY)
    assert told(store, 101 + 26)
    assert not told(store, 101 + 28)
