"""A1: a delivering process that is killed at any step loses no message and gives none another id."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spanledger_alerts.delivery import Outbox, Receiver
from spanledger_alerts.records import Alert, Notification
from spanledger_ingest.auth import StateDb

FULL = os.environ.get("SPANLEDGER_FULL") == "1"
MESSAGES = 10_000 if FULL else 300
KILLS = 10 if FULL else 2
STEPS = ("before send", "after send", "before mark", "within mark", "after mark")
SECRET = "whsec_" + "c3BhbmxlZGdlci10ZXN0LXNlY3JldC0wMDAwMDAwMQ=="

CHILD = """
import os, pathlib, signal, sys, threading
from spanledger_alerts.delivery import Deliverer, Outbox, Receiver, WebhookNotifier, parse_policy
from spanledger_ingest.auth import StateDb

data, port, secret, step, left = *sys.argv[1:5], int(sys.argv[5])
lock = threading.Lock()

def reached(here):
    global left
    if here == step:
        with lock:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

class Notifier(WebhookNotifier):
    def notify(self, message):
        reached("before send")
        attempt = super().notify(message)
        reached("after send")
        return attempt

class Killed(Outbox):
    def record(self, ended):
        reached("before mark")
        with database.transaction():
            dead = super().record(ended)
            reached("within mark")
        reached("after mark")
        return dead

database = StateDb(pathlib.Path(data))
policy = parse_policy(allow=["127.0.0.1"], ports=[int(port)], allow_http=True)
receiver = Receiver(name="ops", url=f"http://127.0.0.1:{port}/", secrets=(secret,), policy=policy)
outbox = Killed(database, {"ops": receiver})
deliverer = Deliverer(outbox, {"ops": Notifier(receiver)})
deliverer.start()
while outbox.waiting():
    threading.Event().wait(0.02)
deliverer.stop()
"""


class Receiving:
    """Remembers the ids it got, in order."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        receiving = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                receiving.ids.append(self.headers["webhook-id"])
                self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the other side is killed
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    found = Receiving()
    yield found
    found.close()


def notification(number: int) -> Notification:
    alert = Alert(
        id=f"alert-{number}",
        fingerprint=f"{number:016x}",
        rule="error-burst",
        severity="critical",
        owner="acme",
        labels={},
        status="firing",
        summary="",
        value=None,
        threshold=None,
        window="",
        impact_usd=None,
        links={},
        started_ns=0,
    )
    return Notification(
        id=f"m{number:05}",
        receiver="ops",
        group_key=f"g{number % 20}",
        group_labels={},
        status="firing",
        alerts=(alert,),
        created_ns=0,
    )


def deliver(data: Path, port: int, step: str, after: int) -> int:
    """Run the child until it is done, or kills itself at a step."""
    command = [sys.executable, "-c", CHILD, str(data), str(port), SECRET, step, str(after)]
    return subprocess.run(command, check=False, timeout=600).returncode


@pytest.mark.timeout(3600 if FULL else 300)
def test_a1_kill_9_at_every_step_loses_no_message_and_changes_no_id(tmp_path: Path, receiving: Receiving) -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable
    receiver = Receiver(name="ops", url="https://ops.example/", secrets=(SECRET,))
    with closing(StateDb(tmp_path)) as state:
        outbox = Outbox(state, {"ops": receiver})
        with state.transaction():
            for number in range(MESSAGES):
                outbox.enqueue(notification(number))
    kills: Counter[str] = Counter()
    for step in STEPS * KILLS:
        code = deliver(tmp_path, receiving.port, step, chance.randint(1, MESSAGES // (len(STEPS) * KILLS * 4)))
        assert code == -signal.SIGKILL
        kills[step] += 1
    assert deliver(tmp_path, receiving.port, "never", 1) == 0
    with closing(StateDb(tmp_path)) as state:
        ends = Counter(message.state for message in Outbox(state, {}).messages(limit=2 * MESSAGES))
    assert ends == {"delivered": MESSAGES}
    assert set(receiving.ids) == {f"m{number:05}" for number in range(MESSAGES)}  # none missing, none new
    for group in range(20):  # order: a repeated message is never one before the last that was marked
        first = list(dict.fromkeys(id_ for id_ in receiving.ids if int(id_[1:]) % 20 == group))
        assert first == sorted(first)
    repeated = len(receiving.ids) - MESSAGES
    assert repeated <= 4 * sum(kills.values())  # at most what was under way at each kill
    print(f"A1: {MESSAGES} messages, {dict(kills)} kills: 0 missing, {repeated} sent again under their id")  # noqa: T201
