"""G1 for the second process: whoever of the two is killed while a backlog is read, nothing is lost or doubled."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Tools

pytestmark = pytest.mark.timeout(3600)  # for the full length on a busy machine
SPANS = 1000
REQUESTS = 60
"""Three transactions: the first fills the backlog, so that the second process is wanted for the others."""


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found.extend(map(int, (task / "children").read_text().split()))
        except OSError:  # the thread has ended
            continue
    return found


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def send(server: "Server", tools: "Tools", name: str) -> None:
    """Send faster than one process reads, then wait until there are two."""
    bodies = [tools.numbered(f"{name}-{number}", count=SPANS) for number in range(REQUESTS)]
    assert [server.post(body).status for body in bodies] == [200] * REQUESTS
    tools.wait_until(lambda: bool(children(server.pid)), "the second process is wanted")


def check(server: "Server", rounds: int) -> None:
    server.wait_until_stored()
    sums = "count(*) AS calls, count(DISTINCT span_id) AS spans, sum(cost_usd) AS cost"
    counts = server.one(f"SELECT {sums} FROM llm_calls WHERE billable")  # noqa: S608 - a constant
    assert (counts["calls"], counts["spans"]) == (rounds * REQUESTS * SPANS, rounds * REQUESTS * SPANS)
    assert float(counts["cost"]) == pytest.approx(rounds * REQUESTS * SPANS * 3.5e-5, rel=1e-12)


@pytest.mark.slow
def test_the_second_process_is_killed_and_the_first_does_its_work(server: "Server", tools: "Tools") -> None:
    rounds = tools.rounds(1, 10)
    killed = 0
    for number in range(rounds):
        send(server, tools, str(number))
        for child in children(server.pid):
            os.kill(child, signal.SIGKILL)
            killed += 1
        tools.wait_until(lambda: not children(server.pid), "no zombie")
        server.wait_until_stored()
    check(server, rounds)
    assert killed
    assert "the second process is lost" in server.log.read_text()
    assert server.stop() == 0


@pytest.mark.slow
def test_the_first_is_killed_and_leaves_nobody_behind(server: "Server", tools: "Tools") -> None:
    rounds = tools.rounds(1, 10)
    for number in range(rounds):
        send(server, tools, str(number))
        helpers = children(server.pid)
        server.kill()
        tools.wait_until(lambda gone=helpers: all(map(is_gone, gone)), "nobody is left behind")  # type: ignore[misc]
        server.start()
    check(server, rounds)
