"""The real service in a process of its own, clients that remember what they were promised, and the count afterwards.

``SPANLEDGER_FULL=1`` runs the campaigns at the length that docs/guarantees.md states; without it they are shortened.
"""

import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROGRAM = Path(sys.executable).with_name("spanledger")
HUNG = 90.0
"""Seconds. Whatever takes longer hangs; nothing here measures speed."""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = "application/x-protobuf"
SPANS = 20
"""In one request of a :class:`Load`."""


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Poll; what never becomes true fails by its name."""
    until = time.monotonic() + HUNG
    while not true():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.02)  # between polls; nothing is measured


@dataclass(frozen=True)
class Answer:
    """What an HTTP request came to. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """``spanledger serve`` on a data directory; started again after each :meth:`kill` or :meth:`stop`."""

    def __init__(self, data: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.data = data
        self.log = log
        self.environment = dict(environment)
        self.port = self.grpc_port = 0
        self.wanted_port = 0
        """For HTTP; 0 for any free one."""
        self.config: Path | None = None
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, until: str = "/readyz") -> float:
        """Start and wait until it takes spans, or answers another path with success; return the seconds it took."""
        began = time.monotonic()
        command = [str(PROGRAM), "serve", "--data", str(self.data), "--grpc-port", "0", "--pg-port", "0"]
        command += ["--port", str(self.wanted_port)]
        command += [] if self.config is None else ["--config", str(self.config)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **self.environment}
            )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(2)]
        ports = dict(re.findall(r"^listening (http|grpc) .*:(\d+)$", "".join(lines), re.MULTILINE))
        assert ports.keys() == {"http", "grpc"}, self.log.read_text()[-2000:]
        self.port, self.grpc_port = int(ports["http"]), int(ports["grpc"])
        wait_until(lambda: self.get(until).status == 200, until)
        return time.monotonic() - began

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask politely; return the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(HUNG)
        finally:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = HUNG
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, body: Any, *, path: str = "/v1/traces", media: str = PROTOBUF, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, body, {"content-type": media, **named})

    def call(self, body: bytes, method: str = EXPORT) -> tuple[grpc.StatusCode, bytes]:
        """Send over gRPC; return status and response, empty for errors."""
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=options) as channel:
            export: Any = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
            try:
                answer = export(body, timeout=HUNG)
            except grpc.RpcError as error:
                return error.code(), b""
            return grpc.StatusCode.OK, bytes(answer)

    def query(self, sql: str) -> list[dict[str, Any]]:
        answer = self.get("/api/v1/query?" + urllib.parse.urlencode({"sql": sql}))
        assert answer.status == 200, answer.body
        rows: list[dict[str, Any]] = answer.json()["items"]
        return rows

    def one(self, sql: str) -> dict[str, Any]:
        (row,) = self.query(sql)
        return row

    def metrics(self) -> dict[str, float]:
        lines = self.get("/metrics").body.decode().splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    def wait_until_stored(self) -> None:
        def stored() -> bool:
            now = self.metrics()
            return now["spanledger_backlog_bytes"] == 0 and now["spanledger_lag_seconds"] == 0

        wait_until(stored, "everything is stored")

    def rss(self) -> int:
        return self._status("VmRSS")

    def peak(self) -> int:
        """Largest resident size since :meth:`forget_peak`, in bytes."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert match is not None
        return int(match[1]) * 1024

    def files(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())


def numbered(name: str, *, count: int = SPANS, now: int | None = None) -> bytes:
    """Return a request of so many calls; ids follow from its name, which is also the session of its spans."""
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    now = time.time_ns() if now is None else now
    for index in range(count):
        digest = sha256(f"{name} {index}".encode()).digest()
        span = scope.spans.add(trace_id=digest[:16], span_id=digest[16:24], name="chat gpt-4o", kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = now, now + 10**9
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o",
            "gen_ai.response.id": digest.hex(),
            "session.id": name,
            "tenant.id": f"tenant-{index % 3}",
        }
        for key, value in texts.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 10
        span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 1
    return message.SerializeToString()


@dataclass
class Load:
    """Clients that send until told to stop, each as a good exporter does: what is not acknowledged is sent again."""

    server: Server
    workers: int = 3
    acknowledged: set[str] = field(default_factory=set)
    statuses: list[int] = field(default_factory=list)
    retry_afters: list[str] = field(default_factory=list)
    _next: list[int] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Go on with what was not acknowledged when the clients were stopped."""
        self._next = self._next or [0] * self.workers
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(self.workers)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(HUNG)
        self._threads = []

    def _send(self, worker: int) -> None:
        send = self._over_grpc if worker == 0 else self._over_http
        try:
            send(worker)
        except (OSError, http.client.HTTPException):
            return  # the server went away: the request on its way is sent again by the next start

    def _over_http(self, worker: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=HUNG)) as connection:
            while not self._stop.is_set():
                name = f"{worker}-{self._next[worker]:06}"
                connection.request("POST", "/v1/traces", numbered(name), {"content-type": PROTOBUF})
                response = connection.getresponse()
                response.read()
                self._note(worker, name, response.status)
                if response.status != 200:
                    self.retry_afters.append(response.getheader("retry-after", "none"))
                    self._stop.wait(0.05)

    def _over_grpc(self, worker: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self.server.grpc_port}") as channel:
            export: Any = channel.unary_unary(EXPORT, request_serializer=None, response_deserializer=None)
            while not self._stop.is_set():
                name = f"{worker}-{self._next[worker]:06}"
                try:
                    export(numbered(name), timeout=HUNG)
                except grpc.RpcError as error:
                    self._note(worker, name, 503 if error.code() == grpc.StatusCode.UNAVAILABLE else 500)
                    if not self.server.alive or self._stop.wait(0.05):
                        return
                else:
                    self._note(worker, name, 200)

    def _note(self, worker: int, name: str, status: int) -> None:
        self.statuses.append(status)
        if status == 200:
            self.acknowledged.add(name)
            self._next[worker] += 1

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests were acknowledged."""
        goal = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= goal, f"{more} more acknowledgements")

    def check(self) -> dict[str, int]:
        """Count what is stored: nothing acknowledged is lost, nothing is doubled, no request is there in part."""
        self.server.wait_until_stored()
        stored: set[str] = set()
        for worker in range(self.workers):
            sql = f"SELECT DISTINCT session_id FROM llm_calls WHERE session_id LIKE '{worker}-%' ORDER BY 1"  # noqa: S608
            stored |= {row["session_id"] for row in self._pages(sql)}
        counts = self.server.one(
            "SELECT count(*) AS calls, count(DISTINCT span_id) AS spans, sum(cost_usd) AS cost,"
            " sum(input_tokens) AS tokens FROM llm_calls WHERE billable AND session_id LIKE '_-%'"
        )
        split = "SELECT session_id FROM llm_calls WHERE session_id LIKE '_-%' GROUP BY 1 HAVING count(*) <> "
        found = {
            "lost": len(self.acknowledged - stored),
            "doubled": counts["calls"] - counts["spans"],
            "partial": len(self.server.query(split + str(SPANS))),
        }
        assert found == {"lost": 0, "doubled": 0, "partial": 0}, f"{found} of {len(self.acknowledged)} requests"
        assert counts["calls"] == len(stored) * SPANS
        assert counts["tokens"] == 10 * counts["calls"]
        assert float(counts["cost"]) == pytest.approx(counts["calls"] * 3.5e-5, rel=1e-12)
        return {**found, "acknowledged": len(self.acknowledged) * SPANS, "stored": counts["calls"]}

    def _pages(self, sql: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while rows := self.server.query(f"{sql} LIMIT 1000 OFFSET {offset}"):
            yield from rows
            offset += len(rows)


@dataclass(frozen=True)
class Tools:
    """What test modules of this folder share; they cannot import each other."""

    full: bool
    numbered: Callable[..., bytes]
    wait_until: Callable[[Callable[[], bool], str], None]
    load: Callable[..., Load]
    random: random.Random

    def rounds(self, short: int, full: int) -> int:
        return full if self.full else short

    def report(self, guarantee: str, **figures: Any) -> None:
        """Print a line for docs/guarantees.md; pytest shows it with -rP."""
        print(f"{guarantee}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201


@pytest.fixture
def tools() -> Tools:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - to run a failure again
    return Tools(os.environ.get("SPANLEDGER_FULL") == "1", numbered, wait_until, Load, random.Random(seed))  # noqa: S311


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Make servers, by default on a data directory of the test; they are killed after it. They are not started."""
    made: list[Server] = []

    def make(data: Path = tmp_path / "data", **environment: str) -> Server:
        server = Server(data, tmp_path / "serve.log", {"SPANLEDGER_INGEST_COMMIT_SECONDS": "0.2", **environment})
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def server(new_server: Callable[..., Server]) -> Server:
    """A running server on a fresh data directory."""
    made = new_server()
    made.start()
    return made


def required(name: str, *, found: bool) -> None:
    """Skip without a tool, or fail where the tools are promised."""
    if found:
        return
    if os.environ.get("SPANLEDGER_REQUIRE_TOOLS"):
        pytest.fail(f"{name} is missing")
    pytest.skip(f"{name} is missing")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount disks of so many MiB in memory; needs root."""
    mounted: list[Path] = []

    def mount(mib: int) -> Path:
        required("mount as root", found=os.geteuid() == 0 and shutil.which("mount") is not None)
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        required(f"a mount ({done.stderr.strip()})", found=done.returncode == 0)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def libfaketime() -> str:
    """Path of the library that lies about the time."""
    places: Sequence[Path] = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    required("libfaketime", found=bool(places))
    return str(places[0])
