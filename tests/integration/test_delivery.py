"""Delivery in a running service: configuration, REST, the public table, metrics, restarts."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from spanledger_alerts.records import Alert, Notification
from spanledger_ingest.cli import main
from spanledger_ingest.delivery import receivers_of
from spanledger_ingest.doctor import examine
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ServerConfig, Settings, SettingsError, StoreConfig, load_settings

SECRET = "whsec_" + "c3BhbmxlZGdlci10ZXN0LXNlY3JldC0wMDAwMDAwMQ=="


class Hook:
    """A webhook receiver."""

    def __init__(self) -> None:
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Semaphore(0)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.status)
                self.end_headers()
                hook.arrived.release()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def wait(self) -> tuple[dict[str, str], bytes]:
        assert self.arrived.acquire(timeout=30)
        return self.got[-1]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()
    yield found
    found.close()


def table(hook: Hook, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{hook.port}/hook"
    return {"url": url, "secret": SECRET, "allow_http": True, "allow": ["127.0.0.1"], "ports": [hook.port], **more}


@contextmanager
def serving(data: Path, **receivers: dict[str, Any]) -> Iterator[Service]:
    server, store = ServerConfig(port=0, grpc_port=0), StoreConfig(data=data, threads=1)
    service = build_service(Settings(server=server, store=store, receivers=receivers))
    service.start()
    try:
        yield service
    finally:
        service.stop()


def notification(id_: str, owner: str = "acme") -> Notification:
    alert = Alert(
        id=f"alert-of-{id_}",
        fingerprint="00",
        rule="error-burst",
        severity="critical",
        owner=owner,
        labels={"tenant": owner},
        status="firing",
        summary="calls fail",
        value=0.5,
        threshold=0.1,
        window="5m",
        impact_usd=None,
        links={},
        started_ns=time.time_ns(),
    )
    return Notification(
        id=id_,
        receiver="ops",
        group_key="g",
        group_labels={},
        status="firing",
        alerts=(alert,),
        created_ns=time.time_ns(),
    )


def ask(service: Service, path: str, method: str = "GET") -> Any:
    headers = {"content-type": "application/json"} if method == "POST" else {}
    request = urllib.request.Request(service.http_url + path, method=method, headers=headers)  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
        text = answer.read().decode()
    return json.loads(text) if path.startswith("/api") else text


def eventually(look: Any) -> Any:
    """Return what ``look`` finds, once it finds something."""
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_a_message_is_delivered_signed_shown_counted_and_replayed(
    tmp_path: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path, ops=table(hook)) as service:
        service._delivery.outbox.enqueue(notification("n1"))
        headers, body = hook.wait()
        assert Webhook(SECRET).verify(body, headers)["data"]["id"] == "alert-of-n1"

        def delivered() -> Any:
            [item] = ask(service, "/api/v1/deliveries")["items"]
            return item if item["state"] == "delivered" else None

        item = eventually(delivered)
        assert (item["id"], item["endpoint"], item["http_status"], item["attempts"]) == ("n1", "ops", 204, 1)
        assert 'spanledger_delivery_attempts_total{receiver="ops"} 1' in ask(service, "/metrics")

        ask(service, "/api/v1/deliveries/n1/replay", "POST")
        again, same = hook.wait()
        assert (again["webhook-id"], same) == ("n1", body)
        sql = (
            "/api/v1/query?sql=select+id,alert_id,tenant_id,endpoint,attempt,ok,http_status+from+deliveries+order+by+5"
        )
        rows = eventually(lambda: len(found := ask(service, sql)["items"]) == 2 and found)
        assert rows[1] == {
            "id": "n1", "alert_id": "alert-of-n1", "tenant_id": "acme", "endpoint": "ops", "attempt": 2, "ok": True,
            "http_status": 204,
        }  # fmt: skip
        assert main(["deliveries", "replay", "n1", "--url", service.http_url]) == 0
        hook.wait()
        capsys.readouterr()
        assert main(["deliveries", "list", "--url", service.http_url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["id"] == "n1"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(service, "/api/v1/deliveries/none/replay", "POST")


def test_what_waits_at_a_stop_is_delivered_after_the_start(tmp_path: Path, hook: Hook) -> None:
    with serving(tmp_path, ops=table(hook)) as service:
        service._delivery.stop()
        service._delivery.outbox.enqueue(notification("n1"))
    assert hook.got == []
    with serving(tmp_path, ops=table(hook)):
        assert hook.wait()[0]["webhook-id"] == "n1"


def test_the_doctor_connects_to_every_receiver_and_sends_nothing(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    lines = []
    for name, port, allow in (
        ("up", hook.port, "127.0.0.1"),
        ("down", nobody, "127.0.0.1"),
        ("inside", 443, "10.0.0.1"),
    ):
        lines += [f"[receivers.{name}]", 'shape = "slack"', f'url = "http://127.0.0.1:{port}/"', "allow_http = true"]
        lines += [f'allow = ["{allow}"]', f"ports = [{port}]"]
    (tmp_path / "spanledger.toml").write_text("\n".join(lines))
    found = {look.text: look.state for look in examine() if look.check == "receivers"}
    assert found == {
        "up can be reached": "ok",
        "down cannot be reached (ConnectionRefusedError)": "warn",
        "inside: the host is no public address; an operator can add its network to allow": "fail",
    }
    assert hook.got == []


def test_receivers_are_read_from_the_file_with_their_secrets_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_SECRET", SECRET)
    (tmp_path / "url").write_text("https://hooks.slack.com/services/T/B/x\n")
    file = tmp_path / "spanledger.toml"
    file.write_text(
        f"""
        [receivers.ops]
        url = "https://ops.example/hook"
        secret = "env:OPS_SECRET"
        [receivers.slack]
        url = "file:{tmp_path / "url"}"
        shape = "slack"
        fallback = "ops"
        tenants = ["acme"]
        """
    )
    settings = load_settings(file)
    found = receivers_of(settings.receivers)
    assert found["ops"].secrets == (SECRET,)
    assert found["slack"].url == "https://hooks.slack.com/services/T/B/x"
    assert found["slack"].tenants == {"acme"}
    assert "hooks.slack.com" not in repr(settings)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"secert": "x"}, "did you mean 'secret'"),
        ({"url": ""}, "receivers.ops.url"),
        ({"url": "http://inside/"}, "https"),
        ({"secret": "env:NOT_THERE"}, "empty or missing"),
        ({"shape": "pagerdutty"}, "not one of native"),
        ({"fallback": "nobody"}, "there is no receiver 'nobody'"),
        ({"fallback": "ops"}, "the receiver itself"),
        ({"ports": ["80"]}, "port numbers"),
        ({"allow": "10.0.0.0/8"}, "a list of texts"),
        ({"send_resolved": "yes"}, "neither true nor false"),
        ({"shape": "apprise", "url": "nothing"}, "Apprise does not know"),
    ],
)
def test_a_receiver_that_cannot_be_meant_stops_the_start_with_advice(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    ops = {"url": "https://ops.example/", "secret": SECRET} | changed
    with pytest.raises(SettingsError, match=says):
        build_service(Settings(store=StoreConfig(data=tmp_path / "data"), receivers={"ops": ops}))
    assert not (tmp_path / "data").exists()
