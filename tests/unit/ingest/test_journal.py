"""The journal: what was acknowledged is replayed exactly, whatever happens to the rest of the disk."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_ingest.errors import (
    DataDirError,
    DataDirInUseError,
    JournalClosedError,
    JournalFullError,
    JournalUnavailableError,
)
from spanledger_ingest.journal import DataDirLock, Entry, Journal, JournalConfig, Received

ROOMY = JournalConfig(min_free_bytes=0)
SMALL_SEGMENTS = JournalConfig(segment_bytes=300, min_free_bytes=0)


def request(number: int, body: bytes = b"") -> Received:
    return Received(
        signal=("traces", "logs", "metrics")[number % 3],
        encoding="json" if number % 2 else "protobuf",
        content_encoding=("", "gzip", "deflate")[number % 3],
        owner=f"ténant-{number % 4}",
        received_ns=10**18 + number,
        body=body or f"body {number} ".encode() * (number % 7 + 1),
    )


def write(journal: Journal, count: int, first: int = 0) -> list[Entry]:
    futures = [journal.append(request(number)) for number in range(first, first + count)]
    return [future.result(30) for future in futures]


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def replayed(directory: Path, position: int = 0) -> tuple[list[Entry], Journal]:
    journal = Journal(directory, config=ROOMY)
    journal.close()
    return list(journal.replay(position)), journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path, config=ROOMY)
    yield opened
    opened.close()


def test_entries_are_replayed_as_they_came_and_in_order(journal: Journal) -> None:
    entries = write(journal, 50)
    assert [entry.received for entry in entries] == [request(number) for number in range(50)]
    assert list(journal.replay(0)) == entries
    assert journal.read(entries[7].offset) == entries[7]


def test_replay_from_an_offset_yields_only_what_follows(journal: Journal) -> None:
    entries = write(journal, 10)
    assert list(journal.replay(entries[4].end)) == entries[5:]
    assert list(journal.replay(journal.end)) == []


def test_offsets_grow_over_segments_and_restarts(tmp_path: Path) -> None:
    entries: list[Entry] = []
    for start in range(0, 40, 10):
        journal = Journal(tmp_path, config=SMALL_SEGMENTS)
        for number in range(start, start + 10):
            entries += write(journal, 1, number)
        journal.close()
    assert len(segments(tmp_path)) > 4
    assert all(before.end <= after.offset for before, after in pairwise(entries))
    for position in (0, entries[15].end, entries[27].offset):
        assert replayed(tmp_path, position)[0] == [entry for entry in entries if entry.offset >= position]


def test_offsets_are_never_below_what_the_store_has_even_if_the_journal_is_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path, stored_position=5000, config=ROOMY)
    entry = write(journal, 1)[0]
    assert entry.offset >= 5000
    assert list(journal.replay(5000)) == [entry]
    journal.close()


def test_appends_that_wait_share_one_sync(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    write(journal, 1)
    syncs: list[int] = []
    first_sync, go_on = threading.Event(), threading.Event()
    sync = os.fdatasync

    def slow_sync(file: int) -> None:
        syncs.append(file)
        first_sync.set()
        assert go_on.wait(30)
        sync(file)

    monkeypatch.setattr("spanledger_ingest.journal._segments._datasync", slow_sync)
    first = journal.append(request(1))
    assert first_sync.wait(30)
    others = [journal.append(request(number)) for number in range(2, 102)]
    assert not first.done()
    go_on.set()
    assert len({other.result(30).offset for other in others}) == 100
    assert len(syncs) == 2


def test_the_callback_comes_in_order_and_before_the_future(journal: Journal) -> None:
    seen: list[Entry] = []
    futures = [journal.append(request(number), seen.append) for number in range(100)]
    last = futures[-1].result(30)
    assert seen[-1] == last
    assert [entry.received for entry in seen] == [request(number) for number in range(100)]


def test_a_cancelled_append_does_no_harm(journal: Journal) -> None:
    journal.append(request(0)).cancel()
    assert write(journal, 1, 1)[0].received == request(1)


def test_stored_segments_are_deleted_and_others_are_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path, config=SMALL_SEGMENTS)
    entries = [write(journal, 1, number)[0] for number in range(30)]
    before = len(segments(tmp_path))
    journal.forget(entries[14].end)
    assert 1 < len(segments(tmp_path)) < before
    assert list(journal.replay(entries[14].end)) == entries[15:]
    journal.forget(journal.end)
    assert len(segments(tmp_path)) == 1
    assert journal.backlog_bytes == 0
    journal.close()


def test_a_large_segment_is_left_as_soon_as_the_store_has_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, config=ROOMY)
    journal.append(request(0, bytes(2 * 1024 * 1024))).result(30)
    journal.forget(journal.end)
    write(journal, 1)
    journal.forget(journal.end)
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 1000
    journal.close()


def test_a_closed_journal_keeps_nothing_that_the_store_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path, config=ROOMY)
    entries = write(journal, 3)
    journal.forget(entries[-1].end)
    journal.close()
    assert segments(tmp_path) == []
    again = Journal(tmp_path, stored_position=entries[-1].end, config=ROOMY)
    assert write(again, 1)[0].offset >= entries[-1].end
    again.close()


def test_an_idle_journal_keeps_nothing_that_the_store_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path, config=JournalConfig(min_free_bytes=0, retire_seconds=0.001))
    entry = write(journal, 1)[0]
    assert list(journal.replay(0)) == [entry]
    journal.forget(entry.end)
    until = time.monotonic() + 30
    while segments(tmp_path):
        assert time.monotonic() < until
    later = write(journal, 1)[0]
    assert later.offset >= entry.end
    assert list(journal.replay(entry.end)) == [later]
    journal.close()


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_whatever_is_stored_and_deleted_meanwhile_the_rest_is_replayed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    config = JournalConfig(min_free_bytes=0, retire_seconds=0.001, segment_bytes=200)
    journal = Journal(tmp_path_factory.mktemp("journal"), config=config)
    entries: list[Entry] = []
    stored = 0
    for step in steps:
        if step:
            entries += write(journal, step, len(entries))
        elif entries:
            stored = (stored + len(entries) + 1) // 2
            journal.forget(entries[stored - 1].end)
        position = entries[stored - 1].end if stored else 0
        assert list(journal.replay(position)) == entries[stored:]
    journal.close()


def test_the_backlog_is_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path, config=JournalConfig(max_backlog_bytes=1000, min_free_bytes=0))
    journal.append(request(0, bytes(800))).result(30)
    with pytest.raises(JournalFullError):
        journal.append(request(1, bytes(800)))
    journal.forget(journal.end)
    journal.append(request(1, bytes(800))).result(30)
    journal.close()


def test_too_little_free_space_refuses_before_the_disk_is_full(tmp_path: Path) -> None:
    journal = Journal(tmp_path, config=JournalConfig(min_free_bytes=2**62))
    for number in range(3):
        with pytest.raises(JournalUnavailableError, match="free space"):
            journal.append(request(number)).result(30)
    journal.close()
    assert segments(tmp_path) == []


@pytest.mark.parametrize("broken", ["write", "sync"])
def test_a_failing_disk_refuses_and_recovers_by_itself(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    good = write(journal, 3)
    with monkeypatch.context() as patched:
        if broken == "write":
            really = os.write
            # Half a frame arrives, then the disk is full.
            patched.setattr(os, "write", lambda file, data: really(file, data[: len(data) // 2 or fail()]))
        else:
            patched.setattr("spanledger_ingest.journal._segments._datasync", lambda _file: fail())
        for number in range(3, 6):
            with pytest.raises(JournalUnavailableError, match="No space left"):
                journal.append(request(number)).result(30)
    good += write(journal, 3, 6)
    assert list(journal.replay(0)) == good
    journal.close()
    assert replayed(journal._directory)[0] == good


def fail() -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_closed_journal_refuses_appends(tmp_path: Path) -> None:
    journal = Journal(tmp_path, config=ROOMY)
    waiting = journal.append(request(0))
    journal.close()
    journal.close()
    assert waiting.result(0).received == request(0)
    with pytest.raises(JournalClosedError):
        journal.append(request(1))


def test_reading_where_no_entry_is_fails_clearly(journal: Journal) -> None:
    entries = write(journal, 3)
    for offset in (0, entries[0].offset + 1, journal.end, 10**9):
        with pytest.raises(JournalUnavailableError):
            journal.read(offset)


# Damage. Three whole frames stand before the last one, which is damaged in every way that a crash or a disk knows.


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, bytes, list[Entry]]:
    journal = Journal(tmp_path / "written", config=ROOMY)
    entries = write(journal, 4)
    journal.close()
    path = segments(tmp_path / "written")[0]
    return path, path.read_bytes(), entries


def damage(tmp_path: Path, path: Path, content: bytes) -> tuple[list[Entry], Journal]:
    directory = tmp_path / "damaged"
    directory.mkdir(exist_ok=True)
    (directory / path.name).write_bytes(content)
    return replayed(directory)


def test_truncation_at_every_byte_of_the_last_frame(tmp_path: Path, written: Any) -> None:
    path, content, entries = written
    for length in range(entries[3].offset, entries[3].end):
        found, journal = damage(tmp_path, path, content[:length])
        assert found == entries[:3]
        assert len(journal.damages) == (length > entries[3].offset)


def test_every_flipped_byte_of_the_last_frame(tmp_path: Path, written: Any) -> None:
    path, content, entries = written
    for position in range(entries[3].offset, entries[3].end):
        flipped = bytearray(content)
        flipped[position] ^= 0x41
        found, journal = damage(tmp_path, path, bytes(flipped))
        assert found == entries[:3]
        assert [one.position for one in journal.damages] == [entries[3].offset]


def test_every_flipped_byte_of_a_frame_in_the_middle_costs_only_that_frame(tmp_path: Path, written: Any) -> None:
    path, content, entries = written
    for position in range(entries[1].offset, entries[1].end):
        flipped = bytearray(content)
        flipped[position] ^= 0x41
        found, journal = damage(tmp_path, path, bytes(flipped))
        assert found == [entries[0], *entries[2:]]
        assert [(one.position, one.length) for one in journal.damages] == [
            (entries[1].offset, entries[1].end - entries[1].offset)
        ]


def test_a_flipped_byte_of_the_header_costs_nothing(tmp_path: Path, written: Any) -> None:
    path, content, entries = written
    for position in range(entries[0].offset):
        flipped = bytearray(content)
        flipped[position] ^= 0x41
        found, journal = damage(tmp_path, path, bytes(flipped))
        assert found == entries
        assert [one.reason for one in journal.damages] == ["segment header"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=200))
def test_appended_noise_costs_nothing(tmp_path: Path, written: Any, noise: bytes) -> None:
    path, content, entries = written
    assert damage(tmp_path, path, content + noise)[0] == entries


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=40)), min_size=1, max_size=4))
def test_whatever_is_overwritten_what_is_replayed_was_written_and_in_order(
    tmp_path: Path, written: Any, cuts: list[tuple[int, bytes]]
) -> None:
    path, content, entries = written
    changed = bytearray(content)
    for position, patch in cuts:
        position %= len(changed)  # noqa: PLW2901 - brought into range
        changed[position : position + len(patch)] = patch
    bodies = [entry.received for entry in damage(tmp_path, path, bytes(changed))[0]]
    assert bodies == [entry.received for entry in entries if entry.received in bodies]


def test_a_new_segment_follows_a_torn_one(written: Any) -> None:
    path, content, entries = written
    path.write_bytes(content[:-3])
    journal = Journal(path.parent, config=ROOMY)
    fresh = write(journal, 2, 10)
    assert fresh[0].offset >= entries[3].end - 3
    assert list(journal.replay(0)) == entries[:3] + fresh
    journal.close()


def test_damaged_bytes_are_kept_aside(tmp_path: Path, written: Any) -> None:
    path, content, entries = written
    damage(tmp_path, path, content[:-3])
    copies = list((tmp_path / "damaged" / "quarantine").iterdir())
    assert [copy.read_bytes() for copy in copies] == [content[entries[3].offset : -3]]


def test_a_body_cannot_pass_itself_off_as_a_frame(tmp_path: Path, written: Any) -> None:
    _path, content, entries = written
    journal = Journal(tmp_path / "victim", config=ROOMY)
    journal.append(request(1, content[entries[0].offset :])).result(30)  # holds whole frames, of another segment
    journal.close()
    victim = segments(tmp_path / "victim")[0]
    flipped = bytearray(victim.read_bytes())
    flipped[40] ^= 1
    victim.write_bytes(bytes(flipped))
    assert replayed(victim.parent)[0] == []


@pytest.mark.parametrize("content", [b"", b"SPAN", b"SPANLEDGER1\n", bytes(5000)])
def test_a_segment_without_a_frame_does_not_prevent_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{0:020d}-{'ab' * 8}.journal").write_bytes(content)
    (tmp_path / "note.txt").write_text("not a segment")
    journal = Journal(tmp_path, config=ROOMY)
    assert list(journal.replay(0)) == []
    entries = write(journal, 2)
    assert list(journal.replay(0)) == entries
    journal.close()


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from spanledger_ingest.journal import Journal, JournalConfig, Received\n"
        "journal = Journal(pathlib.Path(sys.argv[1]), config=JournalConfig(min_free_bytes=0, segment_bytes=5000))\n"
        "number = 0\n"
        "while True:\n"
        "    group = [Received(signal='traces', encoding='protobuf', received_ns=0, body=b'%d' % n)\n"
        "             for n in range(number, number + 5)]\n"
        "    for future in [journal.append(one) for one in group]: future.result()\n"
        "    number += 5\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(40)]
        child.kill()
        acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    bodies = [int(entry.received.body) for entry in replayed(tmp_path)[0]]
    assert bodies == list(range(len(bodies)))
    assert len(bodies) >= acknowledged[-1]


# The data directory


def test_a_data_directory_in_use_names_the_process(tmp_path: Path) -> None:
    with DataDirLock(tmp_path):
        script = "import sys; from pathlib import Path; from spanledger_ingest.journal import DataDirLock\n"
        script += "DataDirLock(Path(sys.argv[1]))"
        command = [sys.executable, "-c", script, str(tmp_path)]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert f"is in use by process {os.getpid()}" in other.stderr
        with pytest.raises(DataDirInUseError, match="--data"):
            DataDirLock(tmp_path)
    with DataDirLock(tmp_path):
        pass


@pytest.mark.parametrize("name", ["file", "file/below"])
@pytest.mark.parametrize("use", [DataDirLock, Journal])
def test_a_data_directory_that_cannot_be_used_is_a_clear_error(
    tmp_path: Path, name: str, use: Callable[[Path], object]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="cannot"):
        use(tmp_path / name)
