"""The disk spool keeps order, loses only the oldest beyond its cap, and counts every span, whatever happens to it."""

import os
import stat
import tempfile
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spanledger._export.backlog import Backlog, MemoryQueue
from spanledger._export.parcel import Parcel, Signal
from spanledger._export.segment import encode_frame
from spanledger._export.spool import DiskSpool


class Ticks:
    """A clock that moves by a microsecond per look, so that names sort as written."""

    def __init__(self) -> None:
        self.ticks = 1_700_000_000_000_000

    def now(self) -> float:
        self.ticks += 1
        return self.ticks / 1e6

    def monotonic(self) -> float:
        return self.now()


def parcel(number: int, items: int = 1, size: int = 40) -> Parcel:
    return Parcel(Signal.TRACES, items, f"{number}:".encode().ljust(size, b"."))


def number_of(sent: Parcel) -> int:
    return int(sent.body.partition(b":")[0])


def drain(spool: DiskSpool | Backlog) -> list[int]:
    numbers = []
    while (head := spool.head()) is not None:
        numbers.append(number_of(head))
        spool.done(head)
    return numbers


class SpoolMachine(RuleBasedStateMachine):
    """Appends, deliveries, failures and crashes in any order, against a plain list of (number, spans)."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name) / "spool"
        self.clock = Ticks()
        self.waiting: deque[tuple[int, int]] = deque()
        self.in_flight: tuple[int, int] | None = None
        self.held: Parcel | None = None
        self.appended = 0

    @initialize(cap=st.sampled_from([700, 2_000, 10_000]))
    def begin(self, cap: int) -> None:
        self.cap = cap
        self.spool = DiskSpool(self.root, cap, self.clock)

    def teardown(self) -> None:
        self.spool.close()
        self._folder.cleanup()

    @rule(items=st.integers(1, 512), size=st.integers(8, 500))
    def append(self, items: int, size: int) -> None:
        dropped = self.spool.dropped
        self.spool.append(parcel(self.appended, items, size))
        self.waiting.append((self.appended, items))
        self.appended += 1
        self._lose_oldest(self.spool.dropped - dropped)

    def _lose_oldest(self, spans: int) -> None:
        """What the cap took is whole parcels, from the old end, and no more than one segment too many."""
        if spans:
            assert self.spool.bytes > self.cap - max(self.cap // 16, 520)
        while spans > 0:
            spans -= self.waiting.popleft()[1]
        assert spans == 0

    @precondition(lambda self: self.held is None)
    @rule()
    def take(self) -> None:
        self.held = self.spool.head()
        self.in_flight = self.waiting.popleft() if self.waiting else None
        assert (self.held and (number_of(self.held), self.held.items)) == self.in_flight

    @precondition(lambda self: self.held is not None)
    @rule()
    def deliver(self) -> None:
        assert self.held is not None
        self.spool.done(self.held)
        self.held = self.in_flight = None

    @precondition(lambda self: self.held is not None)
    @rule()
    def fail(self) -> None:
        assert self.held is not None
        assert self.in_flight is not None
        dropped = self.spool.dropped
        self.spool.release(self.held)
        if self._overtaken():
            assert self.spool.dropped - dropped == self.in_flight[1]
        else:
            assert self.spool.dropped == dropped
            self.waiting.appendleft(self.in_flight)
        self.held = self.in_flight = None

    def _overtaken(self) -> bool:
        """Whether the cap removed the file of the parcel in flight."""
        return self.held is not None and not self.held.place.segment.path.exists()

    @rule(torn=st.integers(0, 60))
    def crash(self, torn: int) -> None:
        """The process dies, perhaps in the middle of a write; another one takes over."""
        files = sorted(self.root.glob("*/*.seg1"))
        if files:
            with files[-1].open("ab") as tail:
                tail.write(encode_frame(parcel(-1, 7, 500))[:torn])
        self.spool.forget()
        if self.in_flight is not None and not self._overtaken():
            self.waiting.appendleft(self.in_flight)
        self.held = self.in_flight = None
        self.spool = DiskSpool(self.root, self.cap, self.clock)
        self.spool.adopt()

    @invariant()
    def every_span_is_counted(self) -> None:
        on_its_way = self.in_flight[1] if self.in_flight and not self._overtaken() else 0
        assert self.spool.items == sum(items for _, items in self.waiting) + on_its_way

    @invariant()
    def files_respect_the_cap(self) -> None:
        sizes = sum(path.stat().st_size for path in self.root.glob("*/*.seg1"))
        assert sizes == self.spool.bytes
        assert sizes <= self.cap


SpoolMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSpoolMachine = SpoolMachine.TestCase


def spooled(root: Path, count: int) -> DiskSpool:
    spool = DiskSpool(root, 1 << 20, Ticks())
    for number in range(count):
        spool.append(parcel(number))
    return spool


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(deadline=None)
def test_a_flipped_bit_costs_one_batch_at_most(position: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        spooled(root, 5).forget()
        (file,) = root.glob("*/*.seg1")
        data = bytearray(file.read_bytes())
        data[int(position * len(data))] ^= 1 << bit
        file.write_bytes(data)
        survivor = DiskSpool(root, 1 << 20, Ticks())
        survivor.adopt()
        numbers = drain(survivor)
        assert numbers == sorted(set(numbers))
        assert len(numbers) >= 4
        assert survivor.damaged == 5 - len(numbers)
        survivor.close()


@given(cut=st.integers(0, 400))
@settings(deadline=None)
def test_a_file_cut_anywhere_keeps_all_batches_before_the_cut(cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        spooled(root, 5).forget()
        (file,) = root.glob("*/*.seg1")
        size = file.stat().st_size
        os.truncate(file, max(0, size - cut))
        survivor = DiskSpool(root, 1 << 20, Ticks())
        survivor.adopt()
        whole = max(0, size - cut) // (size // 5)
        assert drain(survivor) == list(range(whole))
        survivor.close()


def test_a_living_process_keeps_its_spans_to_itself(tmp_path: Path) -> None:
    alive, other = spooled(tmp_path, 3), DiskSpool(tmp_path, 1 << 20, Ticks())
    assert other.adopt() == 0
    assert drain(other) == []
    assert drain(alive) == [0, 1, 2]
    alive.close()
    other.close()


def test_the_spans_of_several_dead_processes_are_sent_oldest_first(tmp_path: Path) -> None:
    clock = Ticks()
    spools = [DiskSpool(tmp_path, 1 << 20, clock) for _ in range(3)]
    for number, spool in enumerate(spools):
        spool.append(parcel(number))
    for spool in reversed(spools):
        spool.forget()
    heir = DiskSpool(tmp_path, 1 << 20, clock)
    heir.append(parcel(3))
    assert heir.adopt() == 3
    assert drain(heir) == [0, 1, 2, 3]
    heir.close()
    assert list(tmp_path.iterdir()) == []


def test_files_are_private(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    spool = spooled(root, 1)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    spool.close()


def test_a_long_outage_does_not_eat_the_hosts_file_handles(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    spool = DiskSpool(tmp_path, 64_000, Ticks())
    for number in range(400):
        spool.append(parcel(number, size=100))
    assert len(list(tmp_path.glob("*/*.seg1"))) > 10
    assert len(list(Path("/dev/fd").iterdir())) - before <= 3
    spool.close()


def test_a_directory_that_cannot_be_made_falls_back_to_memory_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    backlog = Backlog(DiskSpool(tmp_path / "file" / "spool", 1 << 20, Ticks()), MemoryQueue(1 << 20))
    for number in range(3):
        backlog.append(parcel(number))
    assert drain(backlog) == [0, 1, 2]
    assert [record.message for record in caplog.records if "in memory" in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 1


def test_a_disk_that_fills_up_continues_in_memory_in_order_and_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = Backlog(DiskSpool(tmp_path, 1 << 20, Ticks()), MemoryQueue(1 << 20))
    backlog.append(parcel(0))
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", _no_space)
        backlog.append(parcel(1))
    backlog.append(parcel(2))  # there is room again, but 1 comes first
    assert drain(backlog) == [0, 1, 2]
    backlog.append(parcel(3))
    assert len(list(tmp_path.glob("*/*.seg1"))) == 1
    backlog.close()


def _no_space(*_: object) -> int:
    raise OSError(28, "No space left on device")


@given(sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 9)), max_size=40))
def test_the_memory_queue_loses_only_the_oldest_and_counts_it(sizes: list[tuple[int, int]]) -> None:
    queue = MemoryQueue(1_000)
    parcels = [parcel(number, items, size) for number, (size, items) in enumerate(sizes)]
    for each in parcels:
        queue.append(each)
    kept = drain(Backlog(None, queue))
    assert kept == list(range(len(parcels)))[len(parcels) - len(kept) :]
    assert queue.dropped == sum(each.items for each in parcels[: len(parcels) - len(kept)])
    assert len(kept) == len(parcels) or sum(len(each.body) for each in parcels[-len(kept) - 1 :]) > 1_000
