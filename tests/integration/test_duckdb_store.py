"""The DuckDB store keeps the contract of span stores, and says clearly what is wrong with a file."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_analytics.errors import (
    StoreDamagedError,
    StoreInUseError,
    StoreReopenedError,
    StoreTooNewError,
    StoreUnavailableError,
    StoreUnreadableError,
)
from spanledger_analytics.queries import CallsQuery, UsageQuery
from spanledger_analytics.records import Batch
from spanledger_analytics.testing import SpanStoreContract, a_call, a_span
from spanledger_ingest.store import DatabaseConfig, DuckDBStore, _catalogue, _write


class TestDuckDBStore(SpanStoreContract):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        type(self).paths = (tmp_path_factory.mktemp("store") / f"{n}.duckdb" for n in itertools.count())

    paths: Iterator[Path]

    def open(self) -> DuckDBStore:
        return DuckDBStore(next(self.paths), DatabaseConfig(threads=1))


def _open(path: Path) -> DuckDBStore:
    return DuckDBStore(path, DatabaseConfig(threads=1))


def test_reopens_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "s.duckdb"
    with closing(_open(path)) as store:
        store.append(Batch(spans=[a_span(1)], calls=[a_call(1)], journal_position=9))
    with closing(_open(path)) as store:
        assert store.journal_position() == 9
        assert store.trace(a_span(1).trace_id).num_rows == 1
        assert store.calls(CallsQuery())["cost_usd"].to_pylist() == [Decimal("0.001000000")]


def test_second_store_on_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with closing(_open(path)), pytest.raises(StoreInUseError, match="already open"):
        _open(tmp_path / "." / "s.duckdb")
    with closing(_open(path)):
        script = "import sys, duckdb; duckdb.connect(sys.argv[1])"
        other = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
        assert "lock" in other.stderr


def test_file_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    script = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreInUseError, match="stop the other spanledger"):
            _open(path)
        other.communicate()
    _open(path).close()


def test_garbage_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreDamagedError, match=r"move it and s\.duckdb\.wal away"):
        _open(path)
    path.unlink()
    _open(path).close()


def test_damaged_log_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with closing(_open(path)) as store:
        store.append(Batch(spans=[a_span(n) for n in range(1, 50)]))
        copy = tmp_path / "copy.duckdb"
        copy.write_bytes(path.read_bytes())
        log = bytearray(path.with_name("s.duckdb.wal").read_bytes())
    log[len(log) // 2] ^= 1
    copy.with_name("copy.duckdb.wal").write_bytes(log)
    with pytest.raises(StoreDamagedError, match=r"copy\.duckdb\.wal"):
        _open(copy)


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnreadableError, match="choose another"):
        _open(tmp_path / "file" / "s.duckdb")
    with pytest.raises(StoreUnreadableError, match="check that it exists"):
        _open(tmp_path)


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    _open(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE priv.meta SET schema_version = 999")
    with pytest.raises(StoreTooNewError, match=r"schema version 999.*upgrade spanledger"):
        _open(path)


def test_closed_store_says_so(tmp_path: Path) -> None:
    store = _open(tmp_path / "s.duckdb")
    store.close()
    store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.journal_position()


def test_opens_again_after_the_engine_gave_up(tmp_path: Path) -> None:
    def give_up_once(cursor: duckdb.DuckDBPyConnection) -> int:
        failures.append(1)
        if len(failures) == 1:
            raise duckdb.FatalException("database has been invalidated")
        return _catalogue.journal_position(cursor)

    failures: list[int] = []
    with closing(_open(tmp_path / "s.duckdb")) as store:
        store.append(Batch(journal_position=4))
        assert store._database.run(give_up_once) == 4
        assert store.reopened == 1
        with pytest.raises(StoreUnavailableError, match="failed again"):
            store._database.run(_always_fatal)
        assert store.journal_position() == 4


def _always_fatal(_: duckdb.DuckDBPyConnection) -> None:
    raise duckdb.FatalException("no")


def test_readers_see_whole_batches_beside_the_writer(tmp_path: Path) -> None:
    odd: list[int] = []
    done = threading.Event()

    def read(store: DuckDBStore) -> None:
        while not done.is_set():
            calls = store.usage(UsageQuery())["calls"].to_pylist()[0]
            spans = store.journal_position()
            if calls is None or calls % 10 or spans * 10 < calls:
                odd.append(calls or -1)

    with closing(_open(tmp_path / "s.duckdb")) as store:
        readers = [threading.Thread(target=read, args=(store,)) for _ in range(2)]
        for reader in readers:
            reader.start()
        for batch in range(20):
            calls = [a_call(batch * 10 + n) for n in range(10)]
            store.append(Batch(calls=calls, journal_position=batch + 1))
        done.set()
        for reader in readers:
            reader.join()
    assert not odd


def test_prices_are_append_only(tmp_path: Path) -> None:
    first = pa.table({"price_id": ["a", "b"], "provider": ["openai", "openai"], "input_usd": [1.0, 2.0]})
    second = pa.table({"price_id": ["b", "c", "c"], "provider": ["x", "y", "y"], "valid_from": ["d", "e", "e"]})
    with closing(_open(tmp_path / "s.duckdb")) as store:
        assert store.save_prices(first) == 2
        assert store.save_prices(first) == 0
        assert store.save_prices(second) == 1
        stored = store.run_sql("SELECT price_id, provider, input_usd, valid_from FROM prices ORDER BY 1").to_pylist()
    assert [tuple(row.values()) for row in stored] == [
        ("a", "openai", 1.0, None),
        ("b", "openai", 2.0, None),
        ("c", "y", None, "e"),
    ]


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=40))
def test_stretches_cover_every_start(starts: list[int]) -> None:
    found = _write.stretches(starts)
    assert len(found) <= 8
    assert all(low < high for low, high in found)
    hour = 3600 * 10**9
    assert all(any(low <= s - hour and s + hour <= high for low, high in found) for s in starts)


_FULL_DISK = """
import random, resource, signal, sys
from pathlib import Path
from spanledger_analytics.errors import StoreReopenedError, StoreUnavailableError
from spanledger_analytics.records import Batch
from spanledger_analytics.testing import a_span
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

def batch(number):
    spans = [a_span(number * 500 + n, attributes={"r": random.randbytes(600).hex()}) for n in range(500)]
    return Batch(spans=spans, journal_position=number)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = DuckDBStore(Path(sys.argv[1]), DatabaseConfig(threads=1, checkpoint_mib=1))
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
acknowledged = 0
try:
    while acknowledged < 100:
        store.append(batch(acknowledged + 1))
        acknowledged += 1
except StoreUnavailableError:
    pass
assert 0 < acknowledged < 100, acknowledged
assert not store.reopened, "a commit that does not fit must not invalidate the database"
assert store.journal_position() == acknowledged, "reads must go on"
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    store.checkpoint(force=True)
except StoreUnavailableError:
    assert store.reopened == 1, "the engine did not give up"
assert store.reopened and store.journal_position() == acknowledged, "reads must go on"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
try:
    store.append(batch(acknowledged + 1))
except StoreReopenedError:
    store.append(batch(acknowledged + 1))
else:
    raise SystemExit("the writer must hear that the database may be older than it was")
assert store.checkpoint(force=True) == acknowledged + 1
count = store.run_sql("SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans").to_pylist()[0]
assert count == {"n": (acknowledged + 1) * 500, "ids": (acknowledged + 1) * 500}, count
store.close()
"""


def test_full_disk_loses_nothing_and_is_survived(tmp_path: Path) -> None:
    script = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "s.duckdb")]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _flip(log: bytes) -> bytes:
    return log[: len(log) // 2] + bytes((log[len(log) // 2] ^ 1,)) + log[len(log) // 2 + 1 :]


@pytest.mark.parametrize(
    ("damage", "set_aside"),
    [
        (_flip, None),  # a length that is wrong is taken for the end of the log
        (lambda log: log[:-4096] + bytes(4096), True),
        (lambda log: log[: len(log) // 2], False),
        (lambda log: bytes((log[0] ^ 255,)) + log[1:], False),
        (lambda _log: b"noise" * 1000, False),
    ],
    ids=["flipped", "zeroed", "cut", "head", "noise"],
)
def test_damaged_log_is_set_aside_where_there_is_another_source(
    tmp_path: Path, damage: Callable[[bytes], bytes], *, set_aside: bool | None
) -> None:
    with closing(_open(tmp_path / "s.duckdb")) as store:
        store.append(Batch(spans=[a_span(1)], journal_position=1))
        assert store.checkpoint() == 0
        assert store.checkpoint(force=True) == 1
        for n in range(2, 50):
            store.append(Batch(spans=[a_span(n)], journal_position=n))
        assert store.checkpoint() == 1
        (tmp_path / "copy.duckdb").write_bytes((tmp_path / "s.duckdb").read_bytes())
        log = (tmp_path / "s.duckdb.wal").read_bytes()
    (tmp_path / "copy.duckdb.wal").write_bytes(damage(log))
    with closing(DuckDBStore(tmp_path / "copy.duckdb", DatabaseConfig(quarantine=tmp_path / "aside"))) as store:
        assert 1 <= store.journal_position() < 49
        assert store.quarantined == set_aside or set_aside is None
        set_aside = bool(store.quarantined)
        store.append(Batch(spans=[a_span(99)], journal_position=99))
        assert store.checkpoint(force=True) == 99
    aside = list((tmp_path / "aside").glob("copy.duckdb.wal.*")) if set_aside else []
    assert [path.read_bytes() for path in aside] == [damage(log)] * set_aside
    with closing(_open(tmp_path / "copy.duckdb")) as store:
        assert store.journal_position() == 99


def test_file_that_is_no_database_stays_as_it_is_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "s.duckdb").write_bytes(b"not a database" * 1000)
    (tmp_path / "s.duckdb.wal").write_bytes(b"log")
    with pytest.raises(StoreDamagedError, match="not a sound database"):
        DuckDBStore(tmp_path / "s.duckdb", DatabaseConfig(quarantine=tmp_path / "aside"))
    assert (tmp_path / "s.duckdb.wal").read_bytes() == b"log"


def test_store_that_cannot_be_reopened_now_is_opened_later(tmp_path: Path) -> None:
    with closing(_open(tmp_path / "s.duckdb")) as store:
        store.append(Batch(spans=[a_span(1)], journal_position=1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store._database, "_connect", _cannot_connect)
            with pytest.raises(StoreUnavailableError):
                store._database.run(_always_fatal)
            with pytest.raises(StoreUnavailableError):
                store.journal_position()
        assert store.journal_position() == 1
        with pytest.raises(StoreReopenedError):
            store.append(Batch(journal_position=2))
        store.append(Batch(journal_position=2))


def _cannot_connect() -> None:
    raise StoreUnavailableError("no space")


def test_a_long_log_is_merged_when_the_file_is_opened(tmp_path: Path) -> None:
    config = DatabaseConfig(threads=1, checkpoint_mib=1)
    with closing(DuckDBStore(tmp_path / "s.duckdb", config)) as store:
        store.append(
            Batch(spans=[a_span(n, attributes={"text": "x" * 900}) for n in range(1, 800)], journal_position=1)
        )
        for path in ("s.duckdb", "s.duckdb.wal"):
            (tmp_path / f"copy.{path}").write_bytes((tmp_path / path).read_bytes())
    log = tmp_path / "copy.s.duckdb.wal"
    assert log.stat().st_size > 512 * 1024
    with closing(DuckDBStore(tmp_path / "copy.s.duckdb", config)) as store:
        assert not log.exists()
        assert store.checkpoint() == store.journal_position() == 1
