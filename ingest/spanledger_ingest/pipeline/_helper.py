"""A second process that reads journaled requests.

Reading (decompressing, decoding, normalising, writing rows) and storing (settling, pricing, the database) each keep an
interpreter busy, and one interpreter uses one core. So where there is a backlog the first half goes to a process of its
own. It has no state and decides nothing: whoever asks can do the same itself, and does so if this process is lost.
"""

import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from spanledger_ingest.journal import Received
from spanledger_ingest.pipeline._prepare import Prepared, where
from spanledger_ingest.pipeline._wire import dump, load
from spanledger_ingest.runtime import tune

_log = logging.getLogger(__name__)

LINES: Final = 2
"""Requests that are asked for at a time: the process has one at hand while the answer to another is fetched."""
_PROGRAM: Final = f"from {__name__} import serve; serve()"
_PACKAGE: Final = "spanledger"
_HUNG_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 10.0
"""Between the loss of a process and the next attempt."""


class NoHelpError(Exception):
    """The process is busy, or gone, or does not answer; nothing was done."""


@dataclass(slots=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    greeting: "Connection[Any, Any]"
    lines: "queue.SimpleQueue[Connection[Any, Any]]" = field(default_factory=queue.SimpleQueue)
    """Those that nobody waits at."""
    greeted: bool = False

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Helper:
    """Starts the process when it is first wanted, replaces it when it is lost, ends it when it has a rest.

    Args:
        read: what it does; must be picklable, and never raise.
    """

    def __init__(self, read: Callable[[Received], Prepared]) -> None:
        self.losses = 0
        self._setup = dump((version(_PACKAGE), read))
        self._lock = threading.RLock()
        self._running: _Running | None = None
        self._not_before = 0.0
        self._closed = False

    @property
    def started(self) -> bool:
        """Whether there is a process."""
        return self._running is not None

    def ready(self) -> bool:
        """Tell whether it can be asked now. If there is no process, one is started; that takes a second."""
        with self._lock:
            running = self._running
            if running is None:
                may_start = not self._closed and time.monotonic() >= self._not_before
                self._running = self._start() if may_start else None
                return False
            try:
                running.greeted = running.greeted or (running.greeting.poll() and bool(running.greeting.recv_bytes()))
            except (OSError, EOFError) as error:
                self._lose(running, error)
                return False
            return running.greeted

    def read(self, received: Received) -> Prepared:
        """Have a request read. For :data:`LINES` threads at a time; more are sent away.

        Raises:
            NoHelpError: do it yourself.
        """
        running = self._running
        if running is None:
            raise NoHelpError
        try:
            line = running.lines.get_nowait()
        except queue.Empty:
            raise NoHelpError from None
        try:
            answer = _asked(line, received)
        except Exception as error:
            # Whatever it is (the process is gone, its memory was short, it sends what cannot be read): go on without.
            self._lose(running, error)
            raise NoHelpError from error
        running.lines.put(line)
        return answer

    def rest(self) -> None:
        """End the process; the next one who asks starts another. Idempotent."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.end()

    def close(self) -> None:
        """End the process for good; who waits for an answer is sent away. Idempotent."""
        with self._lock:
            self._closed = True
        self.rest()

    def _start(self) -> _Running | None:
        pairs = [Pipe() for _ in range(LINES)]
        theirs = [end.fileno() for _, end in pairs]
        try:
            process = subprocess.Popen(  # noqa: S603 - this interpreter and a constant
                [sys.executable, "-P", "-c", _PROGRAM, *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=theirs,
                start_new_session=True,  # Ctrl+C is for the service, which ends this when all is stored
            )
            running = _Running(process, pairs[0][0])
            pairs[0][0].send_bytes(self._setup)
        except OSError as error:
            _log.warning("cannot start a second process, going on with one: %s", error)
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            return None
        finally:
            for _, end in pairs:
                end.close()
        for line, _ in pairs:
            running.lines.put(line)
        return running

    def _lose(self, running: _Running, error: Exception) -> None:
        with self._lock:
            if self._running is not running:
                return
            self._running = None
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            self.losses += 1
        running.end()
        _log.error("the second process is lost (%s); its work is done here", where(error))


def _asked(line: "Connection[Any, Any]", received: Received) -> Prepared:
    line.send_bytes(dump(received))
    if not line.poll(_HUNG_SECONDS):
        raise EOFError
    answer = load(line.recv_bytes())
    if not isinstance(answer, Prepared):
        raise TypeError
    return answer


def serve() -> None:
    """Be the process: answer until the one who asks is gone."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    tune()
    lines = [Connection(int(number)) for number in sys.argv[1:]]
    wanted, read = load(lines[0].recv_bytes())
    if wanted != version(_PACKAGE):
        return  # the package was replaced under the running service
    lines[0].send_bytes(b"ready")
    try:
        while True:
            ready = wait(lines)
            for line in (line for line in lines if line in ready):
                line.send_bytes(dump(read(load(line.recv_bytes()))))
    except (EOFError, OSError):
        return
