"""G1 and G2: what was acknowledged survives kill -9 at any time, and SIGTERM leaves nothing behind to replay."""

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Tools


pytestmark = pytest.mark.timeout(3600)  # for the full length on a busy machine


@pytest.mark.slow
def test_g1_kill_9_at_random_times_loses_and_doubles_nothing(server: "Server", tools: "Tools") -> None:
    load = tools.load(server)
    starts = []
    rounds = tools.rounds(6, 50)
    for _ in range(rounds):
        load.start()
        time.sleep(tools.random.uniform(0.0, 1.5))  # the random time at which it dies
        server.kill()
        load.stop()
        starts.append(server.start())
    assert len(load.acknowledged) >= rounds
    figures = load.check()
    tools.report("G1", rounds=rounds, slowest_start_s=round(max(starts), 1), **figures)


@pytest.mark.slow
def test_g1_kill_9_in_the_middle_of_the_replay_loses_nothing(server: "Server", tools: "Tools") -> None:
    load = tools.load(server)
    load.start()
    load.wait_for(100)
    server.kill()
    load.stop()
    for _ in range(tools.rounds(2, 10)):
        server.start()
        server.kill()
    server.start()
    load.check()


@pytest.mark.slow
def test_g2_sigterm_stores_everything_that_was_acknowledged(server: "Server", tools: "Tools") -> None:
    load = tools.load(server)
    for _ in range(tools.rounds(2, 10)):
        load.start()
        load.wait_for(30)
        assert server.stop() == 0
        load.stop()
        assert list((server.data / "journal").glob("*.journal")) == [], "the next start has something to replay"
        assert list(server.data.glob("*.wal")) == []
        server.start()
    tools.report("G2", **load.check())
