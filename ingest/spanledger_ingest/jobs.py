"""What the service does from time to time: retention, and whatever else has a rhythm of its own."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from spanledger_alerts.errors import AlertsError
from spanledger_analytics.errors import AnalyticsError
from spanledger_ingest.errors import IngestError
from spanledger_ingest.frames import frames
from spanledger_ingest.store import JobState

_log = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 0.05
"""Between the steps of a job that has more to do: the writer gets its turn."""
_FIRST_RETRY_SECONDS: Final = 1.0
_LAST_RETRY_SECONDS: Final = 300.0
_LONGEST_SLEEP_SECONDS: Final = 3600.0
_REMEMBERED_SECONDS: Final = 60.0
"""Jobs that run more often begin at once after a restart."""
_PATIENCE_SECONDS: Final = 60.0
"""Jobs that give way take a step each this often, however long others are busy."""
_GIVE_WAY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every ``interval`` seconds.

    ``step`` does a bounded piece of the work and tells whether there is more to do at once. It runs on the thread of
    all jobs, so it must not be long, and must be safe to repeat.
    """

    name: str
    interval: float
    step: Callable[[], bool]


class JobStates(Protocol):
    """Where it is kept when jobs finished."""

    def job_state(self, name: str) -> JobState | None:
        """Return what was saved last."""
        ...

    def save_job_state(self, name: str, state: JobState) -> None:
        """Remember that a job finished."""
        ...


@dataclass(slots=True)
class JobStats:
    """Counts since the start."""

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0
    """Time spent in steps."""
    finished_ns: int = 0
    """Of the last success, by the wall clock; 0 for never."""
    lag: float = 0.0
    """Seconds for which the job has been due and is not finished."""


class _Scheduled:
    def __init__(self, job: Job, due: float, finished_ns: int) -> None:
        self.job = job
        self.due = due
        self.wake = due
        """When to take the next step; later than ``due`` after a failure."""
        self.retry = _FIRST_RETRY_SECONDS
        self.stats = JobStats(finished_ns=finished_ns)


def _told(error: Exception) -> str:
    """Return our own errors in their words, and of others only where they were: theirs may quote what is stored."""
    return str(error) if isinstance(error, IngestError | AnalyticsError | AlertsError) else frames(error)


class Jobs:
    """Runs jobs one step at a time, on one thread, at intervals that no change of the clock can shorten or stretch.

    A job that fails is logged, counted and tried again after a growing wait; the others do not notice. A restart goes
    on with the interval where it was.

    Args:
        jobs: what to do.
        states: remembers over restarts.
        monotonic: seconds; measures intervals.
        wall: nanoseconds since the epoch; only tells, at the start, how long ago a job finished.
        busy: tells whether something more urgent needs the interpreter. Meanwhile there is a step of each job a minute.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        states: JobStates,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._states = states
        self._busy = busy
        self._waits_since: float | None = None
        self._monotonic = monotonic
        self._wall = wall
        self._lock = threading.Lock()
        self._scheduled = [self._schedule(job) for job in jobs]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def _schedule(self, job: Job) -> _Scheduled:
        state = self._states.job_state(job.name)
        ago = job.interval if state is None else (self._wall() - state.finished_ns) / 1e9
        wait = min(max(job.interval - ago, 0.0), job.interval)  # whatever the clock did in between
        return _Scheduled(job, self._monotonic() + wait, 0 if state is None else state.finished_ns)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Let the step that runs end, and begin no other. Idempotent."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def run_due(self) -> float:
        """Take one step of every job that is due; return the seconds until there is something to do again."""
        if self._gives_way():
            return _GIVE_WAY_SECONDS
        for scheduled in self._scheduled:
            if scheduled.wake <= self._monotonic() and not self._stop.is_set():
                self._step(scheduled)
        wakes = [scheduled.wake - self._monotonic() for scheduled in self._scheduled]
        return min([_LONGEST_SLEEP_SECONDS, *(max(wake, 0.0) for wake in wakes)])

    def _gives_way(self) -> bool:
        if not self._busy():
            self._waits_since = None
            return False
        now = self._monotonic()
        if self._waits_since is None or now - self._waits_since >= _PATIENCE_SECONDS:
            waits, self._waits_since = self._waits_since is None, now
            return waits
        return True

    def stats(self) -> Iterator[tuple[str, JobStats]]:
        """Yield the name and the counts of every job."""
        for scheduled in self._scheduled:
            with self._lock:
                stats = scheduled.stats
                lag = max(0.0, self._monotonic() - scheduled.due)
                yield scheduled.job.name, JobStats(stats.runs, stats.failures, stats.seconds, stats.finished_ns, lag)

    def _run(self) -> None:
        while not self._stop.wait(self.run_due()):
            pass

    def _step(self, scheduled: _Scheduled) -> None:
        began = self._monotonic()
        try:
            more = scheduled.job.step()
            if not more and scheduled.job.interval >= _REMEMBERED_SECONDS:
                self._states.save_job_state(scheduled.job.name, JobState(self._wall()))
        except Exception as error:  # noqa: BLE001 - the worker loop: no job may stop the others
            _log.error("job %s failed, trying again in %.0f s: %s", scheduled.job.name, scheduled.retry, _told(error))
            self._failed(scheduled, began)
        else:
            self._succeeded(scheduled, began, more=more)

    def _failed(self, scheduled: _Scheduled, began: float) -> None:
        with self._lock:
            now = self._monotonic()
            scheduled.stats.failures += 1
            scheduled.stats.seconds += now - began
            scheduled.wake = now + scheduled.retry
            scheduled.retry = min(2 * scheduled.retry, _LAST_RETRY_SECONDS)

    def _succeeded(self, scheduled: _Scheduled, began: float, *, more: bool) -> None:
        with self._lock:
            now = self._monotonic()
            scheduled.stats.seconds += now - began
            scheduled.retry = _FIRST_RETRY_SECONDS
            scheduled.wake = now + _PAUSE_SECONDS
            if not more:
                scheduled.stats.runs += 1
                scheduled.stats.finished_ns = self._wall()
                scheduled.due = scheduled.wake = now + scheduled.job.interval


class JobGroups:
    """Several :class:`Jobs`, each on a thread of its own: what must be prompt does not wait for what takes its time."""

    def __init__(self, *groups: Jobs) -> None:
        self._groups = groups

    def start(self) -> None:
        """Begin."""
        for group in self._groups:
            group.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End all; a step that runs is waited for, ``timeout`` seconds for each group. Idempotent."""
        for group in self._groups:
            group.stop(timeout)

    def stats(self) -> Iterator[tuple[str, JobStats]]:
        """Yield the name and the counts of every job."""
        for group in self._groups:
            yield from group.stats()
