"""Jobs run at their intervals, whatever the clock, their neighbours and restarts do."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_ingest.jobs import Job, Jobs
from spanledger_ingest.store import JobState


class States:
    def __init__(self) -> None:
        self.saved: dict[str, JobState] = {}

    def job_state(self, name: str) -> JobState | None:
        return self.saved.get(name)

    def save_job_state(self, name: str, state: JobState) -> None:
        self.saved[name] = state


class Clocks:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 1000.0, 1_000_000 * 10**9

    def sleep(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += round(seconds * 1e9)


def make(clocks: Clocks, states: States, *jobs: Job) -> Jobs:
    return Jobs(jobs, states, monotonic=lambda: clocks.monotonic, wall=lambda: clocks.wall)


def counting(times: list[float], clocks: Clocks, *, more: Callable[[], bool] = lambda: False) -> Callable[[], bool]:
    def step() -> bool:
        times.append(clocks.monotonic)
        return more()

    return step


def run(jobs: Jobs, clocks: Clocks, until: float) -> None:
    while (wait := jobs.run_due()) + clocks.monotonic < until:
        clocks.sleep(max(wait, 0.001))
    clocks.sleep(until - clocks.monotonic)


def test_each_job_has_its_own_rhythm() -> None:
    clocks, often, seldom = Clocks(), list[float](), list[float]()
    jobs = make(
        clocks, States(), Job("often", 10, counting(often, clocks)), Job("seldom", 35, counting(seldom, clocks))
    )
    run(jobs, clocks, 1100)
    assert often == pytest.approx([1000 + 10 * n for n in range(10)])
    assert seldom == pytest.approx([1000, 1035, 1070])


def test_wall_clock_jumps_change_no_interval() -> None:
    clocks, times = Clocks(), list[float]()
    jobs = make(clocks, States(), Job("a", 10, counting(times, clocks)))
    for jump in (3600, -7200, 10**6):
        run(jobs, clocks, clocks.monotonic + 20)
        clocks.wall += jump * 10**9
    assert times == pytest.approx([1000, 1010, 1020, 1030, 1040, 1050])


@given(st.integers(-(10**18), 10**18), st.floats(0, 100))
def test_a_restart_never_waits_longer_than_the_interval(jump: int, down: float) -> None:
    clocks, states, times = Clocks(), States(), list[float]()
    run(make(clocks, states, Job("a", 60, counting(times, clocks))), clocks, 1001)
    clocks.sleep(down)
    restarted, honest = clocks.monotonic, jump == 0
    clocks.wall += jump
    run(make(clocks, states, Job("a", 60, counting(times, clocks))), clocks, restarted + 60.5)
    assert len(times) >= 2
    assert restarted <= times[1] <= restarted + 60
    if honest:
        assert times[1] == pytest.approx(max(1060, restarted))


def test_a_failing_job_is_counted_and_retried_ever_later_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    clocks, times, good = Clocks(), list[float](), list[float]()

    def fail() -> bool:
        times.append(clocks.monotonic)
        raise ValueError("no luck") if len(times) < 5 else KeyError

    states = States()
    jobs = make(clocks, states, Job("bad", 10, fail), Job("good", 10, counting(good, clocks)))
    run(jobs, clocks, 1020.5)
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([1, 2, 4, 8])
    assert good == pytest.approx([1000, 1010, 1020])
    stats = dict(jobs.stats())
    assert (stats["bad"].failures, stats["bad"].runs, stats["good"].failures, stats["good"].runs) == (5, 0, 0, 3)
    assert stats["bad"].lag == pytest.approx(20.5)
    assert stats["good"].lag == 0
    assert "bad" not in states.saved
    assert "job bad failed, trying again in 1 s: ValueError at " in caplog.text
    assert "no luck" not in caplog.text  # it may quote what is stored


def test_a_job_with_more_to_do_comes_back_soon_and_lets_others_in_between() -> None:
    clocks, order = Clocks(), list[str]()

    def long() -> bool:
        order.append("long")
        return order.count("long") < 4

    def short() -> bool:
        order.append("short")
        return False

    states = States()
    jobs = make(clocks, states, Job("long", 100, long), Job("short", 0.06, short))
    run(jobs, clocks, 1000.3)
    assert order.count("long") == 4
    assert order.index("short") < 3
    assert states.saved["long"].finished_ns > 0
    assert dict(jobs.stats())["long"].runs == 1


def test_what_may_wait_gives_way_to_what_may_not_but_is_not_starved() -> None:
    clocks, times = Clocks(), list[float]()
    urgent = range(1030, 1200)
    jobs = Jobs(
        [Job("analysis", 10, counting(times, clocks))],
        States(),
        monotonic=lambda: clocks.monotonic,
        wall=lambda: clocks.wall,
        busy=lambda: int(clocks.monotonic) in urgent,
    )
    run(jobs, clocks, 1215)
    assert times == pytest.approx([1000, 1010, 1020, 1090, 1150, 1200, 1210], abs=0.6)


def test_the_thread_runs_and_stops() -> None:
    import threading

    ran = threading.Event()

    def step() -> bool:
        ran.set()
        return False

    jobs = Jobs([Job("a", 3600, step)], States())
    jobs.start()
    assert ran.wait(30)
    jobs.stop()
    jobs.stop()
    Jobs([], States()).stop()
