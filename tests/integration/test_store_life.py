"""What happens to a database over its life: rows expire, space comes back, copies are whole, old files open."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_analytics import schema
from spanledger_analytics.errors import SqlRefusedError, StoreTooNewError, StoreUnavailableError
from spanledger_analytics.ports import CallKeys
from spanledger_analytics.queries import MAX_NS, CallsQuery
from spanledger_analytics.records import Batch, Content, LogRecord, MetricPoint, Rejection, Resource, Score
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.settle import settle
from spanledger_ingest.store import DatabaseConfig, DuckDBStore, Expiry, JobState, _database, _migrations
from spanledger_ingest.store._database import _limits

DAY = 86_400 * SECOND
V1 = Path(__file__).parent.parent / "data" / "store" / "v1.sql"


def open_store(path: Path) -> DuckDBStore:
    return DuckDBStore(path, DatabaseConfig(threads=1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    with closing(open_store(tmp_path / "s.duckdb")) as opened:
        yield opened


def one_of_each(day: int, tenant: str) -> Batch:
    at = T0 + day * DAY
    whose: dict[str, Any] = {"owner": tenant, "start_ns": at, "end_ns": at + SECOND}
    ids: dict[str, Any] = {
        "owner": tenant,
        "tenant_id": tenant,
        "trace_id": "ab" * 16,
        "span_id": "cd" * 8,
        "time_ns": at,
    }
    resource = Resource({"tenant.id": tenant})
    return Batch(
        spans=[a_span(day + 1, **whose)],
        calls=[a_call(day + 1, **whose, tenant_id=tenant)],
        contents=[Content(**ids, kind="input", text="hello")],
        logs=[LogRecord(owner=tenant, time_ns=at, resource=resource)],
        metrics=[MetricPoint(owner=tenant, name="m", kind="gauge", time_ns=at, value=1.0, resource=resource)],
        scores=[Score(**ids, name="faithful", value=1.0)],
        rejections=[Rejection(owner=tenant, signal="traces", reason="bad", time_ns=at)],
    )


def count(store: DuckDBStore, table: str) -> dict[str, int]:
    sql = f'SELECT tenant_id, count(*) FROM priv."{table}" GROUP BY 1 ORDER BY 1'  # noqa: S608 - a constant
    return dict(store._database.run(lambda cursor: cursor.execute(sql).fetchall()))


TABLES = ["llm_calls", "spans", "span_content", "scores", "logs", "metrics", "rejections"]


@pytest.mark.parametrize("table", TABLES)
def test_every_signal_expires_by_tenant_in_bounded_steps(store: DuckDBStore, table: str) -> None:
    for day in range(10):
        for tenant in ("acme", "zeta", "other"):
            store.append(one_of_each(day, tenant))
    before = T0 + 4 * DAY
    one = Expiry(table=table, before_ns=before, tenant="acme")
    assert [store.expire(one, 3), store.expire(one, 3), store.expire(one, 3)] == [3, 1, 0]
    rest = Expiry(table=table, before_ns=before - DAY, exempt=("acme", "zeta"))
    assert store.expire(rest, 1000) == 3
    assert count(store, table) == {"acme": 6, "other": 7, "zeta": 10}
    assert all(
        count(store, other) == dict.fromkeys(("acme", "other", "zeta"), 10) for other in TABLES if other != table
    )
    assert store.expire(Expiry(table=table, before_ns=before), 1000) == 5


def test_rows_without_a_tenant_expire_as_everyone_s(store: DuckDBStore) -> None:
    store.append(Batch(rejections=[Rejection(owner="", signal="logs", reason="x", time_ns=T0)]))
    assert store.expire(Expiry(table="rejections", before_ns=T0 + 1, exempt=("acme",)), 10) == 1


def test_who_is_billed_does_not_change_when_the_spans_are_gone(store: DuckDBStore) -> None:
    outer = a_call(1, span_id="0a" * 8, parent_span_id=None, response_id=None, end_ns=T0 + 9 * SECOND)
    inner = a_call(1, span_id="0c" * 8, parent_span_id="0b" * 8, response_id=None)
    spans = [
        a_span(1, span_id="0a" * 8, end_ns=T0 + 9 * SECOND),
        a_span(1, span_id="0b" * 8, parent_span_id="0a" * 8),  # a plain span between the two
        a_span(1, span_id="0c" * 8, parent_span_id="0b" * 8),
    ]
    store.append(Batch(spans=spans, calls=[outer, inner]))
    keys = CallKeys(trace_ids=[("", f"{1:032x}")], response_ids=[], start_ns=0, end_ns=MAX_NS)

    def settled() -> list[tuple[str, bool]]:
        related = store.related(keys)
        return sorted((call.own.span_id, call.billable) for call in settle(related.facts, related.parents))

    before = settled()
    assert [billable for _, billable in before].count(True) == 1
    assert store.expire(Expiry(table="spans", before_ns=T0 + DAY), 100) == 3
    assert settled() == before
    assert store.expire(Expiry(table="llm_calls", before_ns=T0 + DAY), 100) == 2
    assert store.related(keys).parents == {}  # the links go with the calls


def with_text(first: int, number: int) -> Batch:
    contents = [
        Content(
            owner="",
            tenant_id="acme",
            trace_id=f"{n:032x}",
            span_id=f"{n:016x}",
            time_ns=T0 + n,
            kind="input",
            text=f"CANARY-{n:06d}-" + "x" * 500,
        )
        for n in range(first, first + number)
    ]
    return Batch(contents=contents, journal_position=first + number)


def canaries(directory: Path, numbers: range) -> int:
    wanted = [f"CANARY-{n:06d}-".encode() for n in numbers]
    files = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    return sum(text in data for text in wanted for data in files)


@pytest.fixture
def _uncompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text stands in the file as it is, or it could not be looked for."""

    def limits(config: DatabaseConfig) -> dict[str, Any]:
        return {**_limits(config), "force_compression": "uncompressed"}

    monkeypatch.setattr(_database, "_limits", limits)


@pytest.mark.usefixtures("_uncompressed")
def test_compaction_gives_space_back_and_leaves_no_deleted_byte(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with closing(open_store(path)) as store:
        for first in range(0, 4000, 1000):
            store.append(with_text(first, 1000))
    with closing(open_store(path)) as store:
        assert canaries(tmp_path, range(3500)) > 3000
        assert store.expire(Expiry(table="span_content", before_ns=T0 + 3500), 10_000) == 3500
    full = path.stat().st_size
    assert canaries(tmp_path, range(3500)) > 3000, "if DELETE were enough, compaction could go"
    with closing(open_store(path)) as store:
        saved = store.compact()
        assert (canaries(tmp_path, range(3500)), canaries(tmp_path, range(3500, 4000))) == (0, 500)
        assert store.sizes()[0] == path.stat().st_size == full - saved < full / 3
        store.append(with_text(4000, 10))
        assert store.journal_position() == 4010
    with closing(open_store(path)) as store:
        assert count(store, "span_content") == {"acme": 510}
        assert canaries(tmp_path, range(3500)) == 0


def test_compaction_beside_readers_and_a_writer(store: DuckDBStore) -> None:
    odd: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            rows, position = store.calls(CallsQuery(limit=5000)).num_rows, store.journal_position()
            if rows > position:
                odd.append((rows, position))

    def write() -> None:
        for n in range(1, 41):
            store.append(Batch(calls=[a_call(n)], journal_position=n))

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        store.compact()
    threads[1].join()
    store.compact()
    done.set()
    threads[0].join()
    assert (odd, store.calls(CallsQuery(limit=100)).num_rows, store.journal_position()) == ([], 40, 40)


def test_a_snapshot_is_one_moment_of_a_busy_store(store: DuckDBStore, tmp_path: Path) -> None:
    written = threading.Event()

    def write() -> None:
        for n in range(1, 61):
            store.append(Batch(spans=[a_span(n)], calls=[a_call(n)], journal_position=n))
            if n == 20:
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    written.wait(30)
    with store.snapshot() as copy, closing(open_store(copy.rename(tmp_path / "copy.duckdb"))) as other:
        position = other.journal_position()
        assert 20 <= position <= 60
        assert count(other, "spans") == count(other, "llm_calls") == {"acme": position}
    writer.join()
    assert count(store, "spans") == {"acme": 60}


def test_one_copy_at_a_time_and_none_without_space(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.snapshot(), pytest.raises(StoreUnavailableError, match="another backup or compaction"):
        store.compact()
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("spanledger_ingest.store._copy.shutil.disk_usage", lambda _: usage)
    with pytest.raises(StoreUnavailableError, match="a copy needs"), store.snapshot():
        pass
    assert not list(store._database.copies.iterdir())


def test_queries_that_do_not_end_keep_the_file_in_place(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(Batch(spans=[a_span(1)]))
    monkeypatch.setattr("spanledger_ingest.store._database._DRAIN_SECONDS", 0.0)
    with store._database._cursor(None), pytest.raises(StoreUnavailableError, match="queries are running"):
        store.compact()
    assert store.trace(a_span(1).trace_id).num_rows == 1


def test_sql_reaches_no_copy_and_no_other_file(store: DuckDBStore, tmp_path: Path) -> None:
    def outside(cursor: duckdb.DuckDBPyConnection) -> None:
        cursor.execute(f"ATTACH '{tmp_path}/elsewhere.duckdb'")

    def as_name(cursor: duckdb.DuckDBPyConnection) -> None:
        cursor.execute(f"ATTACH '{store._database.copies}-2/elsewhere.duckdb'")

    for work in (outside, as_name):
        with pytest.raises(duckdb.PermissionException):
            store._database.run(work)
    for sql in ("SELECT * FROM copied.priv.spans", "SELECT * FROM span_links", "SELECT * FROM priv.jobs"):
        with pytest.raises(SqlRefusedError):
            store.run_sql(sql)


def test_jobs_remember_when_they_ran(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "s.duckdb")) as store:
        assert store.job_state("retention") is None
        store.save_job_state("retention", JobState(1))
        store.save_job_state("retention", JobState(2, "2026-01-01"))
        store.save_job_state("other", JobState(3))
    with closing(open_store(tmp_path / "s.duckdb")) as store:
        assert store.job_state("retention") == JobState(2, "2026-01-01")


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(V1.read_text(encoding="utf-8"))
    return path


def shape(path: Path) -> list[tuple[str, str, str]]:
    sql = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'priv' ORDER BY ALL"
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_a_file_of_version_1_opens_and_is_like_a_new_one(v1: Path, tmp_path: Path) -> None:
    assert 1 + len(_migrations.MIGRATIONS) == schema.VERSION
    with closing(open_store(v1)) as store:
        assert store.journal_position() == 4711
        assert store.trace("ab" * 16).num_rows == 1
    open_store(tmp_path / "new.duckdb").close()
    assert shape(v1) == shape(tmp_path / "new.duckdb")


def add_column(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("ALTER TABLE priv.spans ADD COLUMN colour VARCHAR DEFAULT 'red'")


def fail_half_way(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DELETE FROM priv.spans")
    raise KeyboardInterrupt


def version(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        return int(connection.execute("SELECT schema_version FROM priv.meta").fetchall()[0][0])


def test_a_migration_runs_once_and_leaves_a_copy_of_the_old_file(v1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_migrations, "MIGRATIONS", (add_column,))
    for _ in range(2):
        with closing(open_store(v1)) as store:
            assert store.trace("ab" * 16).num_rows == 1
    kept = v1.with_name("s.duckdb.v1")
    assert (version(v1), version(kept)) == (2, 1)
    assert ("spans", "colour", "VARCHAR") in shape(v1)
    assert ("spans", "colour", "VARCHAR") not in shape(kept)


def test_an_interrupted_migration_is_rolled_back_and_resumed(v1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_migrations, "MIGRATIONS", (add_column, fail_half_way))
    with pytest.raises(KeyboardInterrupt):
        open_store(v1)
    assert version(v1) == 2  # the first step stays done
    monkeypatch.setattr(_migrations, "MIGRATIONS", (fail_half_way, add_view_free_table))
    with closing(open_store(v1)) as store:
        assert store.trace("ab" * 16).num_rows == 1
    assert version(v1) == 3
    assert version(v1.with_name("s.duckdb.v1")) == 1


def add_view_free_table(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE priv.third (a BIGINT)")


def test_a_later_version_is_refused_with_advice(v1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(_migrations, "MIGRATIONS", (add_column,))
        open_store(v1).close()
    with pytest.raises(StoreTooNewError, match=r"schema version 2, .*knows 1: upgrade spanledger.*restore a backup"):
        open_store(v1)


@settings(max_examples=20, deadline=None)
@given(
    days=st.lists(st.integers(0, 9), min_size=1, max_size=10, unique=True),
    keep=st.integers(0, 9),
    limit=st.integers(1, 4),
)
def test_expiry_removes_exactly_what_is_older(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], keep: int, limit: int
) -> None:
    with closing(open_store(tmp_path_factory.mktemp("life") / "s.duckdb")) as store:
        for day in days:
            store.append(replace(Batch(), spans=[a_span(day + 1, start_ns=T0 + day * DAY, end_ns=T0 + day * DAY + 1)]))
        expiry = Expiry(table="spans", before_ns=T0 + keep * DAY)
        while store.expire(expiry, limit):
            pass
        assert count(store, "spans").get("acme", 0) == sum(day >= keep for day in days)
