"""G3: a full disk refuses new data with 503, goes on answering reads, and recovers by itself; nothing is lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Load, Server, Tools

pytestmark = pytest.mark.timeout(1800)  # for the full length on a busy machine

MIB = 1024 * 1024
COUNT = "SELECT count(*) AS calls FROM llm_calls"


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Write a file that leaves only so many bytes free."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        while (free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - leave) > 0:
            try:
                file.write(bytes(min(free, MIB)))
            except OSError:
                return ballast
    return ballast


def refused(load: "Load") -> int:
    return sum(status == 503 for status in load.statuses)


@pytest.mark.slow
@pytest.mark.parametrize("leave", [0, 12 * MIB], ids=["full", "nearly"])
def test_g3_full_disk_is_refused_read_and_survived(
    new_server: Callable[..., "Server"], small_disk: Callable[[int], Path], tools: "Tools", leave: int
) -> None:
    disk = small_disk(96)
    server = new_server(disk / "data")
    server.start()
    load = tools.load(server)
    load.start()
    load.wait_for(50)
    tools.wait_until(lambda: server.one(COUNT)["calls"] > 0, "rows")
    for _ in range(tools.rounds(2, 10)):
        ballast = fill(disk, leave=leave)
        before = refused(load)
        tools.wait_until(lambda before=before: refused(load) > before + 20, "refusals")  # type: ignore[misc]
        assert server.get("/healthz").status == 200
        assert server.get("/api/v1/usage?by=tenant").status == 200
        assert server.one(COUNT)["calls"] > 0
        assert server.metrics()["spanledger_ready"] == 1
        ballast.unlink()
        load.wait_for(20)
    load.stop()
    assert set(load.statuses) <= {200, 503}
    assert set(load.retry_afters) <= {"1", "2"}
    tools.report("G3", left_free=leave, refused=refused(load), **load.check())


@pytest.mark.slow
def test_g3_killed_on_a_full_disk_loses_nothing(
    new_server: Callable[..., "Server"], small_disk: Callable[[int], Path], tools: "Tools"
) -> None:
    disk = small_disk(96)
    server = new_server(disk / "data")
    server.start()
    load = tools.load(server)
    load.start()
    load.wait_for(50)
    ballast = fill(disk)
    tools.wait_until(lambda: refused(load) > 5, "refusals")
    server.kill()
    load.stop()
    server.start(until="/api/v1/usage?by=tenant")
    assert server.post(tools.numbered("refused")).status == 503
    ballast.unlink()
    tools.wait_until(lambda: server.get("/readyz").status == 200, "readiness without a restart")
    load.start()
    load.wait_for(20)
    load.stop()
    load.check()
