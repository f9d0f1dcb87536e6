"""The exporter against a real receiver that goes away, misbehaves and comes back, and against dying processes."""

import contextlib
import gzip
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger._export import ExportStats, SpoolingExporter, spool_path


class Receiver:
    """An OTLP receiver on a port that stays its own, so that it can go away and come back."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.targets: list[str] = []
        self.keys: set[str | None] = set()
        self.statuses: list[int] = []
        self.hang: threading.Event | None = None
        self.hangs_up = False
        self.connections: list[socket.socket] = []
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.up()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def setup(self) -> None:
                receiver.connections.append(self.request)
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.targets.append(self.path)
                receiver.keys.add(self.headers.get("authorization"))
                receiver.take(self, gzip.decompress(body))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def take(self, handler: BaseHTTPRequestHandler, message: bytes) -> None:
        if self.hang is not None:
            self.hang.wait(30)
            handler.close_connection = True
            return
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            request = ExportTraceServiceRequest.FromString(message)
            self.names += [s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        if status == 503:
            handler.send_header("Retry-After", "0")
        handler.end_headers()
        handler.close_connection = self.hangs_up

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._server = None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    if receiver.hang is not None:
        receiver.hang.set()
    receiver.down()


@pytest.fixture
def make_exporter(receiver: Receiver, tmp_path: Path) -> Iterator[Callable[..., SpoolingExporter]]:
    made: list[SpoolingExporter] = []

    def make(**options: object) -> SpoolingExporter:
        arguments = {"endpoint": receiver.endpoint, "spool_dir": tmp_path / "spool", **options}
        made.append(SpoolingExporter(**arguments))  # type: ignore[arg-type]  # a test passes what it means
        return made[-1]

    yield make
    for exporter in made:
        exporter.shutdown()


def spans(*names: str) -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for name in names:
        provider.get_tracer("test").start_span(name).end()
    provider.shutdown()
    return list(memory.get_finished_spans())


def test_spans_arrive_through_the_batch_processor_when_it_is_flushed(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]
) -> None:
    exporter = make_exporter(headers={"Authorization": "Bearer sl_k"})
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    for name in "abc":
        provider.get_tracer("test").start_span(name).end()
    assert provider.force_flush()
    assert receiver.names == ["a", "b", "c"]
    assert receiver.keys == {"Bearer sl_k"}
    provider.shutdown()


def test_an_outage_loses_nothing_and_keeps_the_order(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]
) -> None:
    exporter = make_exporter()
    assert exporter.export(spans("before")) is SpanExportResult.SUCCESS
    receiver.down()
    for number in range(20):
        assert exporter.export(spans(f"{number}")) is SpanExportResult.SUCCESS
    assert exporter.stats.spooled_spans == 20
    assert exporter.stats.spooled_bytes > 0
    assert not exporter.force_flush(5_000)
    receiver.up()
    assert exporter.force_flush(5_000)
    assert receiver.names == ["before", *map(str, range(20))]
    assert exporter.stats.exported == 21
    assert exporter.stats.spooled_bytes == 0


def test_overload_is_not_refusal(receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]) -> None:
    exporter = make_exporter()
    receiver.statuses = [503, 200, 400]
    exporter.export(spans("busy"))
    assert exporter.force_flush(5_000)
    exporter.export(spans("bad"))
    exporter.export(spans("good"))
    assert exporter.force_flush(5_000)
    assert receiver.names == ["busy", "good"]
    assert exporter.stats == ExportStats(exported=2, rejected=1, retries=1)


def test_one_connection_serves_all_requests(receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]) -> None:
    exporter = make_exporter()
    receiver.statuses = [200, 400, 503, 200]
    for name in "abcd":
        exporter.export(spans(name))
    assert exporter.force_flush(5_000)
    assert len(receiver.connections) == 1


def test_an_idle_connection_closed_by_the_receiver_is_no_failure(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]
) -> None:
    exporter = make_exporter()
    receiver.hangs_up = True
    for name in "abc":
        exporter.export(spans(name))
    assert receiver.names == ["a", "b", "c"]
    assert exporter.stats.retries == 0


def test_a_receiver_that_hangs_holds_up_nobody(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]
) -> None:
    exporter = make_exporter(timeout=5.0)
    exporter.export(spans("healthy"))
    receiver.hang = threading.Event()
    for number in range(5):  # these return although the receiver never answers
        exporter.export(spans(f"{number}"))
    assert exporter.stats.spooled_spans == 5  # the one in flight included: a kill would lose nothing
    hanging, receiver.hang = receiver.hang, None
    hanging.set()
    assert exporter.force_flush(10_000) or exporter.force_flush(10_000)
    assert sorted(set(receiver.names)) == ["0", "1", "2", "3", "4", "healthy"]


def test_a_receiver_that_speaks_something_else_is_an_outage(make_exporter: Callable[..., SpoolingExporter]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        exporter = make_exporter(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
        exporter.export(spans("a"))
        thread.join()
    assert exporter.stats.spooled_spans == 1
    assert exporter.stats.retries >= 1


def test_a_span_that_cannot_be_encoded_is_dropped_alone(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]
) -> None:
    exporter = make_exporter()
    batch = spans(*"abcdefg")
    batch[3]._name = "lone surrogate \ud800"
    assert exporter.export(batch) is SpanExportResult.FAILURE
    assert sorted(receiver.names) == list("abcefg")
    assert exporter.stats == ExportStats(exported=6, dropped_spans=1)


def test_a_batch_too_big_for_a_receiver_is_split(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter]
) -> None:
    exporter = make_exporter()
    names = [f"{number}" * 1_000_000 for number in range(9)]
    exporter.export(spans(*names))
    assert exporter.force_flush(10_000)
    assert [name[0] for name in receiver.names] == list("012345678")


def test_shutdown_leaves_no_thread_no_file_and_no_doubt(
    make_exporter: Callable[..., SpoolingExporter], tmp_path: Path
) -> None:
    exporter = make_exporter()
    exporter.export(spans("a"))
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.export(spans("late")) is SpanExportResult.FAILURE
    assert exporter.stats == ExportStats(exported=1, dropped_spans=1)
    assert [thread for thread in threading.enumerate() if thread.name == "SpanledgerSender"] == []
    assert list((tmp_path / "spool").iterdir()) == []


def test_healthy_batches_write_nothing_to_the_disk(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = make_exporter()
    exporter.export(spans("the first proves the receiver"))
    writes: list[int] = []
    pwrite = os.pwrite

    def counted(fd: int, data: bytes, offset: int) -> int:
        writes.append(offset)
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    for number in range(10):
        exporter.export(spans(f"{number}"))
    assert len(receiver.names) == 11
    assert writes == []


def test_the_proxy_of_the_environment_is_used_for_other_machines_only(
    receiver: Receiver, make_exporter: Callable[..., SpoolingExporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", receiver.endpoint)
    monkeypatch.setenv("no_proxy", "")
    make_exporter(endpoint="http://telemetry.invalid:4318/base/").export(spans("far"))
    make_exporter(endpoint=f"{receiver.endpoint}/v1/traces").export(spans("near"))
    assert receiver.names == ["far", "near"]
    assert receiver.targets == ["http://telemetry.invalid:4318/base/v1/traces", "/v1/traces"]


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://host", "http://", "http://host:port", ""])
def test_a_wrong_endpoint_is_named(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|[Pp]ort"):
        SpoolingExporter(endpoint)


def test_a_header_that_cannot_be_sent_is_named_but_not_quoted() -> None:
    with pytest.raises(ValueError, match="authorization") as caught:
        SpoolingExporter(headers={"authorization": "Bearer sl_secret\n"})
    assert "sl_secret" not in str(caught.value)


def test_spool_paths_are_apart_by_service_and_endpoint(tmp_path: Path) -> None:
    paths = {spool_path(tmp_path, service, url) for service in ("a b", "a/b") for url in ("http://x", "http://y")}
    assert len(paths) == 4
    assert all(path.parent == tmp_path / "spanledger" for path in paths)
    assert spool_path(tmp_path, "s", "http://x/") == spool_path(tmp_path, "s", "http://x")


# Whole processes: they print a line when they are ready, and are killed or forked.

APPLICATION = """
    import os, sys, time
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from spanledger._export import SpoolingExporter

    endpoint, spool, name = sys.argv[1:]
    exporter = SpoolingExporter(endpoint, spool_dir=spool)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=10))
    tracer = provider.get_tracer("app")

    def work(count, name=name):
        for number in range(count):
            tracer.start_span(f"{name}{number}").end()
"""


@pytest.fixture
def run(receiver: Receiver, tmp_path: Path) -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(name: str, code: str) -> subprocess.Popen[str]:
        program = textwrap.dedent(APPLICATION) + textwrap.dedent(code)
        command = [sys.executable, "-W", "ignore", "-c", program, receiver.endpoint, str(tmp_path / "spool"), name]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


SPOOL_AND_WAIT = """
    work(100)
    provider.force_flush()
    assert exporter.stats.spooled_spans == 100, exporter.stats
    print("spooled", flush=True)
    time.sleep(60)
"""

FLUSH = """
    work(1, "heir")
    provider.force_flush()
    assert exporter.force_flush(10_000), exporter.stats
"""


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == line


def test_kill_9_in_an_outage_loses_nothing(
    receiver: Receiver, run: Callable[[str, str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    receiver.down()
    process = run("span", SPOOL_AND_WAIT)
    wait_for(process, "spooled")
    process.send_signal(signal.SIGKILL)
    process.wait()
    receiver.up()
    assert run("heir", FLUSH).wait(30) == 0
    assert set(receiver.names) == {"heir0", *(f"span{number}" for number in range(100))}
    assert list((tmp_path / "spool").iterdir()) == []


def test_an_ordinary_exit_in_an_outage_loses_nothing(
    receiver: Receiver, run: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    receiver.down()
    assert run("span", "work(100)").wait(30) == 0
    receiver.up()
    assert run("heir", FLUSH).wait(30) == 0
    assert Counter(receiver.names) == Counter(["heir0", *(f"span{number}" for number in range(100))])


def test_an_ordinary_exit_delivers_what_the_script_just_did(
    receiver: Receiver, run: Callable[[str, str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    assert run("span", "work(3)").wait(30) == 0
    assert receiver.names == ["span0", "span1", "span2"]
    assert list((tmp_path / "spool").iterdir()) == []


def test_two_processes_share_a_spool_directory_without_touching_each_other(
    receiver: Receiver, run: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    receiver.down()
    first, second = run("first", SPOOL_AND_WAIT), run("second", SPOOL_AND_WAIT)
    wait_for(first, "spooled")
    wait_for(second, "spooled")
    first.kill()
    first.wait()
    receiver.up()
    assert run("heir", FLUSH).wait(30) == 0
    assert {name for name in receiver.names if name.startswith("first")} == {f"first{n}" for n in range(100)}
    second.kill()
    second.wait()
    assert run("heir", FLUSH).wait(30) == 0
    assert {name for name in receiver.names if name.startswith("second")} == {f"second{n}" for n in range(100)}


FORK = """
    work(20)
    provider.force_flush()
    child = os.fork()
    if child == 0:
        work(20, "child")
        provider.force_flush()
        assert exporter.stats.spooled_spans == 20, exporter.stats
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len([path for path in os.listdir(spool) if path.startswith(f"{child}-")]) == 1
    assert exporter.stats.spooled_spans == 20, exporter.stats
    print("spooled", flush=True)
    time.sleep(60)
"""


def test_a_forked_child_has_a_spool_of_its_own(
    receiver: Receiver, run: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    receiver.down()
    parent = run("parent", FORK)
    wait_for(parent, "spooled")
    parent.kill()
    parent.wait()
    receiver.up()
    assert run("heir", FLUSH).wait(30) == 0
    expected = {"heir0", *(f"{who}{number}" for who in ("parent", "child") for number in range(20))}
    assert set(receiver.names) == expected


FORK_AND_FORGET = """
    work(20)
    provider.force_flush()
    child = os.fork()
    if child == 0:
        del exporter, provider  # as a wrapper that builds its exporter anew in each process would
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_child_that_outlives_its_parent_does_not_sit_on_its_spans(
    receiver: Receiver, run: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    receiver.down()
    parent = run("parent", FORK_AND_FORGET)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    receiver.up()
    try:
        assert run("heir", FLUSH).wait(30) == 0
        assert set(receiver.names) == {"heir0", *(f"parent{number}" for number in range(20))}
    finally:
        os.kill(child, signal.SIGKILL)


FORK_WHILE_HEALTHY = """
    work(5)
    provider.force_flush()
    child = os.fork()
    if child == 0:
        work(5, "child")
        provider.force_flush()
        os._exit(0)
    work(5, "later")
    provider.force_flush()
    assert os.waitpid(child, 0)[1] == 0
    assert exporter.stats.exported == 10 and exporter.stats.retries == 0, exporter.stats
"""


def test_parent_and_child_do_not_share_a_connection(
    receiver: Receiver, run: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    assert run("parent", FORK_WHILE_HEALTHY).wait(30) == 0
    assert Counter(receiver.names) == Counter(f"{who}{n}" for who in ("parent", "child", "later") for n in range(5))
