"""A store that comes back older than it was gets what it lost from the journal, also while the service runs."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_analytics.errors import StoreReopenedError
from spanledger_analytics.records import Batch
from spanledger_ingest.journal import JournalConfig
from spanledger_ingest.pipeline import WriterConfig

StartRig = Callable[..., Any]
Traces = Callable[..., bytes]


class Lossy:
    """Makes a fake store lose everything since its last checkpoint at the appends of the given numbers."""

    def __init__(self, store: Any, losses: set[int], *, checkpoint_every: int = 3) -> None:
        self._store = store
        self._losses = losses
        self._every = checkpoint_every
        self._count = 0
        self._saved = (0, {}, {})  # type: tuple[int, Any, Any]
        store.fail = self.fail
        store.checkpoint = self.checkpoint

    def fail(self, _batch: Batch) -> None:
        self._count += 1
        if self._count in self._losses:
            self._store.position, self._store.spans, self._store.calls = copy.deepcopy(self._saved)
            raise StoreReopenedError("opened again")

    def checkpoint(self, *, force: bool = False) -> int:
        if force or self._count % self._every == 0:
            self._saved = copy.deepcopy((self._store.position, self._store.spans, self._store.calls))
        return self._saved[0]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(losses=st.sets(st.integers(1, 20), max_size=8), requests=st.integers(1, 12))
def test_nothing_is_lost_whenever_the_store_comes_back_older(
    start_rig: StartRig, new_store: Callable[[], Any], traces: Traces, losses: set[int], requests: int,
    tmp_path_factory: Any,
) -> None:  # fmt: skip
    store = new_store()
    Lossy(store, losses)
    rig = start_rig(store=store, directory=tmp_path_factory.mktemp("rig"))
    for seed in range(requests):
        assert rig.accept(traces(2, seed=seed)).kind == "success"
        rig.stored()
    assert len(store.spans) == 2 * requests
    assert store.position == rig.journal.end
    rig.close()


def test_the_journal_is_kept_until_the_store_cannot_lose_what_is_in_it(
    start_rig: StartRig, new_store: Callable[[], Any], traces: Traces
) -> None:
    store = new_store()
    lossy = Lossy(store, set(), checkpoint_every=1000)
    rig = start_rig(store=store)
    for seed in range(5):
        rig.accept(traces(seed=seed))
    rig.stored()
    assert rig.journal.backlog_bytes == 0
    assert rig.journal.kept_bytes == rig.journal.end
    assert list(rig.journal.replay(0))
    lossy.checkpoint(force=True)
    assert rig.close()
    assert list(Path(rig.directory, "journal").glob("*.journal")) == []


def test_the_journal_is_given_up_in_time_also_under_traffic(
    start_rig: StartRig, new_store: Callable[[], Any], traces: Traces
) -> None:
    store = new_store()
    Lossy(store, set(), checkpoint_every=1000)
    config = WriterConfig(commit_seconds=30, checkpoint_seconds=0)
    rig = start_rig(store=store, writer=config, journal=JournalConfig(segment_bytes=300, min_free_bytes=0))
    for seed in range(5):
        rig.accept(traces(seed=seed))
        rig.stored()
    rig.accept(traces(seed=9))
    assert rig.journal.kept_bytes < rig.journal.end


def test_a_journal_that_begins_behind_the_store_says_what_is_lost(start_rig: StartRig, traces: Traces) -> None:
    rig = start_rig()
    rig.accept(traces())
    first = rig.stored().position
    rig.journal.forget(first)
    rig.close()
    later = start_rig(store=rig.store)
    later.accept(traces(seed=1))
    later.stored()
    later.writer.stop(10)
    assert list(later.journal.replay(0))
    (gap,) = later.journal.damages
    assert (gap.reason, gap.position, gap.length) == ("missing", 0, first)
