"""Debian's Alertmanager as the oracle: what it sends, and what it takes."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from spanledger_alerts.delivery import Outbox, Receiver, WebhookNotifier, parse_policy, sample
from spanledger_alerts.delivery.shapes import RENDERINGS, Said
from spanledger_alerts.records import Status
from spanledger_ingest.auth import StateDb

PROGRAM = shutil.which("prometheus-alertmanager")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Alertmanager:
    """One that sends what it gets to a server of ours."""

    def __init__(self, directory: Path) -> None:
        self.told: list[Any] = []
        manager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                manager.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        config = directory / "alertmanager.yml"
        config.write_text(
            "route: {receiver: hook, group_by: [alertname, tenant], group_wait: 10ms, group_interval: 200ms}\n"
            "receivers:\n"
            f"- {{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{self.server.server_address[1]}/'}}]}}\n"
        )
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        listen = [f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="]
        files = [f"--config.file={config}", f"--storage.path={directory / 'state'}"]
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen([str(PROGRAM), *listen, *files], stdout=log, stderr=log)

    def ready(self) -> bool:
        assert self.process.poll() is None
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    if PROGRAM is None:
        message = "prometheus-alertmanager is missing (Debian: prometheus-alertmanager)"
        assert os.environ.get("SPANLEDGER_REQUIRE_TOOLS") != "1", message
        pytest.skip(message)
    found = Alertmanager(tmp_path_factory.mktemp("alertmanager"))
    try:
        eventually(found.ready)
        yield found
    finally:
        found.stop()


def test_it_takes_what_we_push_and_what_it_sends_is_what_we_send(alertmanager: Alertmanager, tmp_path: Path) -> None:
    """Firing three times is one alert to it, resolving ends it; its webhook and ours have the same structure."""
    policy = parse_policy(allow=["127.0.0.1"], ports=[alertmanager.port], allow_http=True)
    receiver = Receiver(name="hook", url=alertmanager.url, shape="alertmanager_api", policy=policy)
    notifier = WebhookNotifier(receiver, base_url="https://ledger.example")
    now = time.time_ns()
    with closing(StateDb(tmp_path)) as state:
        outbox = Outbox(state, {"hook": receiver})

        def push(id_: str, status: Status, at_ns: int) -> None:
            outbox.enqueue(sample(id_, "hook", at_ns, status))
            [message] = outbox.due("hook", 1)
            attempt = notifier.notify(message)
            assert attempt.ok, attempt
            outbox.record([(message, attempt)])

        for number in range(3):
            push(f"f{number}", "firing", now)
        firing = eventually(lambda: alertmanager.told and alertmanager.told[-1])
        push("r", "resolved", now)
        resolved = eventually(lambda: alertmanager.told[-1]["status"] == "resolved" and alertmanager.told[-1])

    assert [told["status"] for told in alertmanager.told] == ["firing", "resolved"]
    for theirs, status in ((firing, "firing"), (resolved, "resolved")):
        said = Said(sample("x", "hook", now, status), "hook", "https://ledger.example")  # type: ignore[arg-type]
        ours = json.loads(RENDERINGS["alertmanager"].render(said))
        assert structure(ours) == structure(theirs)
        for name in ("receiver", "status", "groupLabels", "commonLabels", "commonAnnotations", "version"):
            assert ours[name] == theirs[name], name
        for name in ("status", "labels", "annotations", "generatorURL"):
            assert ours["alerts"][0][name] == theirs["alerts"][0][name], name


def structure(node: Any) -> Any:
    """The names and kinds of a document, without its values."""
    if isinstance(node, dict):
        return {name: structure(value) for name, value in node.items()}
    return [structure(node[0])] if isinstance(node, list) and node else type(node).__name__
