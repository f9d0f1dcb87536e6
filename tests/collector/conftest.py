"""The real Collector and the real service, as processes that tests may kill."""

import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 90


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 -- our own processes on loopback
        return str(answer.read().decode())


def wait_until(holds: Callable[[], object], what: str, *programs: "Program", seconds: float = DEADLINE) -> None:
    """Wait; a failure shows what the programs have to say."""
    until = time.monotonic() + seconds
    while not holds():
        late = time.monotonic() > until
        assert not late, "\n".join([f"not within {seconds} s: {what}", *(program.log for program in programs)])
        time.sleep(0.05)  # between polls; nothing is measured


def answers(url: str) -> bool:
    try:
        fetch(url)
    except OSError:
        return False
    return True


class Program:
    """A process with a log file that may be started again."""

    def __init__(self, command: list[str], log: Path, env: Mapping[str, str], ready_url: str) -> None:
        self._command = command
        self._log = log
        self._env = {**os.environ, **env}
        self._ready_url = ready_url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._env)
        wait_until(self._is_ready, "the program is ready", self)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        return answers(self._ready_url)

    def kill(self) -> None:
        """Like a power cut, as far as the process can tell."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(DEADLINE)
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]


class Spanledger(Program):
    """``spanledger serve`` on ports that stay the same."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.http, self.grpc = f"http://127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        program = str(Path(sys.executable).parent / "spanledger")
        command = [program, "serve", "--data", str(folder / "data")]
        command += ["--port", self.http.rpartition(":")[2], "--grpc-port", self.grpc.rpartition(":")[2]]
        command += ["--pg-port", "0"]
        env = {"SPANLEDGER_CONTENT_POLICY": "full", "SPANLEDGER_INGEST_COMMIT_SECONDS": "0.2"}
        super().__init__(command, folder / "service.log", env, f"{self.http}/readyz")

    def sql(self, statement: str) -> list[dict[str, Any]]:
        answer = json.loads(fetch(f"{self.http}/api/v1/query?{urllib.parse.urlencode({'sql': statement})}"))
        return list(answer["items"])

    def stored(self, service: str = "") -> int:
        """Spans, each counted as often as it is stored."""
        where = f" where service_name = '{service}'" if service else ""
        return int(self.sql(f"select count(*) as n from spans{where}")[0]["n"])  # noqa: S608 -- our own names

    def doubled(self) -> int:
        (row,) = self.sql("select count(*) - count(distinct (trace_id, span_id)) as n from spans")
        return int(row["n"])

    def post(self, path: str, body: bytes) -> None:
        headers = {"content-type": "application/x-protobuf"}
        urllib.request.urlopen(urllib.request.Request(self.http + path, body, headers), timeout=30).close()  # noqa: S310 -- loopback

    def metric(self, name: str) -> float:
        return metric(fetch(f"{self.http}/metrics"), name)


def metric(page: str, name: str) -> float:
    """The sum over all labels; 0 for what has not been counted yet."""
    lines = re.findall(rf"^{name}(?:_total)?(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    return sum(map(float, lines))


class Collector(Program):
    """``otelcol`` with configuration files, later ones over earlier ones, on ports that stay the same."""

    def __init__(self, program: Path, folder: Path, configs: list[Path], env: Mapping[str, str]) -> None:
        self.http, self.grpc = f"http://127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        health, metrics = f"127.0.0.1:{free_port()}", free_port()
        self._metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        own = {
            "OTELCOL_GRPC": self.grpc,
            "OTELCOL_HTTP": self.http.removeprefix("http://"),
            "OTELCOL_HEALTH": health,
            "OTELCOL_METRICS_PORT": str(metrics),
            "OTELCOL_QUEUE": str(folder / "queue"),
        }
        command = [str(program), *(f"--config={path}" for path in configs)]
        super().__init__(command, folder / "collector.log", {**own, **env}, f"http://{health}/")

    def metric(self, name: str) -> float:
        return metric(fetch(self._metrics_url), name)

    @property
    def accepted(self) -> int:
        return int(self.metric("otelcol_receiver_accepted_spans"))


@functools.cache
def collector_tools() -> Path:
    """The folder of ``otelcol`` and ``telemetrygen``, built once per manifest."""
    script = [sys.executable, str(ROOT / "scripts" / "build_collector.py")]
    folder = Path(subprocess.run([*script, "--path"], check=True, capture_output=True, text=True).stdout.strip())
    if not folder.is_dir() and shutil.which("go") is None:
        message = "Go is missing and the Collector is not built: nothing can be said about the real one"
        # .ci/run has said so already where it had to go on without Go, which Debian has only in old versions.
        known = os.environ.get("SPANLEDGER_WITHOUT_GO") == "1"
        assert known or os.environ.get("SPANLEDGER_REQUIRE_TOOLS") != "1", message
        pytest.skip(message)
    subprocess.run(script, check=True)
    return folder


@pytest.fixture(scope="session")
def tools() -> Path:
    return collector_tools()


@pytest.fixture
def programs() -> Iterator[ExitStack]:
    """Kills at the end what a test started."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start_spanledger(programs: ExitStack, tmp_path: Path) -> Callable[..., Spanledger]:
    def start(name: str = "spanledger") -> Spanledger:
        service = Spanledger(tmp_path / name)
        programs.callback(service.kill)
        service.start()
        return service

    return start


@pytest.fixture
def start_collector(programs: ExitStack, tmp_path: Path, tools: Path) -> Callable[..., Collector]:
    """Starts a Collector from files and mappings; JSON is YAML."""

    def start(*configs: Path | Mapping[str, Any], **env: str) -> Collector:
        paths = []
        for number, config in enumerate(configs):
            path = config if isinstance(config, Path) else tmp_path / f"collector-{number}.yaml"
            if not isinstance(config, Path):
                path.write_text(json.dumps(config))
            paths.append(path)
        collector = Collector(tools / "otelcol", tmp_path, paths, env)
        programs.callback(collector.kill)
        collector.start()
        return collector

    return start


@pytest.fixture
def validate(tools: Path) -> Callable[..., None]:
    def check(config: Path, **env: str) -> None:
        command = [str(tools / "otelcol"), "validate", f"--config={config}"]
        done = subprocess.run(command, check=False, env={**os.environ, **env}, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

    return check


class Stub:
    """An OTLP/HTTP server that answers as a test tells it to."""

    def __init__(self, answer: Callable[[str, Mapping[str, str], bytes], int]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                code = answer(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with suppress(OSError):  # the test may have killed the client
                    self.send_response(code)
                    self.send_header("content-type", "application/x-protobuf")
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def start_stub(programs: ExitStack) -> Callable[..., Stub]:
    def start(answer: Callable[[str, Mapping[str, str], bytes], int]) -> Stub:
        stub = Stub(answer)
        programs.callback(stub.close)
        return stub

    return start


def run_telemetrygen(tools: Path, collector: Collector, *options: str) -> "subprocess.Popen[bytes]":
    command = [str(tools / "telemetrygen"), "traces", "--otlp-endpoint", collector.grpc, "--otlp-insecure"]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def telemetrygen(programs: ExitStack, tools: Path) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Starts telemetrygen against a Collector; it sends GenAI spans."""

    def start(collector: Collector, *options: str) -> "subprocess.Popen[bytes]":
        process = run_telemetrygen(tools, collector, *options)
        programs.callback(process.wait)
        programs.callback(process.kill)
        return process

    return start


@pytest.fixture
def wait() -> Callable[..., None]:
    return wait_until
