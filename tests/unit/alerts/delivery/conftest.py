"""A database, a clock that stands still, receivers on loopback, and notifications to send."""

import http.server
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import pytest

from spanledger_alerts.delivery import Attempt, Message, Outbox, Receiver, Schedule, parse_policy
from spanledger_alerts.delivery_tables import TABLES
from spanledger_alerts.records import Alert, Notification

SECRET = "whsec_" + "c3BhbmxlZGdlci10ZXN0LXNlY3JldC0wMDAwMDAwMQ=="
T0 = 1_790_000_000 * 10**9


class SqliteDatabase:
    """What the service's ``StateDb`` is to these tests."""

    def __init__(self, path: str = ":memory:") -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for statement in filter(str.strip, TABLES.split(";")):
            self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            else:
                self._connection.commit()
            finally:
                self._depth = 0

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        self._connection.close()


@dataclass
class Clock:
    """Time that moves when told to."""

    now_ns: int = T0

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@dataclass
class Scripted:
    """A receiver that answers what the test says, and remembers what it got."""

    answer: Callable[[Message], Attempt] = lambda _: Attempt("ok", 200)
    got: list[Message] = field(default_factory=list)
    tried: list[Message] = field(default_factory=list)

    def notify(self, message: Message) -> Attempt:
        self.tried.append(message)
        attempt = self.answer(message)
        if attempt.ok:
            self.got.append(message)
        return attempt

    def abort(self) -> None:
        pass


@dataclass
class Request:
    """What a server received."""

    path: str
    headers: dict[str, str]
    body: bytes


class Hook:
    """An HTTP server on loopback; ``respond`` writes the answer."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.body = b""
        self.before: Callable[[], None] = lambda: None
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                hook.before()
                self.send_response(hook.status)
                for name, value in hook.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(hook.body)))
                self.end_headers()
                self.wfile.write(hook.body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients leave as they like
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class Tools:
    """What tests make things with."""

    clock: Clock
    database: SqliteDatabase

    def alert(self, number: int = 1, status: Literal["firing", "resolved"] = "firing", **changed: Any) -> Alert:
        fields: dict[str, Any] = {
            "id": f"alert-{number}",
            "fingerprint": f"{number:016x}",
            "rule": "error-burst",
            "severity": "critical",
            "owner": "acme",
            "labels": {"tenant": "acme", "model": "gpt-4o"},
            "status": status,
            "summary": "12.0 % of calls fail",
            "value": 0.12,
            "threshold": 0.05,
            "window": "5m",
            "impact_usd": Decimal("1.25"),
            "links": {"calls": "https://ledger.example/calls?model=gpt-4o"},
            "started_ns": T0 - 300 * 10**9,
            "resolved_ns": T0 if status == "resolved" else None,
        }
        return Alert(**fields | changed)

    def notification(
        self, id_: str, *alerts: Alert, receiver: str = "ops", group: str = "g1", **changed: Any
    ) -> Notification:
        alerts = alerts or (self.alert(),)
        resolved = all(alert.status == "resolved" for alert in alerts)
        fields: dict[str, Any] = {
            "id": id_,
            "receiver": receiver,
            "group_key": group,
            "group_labels": {"rule": "error-burst", "tenant": "acme"},
            "status": "resolved" if resolved else "firing",
            "alerts": alerts,
            "created_ns": self.clock(),
        }
        return Notification(**fields | changed)

    def firing(self, id_: str, **where: Any) -> Notification:
        return self.notification(id_, self.alert(), **where)

    def resolved(self, id_: str, **where: Any) -> Notification:
        return self.notification(id_, self.alert(status="resolved"), **where)

    def receiver(self, name: str = "ops", **changed: Any) -> Receiver:
        return Receiver(**{"name": name, "url": f"https://{name}.example/hook", "secrets": (SECRET,)} | changed)

    def at(self, hook: Hook, name: str = "ops", **changed: Any) -> Receiver:
        policy = parse_policy(allow=["127.0.0.1"], ports=[hook.port], allow_http=True)
        return self.receiver(name, **{"url": hook.url, "policy": policy} | changed)

    def outbox(self, *receivers: Receiver, schedule: Schedule | None = None) -> Outbox:
        found = receivers or (self.receiver(),)
        return Outbox(self.database, {one.name: one for one in found}, clock=self.clock, schedule=schedule)


@pytest.fixture
def tools() -> Iterator[Tools]:
    database = SqliteDatabase()
    yield Tools(Clock(), database)
    database.close()


@pytest.fixture(scope="session")
def make_tools() -> Callable[[], Tools]:
    """For examples of hypothesis, each with a database of its own."""
    return lambda: Tools(Clock(), SqliteDatabase())


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()
    yield found
    found.close()


@pytest.fixture
def other_hook() -> Iterator[Hook]:
    found = Hook()
    yield found
    found.close()


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to connect, none of which happens."""
    tried: list[Any] = []

    def refuse(address: Any, *_: object, **__: object) -> socket.socket:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    return tried
