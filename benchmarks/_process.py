"""A server under measurement: its life, its CPU time, its memory, its files."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A process, with its children where it has some."""

    process: "subprocess.Popen[str]"
    log: Path

    def cpu_seconds(self) -> float:
        """Return the CPU time spent so far, children included."""
        return sum(_cpu_seconds(pid) for pid in self._pids())

    def rss_mib(self, *, peak: bool) -> float:
        """Return the resident memory now, or the sum of every process's highest."""
        return sum(_status_kib(pid, "VmHWM" if peak else "VmRSS") for pid in self._pids()) / 1024

    def stop(self) -> None:
        """Ask it to end, and wait; kill it if it does not."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _pids(self) -> list[int]:
        pids = [self.process.pid]
        for pid in pids:  # grows while it is walked: children of children
            pids.extend(_children(pid))
        return pids


@contextmanager
def running(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a server; whatever happens, it has ended afterwards."""
    with log.open("a") as output:
        process = subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE if environment is None else output,
            stderr=output,
            text=True,
            env=None if environment is None else {**os.environ, **environment},
        )
        try:
            yield Server(process, log)
        finally:
            if process.poll() is None:
                Server(process, log).stop()
            if process.stdout is not None:
                process.stdout.close()


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    """Ask until the answer is yes; return whether it was in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(pause)
    return True


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status_kib(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.extend(map(int, task.read_text().split()))
        except OSError:
            continue
    return found
