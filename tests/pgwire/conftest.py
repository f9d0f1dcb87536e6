"""A service with keys and rows of two tenants, and a client that speaks the wire by hand."""

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spanledger_analytics.records import Batch, Content
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.auth import KeyRing, Role, StateDb
from spanledger_ingest.jobs import JobGroups
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import RetentionConfig, ServerConfig, Settings, StoreConfig
from spanledger_ingest.store import DuckDBStore

SECRET = "zeta-secret"


@dataclass
class Site:
    """A running service; keys by name."""

    service: Service
    data: Path
    keys: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def address(self, listener: str) -> str:
        return dict(line.split(" ", 1) for line in self.service.listeners())[listener]

    @property
    def port(self) -> int:
        return int(self.address("pg").rpartition(":")[2])

    def make(self, name: str, tenant: str, role: Role, **more: Any) -> str:
        with closing(StateDb(self.data)) as state:
            key, secret = KeyRing(state).create([tenant], role, actor="test", **more)
        self.keys[name], self.ids[name] = secret.reveal(), key.id
        return self.keys[name]

    def follow(self) -> None:
        """Let the service see what another process did, without waiting for its next look."""
        self.service._authenticator.refresh()

    def connect(self, user: str, key: str | None = None, **more: Any) -> "psycopg.Connection[Any]":
        password = self.keys.get(key or user, key or "")
        options: dict[str, Any] = {
            "autocommit": True,
            "connect_timeout": 20,
            "sslmode": "disable",
            "dbname": "x",
            "host": "127.0.0.1",
        }
        return psycopg.connect(port=self.port, user=user, password=password, **(options | more))

    def metric(self, name: str) -> float:
        pg: Any = self.service._front._pg
        return sum(float(value) for metric in pg.metrics() if metric.name == name for _, value in metric.samples)


def seed(data: Path) -> None:
    with closing(DuckDBStore(data / "spanledger.duckdb")) as store:
        mine = [a_call(n, owner="acme", start_ns=T0 + n * SECOND, end_ns=T0 + (n + 1) * SECOND) for n in range(1, 21)]
        theirs = [a_call(n, owner="zeta", tenant_id="zeta", user_id=SECRET, cost=None) for n in range(30, 35)]
        spans = [a_span(1, owner="acme"), a_span(30, owner="zeta", attributes={"secret": SECRET})]
        texts = [
            Content(owner=who, tenant_id=who, trace_id="t", span_id="s", time_ns=T0, kind="input", text=text)
            for who, text in (("zeta", SECRET), ("acme", "hi"))
        ]
        store.append(Batch(calls=mine + theirs, spans=spans, contents=texts))


@pytest.fixture(scope="session")
def open_site(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    def opened(*, keys: bool = True, jobs: bool = True, fill: Callable[[Path], None] = seed, **settings: Any) -> Site:
        data = tmp_path_factory.mktemp("pg")
        fill(data)
        whole = {
            "server": ServerConfig(port=0, grpc_port=0),
            "store": StoreConfig(data=data, threads=2),
            "retention": RetentionConfig(interval_minutes=0),  # the rows have a fixed date
            **settings,
        }
        site = Site(build_service(Settings(**whole)), data)
        if not jobs:
            site.service._jobs = JobGroups()
        if keys:
            site.make("acme", "acme", "product")
            site.make("acme content", "acme", "engineer", scopes=["read:content"])
            site.make("acme compliance", "acme", "compliance")
            site.make("acme ingest", "acme", "ingest")
            site.make("zeta", "zeta", "product")
            site.make("all", "*", "sre")
            site.follow()
        site.service.start()
        return site

    return opened


@pytest.fixture(scope="module")
def site(open_site: Callable[..., Site]) -> Iterator[Site]:
    opened = open_site()
    yield opened
    opened.service.stop()


@pytest.fixture(scope="module")
def open_door(open_site: Callable[..., Site]) -> Iterator[Site]:
    """Without keys: whoever is on this machine may read."""
    opened = open_site(keys=False)
    yield opened
    opened.service.stop()


class Raw:
    """Speaks the wire by hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def send(self, kind: bytes, body: bytes = b"") -> None:
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def start(self, user: str = "someone", version: int = 3 << 16, **options: str) -> None:
        pairs = {"user": user, **options}
        body = b"".join(f"{name}\0{value}\0".encode() for name, value in pairs.items()) + b"\0"
        self.socket.sendall(struct.pack("!ii", len(body) + 8, version) + body)

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.socket.recv(size - len(found))
            if not part:
                raise EOFError
            found += part
        return found

    def message(self) -> tuple[bytes, bytes]:
        kind = self.exactly(1)
        (size,) = struct.unpack("!i", self.exactly(4))
        return kind, self.exactly(size - 4)

    def until(self, last: bytes) -> list[tuple[bytes, bytes]]:
        found = [self.message()]
        while found[-1][0] != last:
            found.append(self.message())
        return found

    def rest(self) -> list[tuple[bytes, bytes]]:
        """Everything until the server hangs up."""
        found = []
        try:
            while True:
                found.append(self.message())
        except (EOFError, ConnectionError):
            return found


def code_of(message: tuple[bytes, bytes]) -> str:
    """SQLSTATE of an error."""
    assert message[0] == b"E", message
    return next(part[1:].decode() for part in message[1].split(b"\0") if part[:1] == b"C")


@pytest.fixture
def raw() -> Iterator[Callable[[Site], Raw]]:
    opened: list[Raw] = []

    def connect(site: Site) -> Raw:
        opened.append(Raw(site.port))
        return opened[-1]

    yield connect
    for client in opened:
        client.socket.close()


@pytest.fixture
def logged_in(raw: Callable[[Site], Raw], open_door: Site) -> Raw:
    client = raw(open_door)
    client.start()
    client.until(b"Z")
    return client


@pytest.fixture
def sqlstate() -> Callable[[tuple[bytes, bytes]], str]:
    return code_of


@pytest.fixture(scope="session")
def program() -> Path:
    return Path(sys.executable).parent / "spanledger"
