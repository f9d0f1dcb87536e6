"""G4: a damaged database log or journal tail costs nothing that was acknowledged, and is kept aside and told."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Server, Tools

pytestmark = pytest.mark.timeout(1800)  # for the full length on a busy machine

Damage = Callable[[bytes], bytes]


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :]


DAMAGES: dict[str, Damage] = {
    "cut by a byte": lambda data: data[:-1],
    "cut in half": lambda data: data[: len(data) // 2],
    "a bit in the middle": lambda data: flip(data, len(data) // 2),
    "a bit near the end": lambda data: flip(data, len(data) - 500),
    "the first byte": lambda data: flip(data, 0),
    "zeroed tail": lambda data: data[:-4096] + bytes(4096),
    "zeroed": lambda data: bytes(len(data)),
    "noise": lambda data: os.urandom(len(data)),
    "noise behind it": lambda data: data + os.urandom(3000),
}


@pytest.mark.slow
def test_g4_damaged_logs_are_made_good_from_the_journal(server: "Server", tools: "Tools") -> None:
    load = tools.load(server)
    aside: set[Path] = set()
    for name, damage in DAMAGES.items():
        load.start()
        load.wait_for(20)
        server.kill()
        load.stop()
        log = server.data / "spanledger.duckdb.wal"
        log.write_bytes(damage(log.read_bytes()))
        server.start()
        load.check()
        found = set((server.data / "quarantine").glob("*")) - aside
        told = server.log.read_text()
        assert all(path.name in told for path in found), f"{name}: {found} is not in the log"
        aside |= found
    assert len(aside) >= 2
    assert server.metrics()["spanledger_journal_damages"] == 0
    tools.report("G4 WAL", damages=len(DAMAGES), set_aside=len(aside), **load.check())


@pytest.mark.slow
def test_g4_a_torn_journal_tail_costs_only_what_was_not_acknowledged(server: "Server", tools: "Tools") -> None:
    load = tools.load(server)
    for tail in (os.urandom(3000), bytes(5000), b"half of the last frame"):
        load.start()
        load.wait_for(20)
        server.kill()
        load.stop()
        segment = max((server.data / "journal").glob("*.journal"))
        whole = segment.read_bytes()
        torn = whole[-2000:-700] if tail.startswith(b"half") else tail
        segment.write_bytes(whole + torn)
        log = server.data / "spanledger.duckdb.wal"
        log.write_bytes(log.read_bytes()[:-10])
        server.start()
        load.check()
        assert server.metrics()["spanledger_journal_damages"] >= 1
        assert "copied to quarantine" in server.log.read_text()
    assert list((server.data / "journal" / "quarantine").glob("*"))
    tools.report("G4 journal", **load.check())
