"""The sender under a fake clock: what is retried, when, what is lost and what is said about it."""

import gzip
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanledger._export import ExportStats, Response
from spanledger._export.backlog import Backlog, MemoryQueue
from spanledger._export.parcel import Signal
from spanledger._export.retry import Backoff
from spanledger._export.sender import Sender
from spanledger._export.spool import DiskSpool

OK = Response(200)


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> float:
        self.seconds += 1e-6
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


class Receiver:
    """A transport whose receiver answers by script, or as ``answer`` says."""

    def __init__(self) -> None:
        self.script: list[Response | OSError] = []
        self.answer: Callable[[], Response] = lambda: OK
        self.attempts: list[bytes] = []
        self.taken: list[bytes] = []
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.suppressed: list[object] = []

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        message = gzip.decompress(body)
        self.attempts.append(message)
        self.paths.append(path)
        self.headers.append(headers)
        self.suppressed.append(get_value(_SUPPRESS_INSTRUMENTATION_KEY))
        answer = self.script.pop(0) if self.script else self.answer()
        if isinstance(answer, OSError):
            raise answer
        if answer.status == 200:
            self.taken.append(message)
        return answer

    def close(self) -> None:
        pass

    def forget(self) -> None:
        pass


class SteppedSender(Sender):
    """A sender whose turns the test takes itself."""

    def start(self) -> bool:
        return False


class Bench:
    """A sender, its receiver, its clock and its spool directory."""

    def __init__(self, root: Path | None, max_bytes: int = 1 << 20) -> None:
        self.clock = FakeClock()
        self.receiver = Receiver()
        self.root = root
        self.max_bytes = max_bytes
        self.sender = self.new_sender()

    def new_sender(self, kind: type[Sender] = SteppedSender) -> Sender:
        return kind(
            name="http://receiver:4318",
            headers={"authorization": "Bearer sl_secret"},
            transport=self.receiver,
            backlog=self._backlog,
            clock=self.clock,
            rng=random.Random(7),  # noqa: S311 -- a fixed seed is the point
        )

    def _backlog(self) -> Backlog:
        spool = DiskSpool(self.root, self.max_bytes, self.clock) if self.root else None
        return Backlog(spool, MemoryQueue(self.max_bytes))

    def submit(self, *messages: str) -> None:
        for message in messages:
            assert self.sender.submit(Signal.TRACES, 1, message.encode())

    def run(self, seconds: float = 0.0, tick: float = 0.1) -> None:
        """Let the thread's turns happen for a while."""
        end = self.clock.seconds + seconds
        while True:
            while self.sender.step():
                pass
            if self.clock.seconds >= end:
                return
            self.clock.seconds += tick

    @property
    def taken(self) -> list[str]:
        return [message.decode() for message in self.receiver.taken]

    @property
    def stats(self) -> ExportStats:
        return self.sender.stats


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "spool")
    yield bench
    bench.sender.close(0)


def test_a_sent_request_is_gzipped_protobuf_with_the_callers_headers(bench: Bench) -> None:
    bench.submit("a")
    bench.run()
    headers = bench.receiver.headers[0]
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["content-encoding"] == "gzip"
    assert headers["authorization"] == "Bearer sl_secret"
    assert bench.receiver.paths == ["/v1/traces"]


def test_no_instrumentation_sees_our_own_requests(bench: Bench) -> None:
    bench.submit("a")
    bench.run()
    assert bench.receiver.suppressed == [True]
    assert get_value(_SUPPRESS_INSTRUMENTATION_KEY) is None


@pytest.mark.parametrize("failure", [Response(429), Response(502), Response(503), Response(504), OSError("refused")])
def test_a_passing_failure_is_retried_until_it_passes(bench: Bench, failure: Response | OSError) -> None:
    bench.receiver.script = [failure, failure, failure]
    bench.submit("a", "b")
    bench.run(seconds=30)
    assert bench.taken == ["a", "b"]
    assert bench.stats == ExportStats(exported=2, retries=3)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 408, 413, 415, 500, 501])
def test_a_permanent_refusal_is_counted_said_once_and_not_repeated(
    bench: Bench, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    bench.receiver.script = [Response(status), Response(status)]
    bench.submit("a", "b", "c")
    bench.run()
    assert bench.taken == ["c"]
    assert bench.stats == ExportStats(exported=1, rejected=2)
    assert [f"HTTP {status}" in record.getMessage() for record in caplog.records] == [True]


def test_partial_success_counts_and_passes_on_what_the_receiver_says(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    answer.partial_success.error_message = "span id of zeros"
    headers = {"content-type": "application/x-protobuf"}
    bench.receiver.script = [Response(200, headers, answer.SerializeToString())] * 2
    bench.sender.submit(Signal.TRACES, 5, b"a")
    bench.sender.submit(Signal.TRACES, 5, b"b")
    bench.run()
    assert bench.stats == ExportStats(exported=6, rejected=4)
    assert [record.getMessage() for record in caplog.records] == [
        "http://receiver:4318 rejected 2 spans: span id of zeros"
    ]


def test_logs_travel_the_same_way_to_their_own_path(bench: Bench) -> None:
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 1
    headers = {"content-type": "application/x-protobuf"}
    bench.receiver.script = [OSError("down"), Response(200, headers, answer.SerializeToString())]
    bench.sender.submit(Signal.LOGS, 3, b"a")
    bench.run(seconds=5)
    assert bench.receiver.paths == ["/v1/logs", "/v1/logs"]
    assert bench.stats == ExportStats(exported=2, rejected=1, retries=1)


@pytest.mark.parametrize("body", [b"\xff\xff", b"{}", b"\x0a\x02\x08"])
def test_an_unreadable_answer_to_a_success_is_a_success(bench: Bench, body: bytes) -> None:
    bench.receiver.script = [Response(200, {"content-type": "application/x-protobuf"}, body)]
    bench.submit("a")
    bench.run()
    assert bench.stats == ExportStats(exported=1)


@pytest.mark.parametrize("seconds", [0, 2, 30])
@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_honoured_in_both_spellings(bench: Bench, seconds: int, dated: bool) -> None:  # noqa: FBT001
    bench.clock.seconds = 1_800_000_000.0
    value = formatdate(bench.clock.seconds + seconds, usegmt=True) if dated else str(seconds)
    bench.receiver.script = [Response(503, {"retry-after": value})]
    bench.submit("a")
    bench.run()
    bench.run(seconds=seconds - 0.5)
    assert bench.taken == ([] if seconds else ["a"])
    bench.run(seconds=1)
    assert bench.taken == ["a"]


@pytest.mark.parametrize("value", ["soon", "", "-1", "Wed, 99 Nov", "999999999999"])
def test_a_strange_retry_after_does_not_stop_delivery(bench: Bench, value: str) -> None:
    bench.receiver.script = [Response(503, {"retry-after": value})]
    bench.submit("a")
    bench.run(seconds=601, tick=1)
    assert bench.taken == ["a"]


@given(st.integers(0, 2**32))
def test_backoff_doubles_to_half_a_minute_with_jitter(seed: int) -> None:
    backoff = Backoff(random.Random(seed))  # noqa: S311 -- jitter
    waits = [backoff.next() for _ in range(40)]
    for number, wait in enumerate(waits):
        longest = min(30.0, 2.0**number)
        assert longest / 2 <= wait <= longest
    backoff.reset()
    assert backoff.next() <= 1.0


def test_a_minute_of_outage_at_100_spans_a_second_loses_nothing(bench: Bench) -> None:
    """G12 of the guarantees, with the 60 s passing on a fake clock: 10 batches of 10 spans a second."""
    bench.receiver.answer = lambda: OK if down_until < bench.clock.seconds else _refuse()
    down_until = bench.clock.seconds + 61
    sent = []
    for number in range(1000):
        bench.sender.submit(Signal.TRACES, 10, f"{number}".encode())
        sent.append(f"{number}")
        bench.run(seconds=0.1)
    bench.run(seconds=30)
    assert bench.taken == sent
    assert bench.stats.exported == 10_000
    assert bench.stats.dropped_spans == 0
    assert 4 <= bench.stats.retries <= 12
    assert len(bench.receiver.attempts) == 1000 + bench.stats.retries


def _refuse() -> Response:
    raise ConnectionRefusedError("Connection refused")


def test_an_outage_is_reported_once_and_so_is_its_end(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.receiver.script = [OSError("refused")] * 4
    bench.submit("a", "b", "c")
    bench.run(seconds=60)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_the_cap_takes_the_oldest_and_counts_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_bytes=2_000)
    bench.receiver.answer = _refuse
    bench.submit(*map(str, range(200)))
    bench.run(seconds=5)
    bench.receiver.answer = lambda: OK
    bench.run(seconds=60)
    assert 0 < len(bench.taken) < 200
    assert bench.taken == [str(number) for number in range(200)][-len(bench.taken) :]
    assert bench.stats.dropped_spans == 200 - len(bench.taken)
    bench.sender.close(0)


def test_an_exit_during_an_outage_leaves_everything_to_the_next_process(bench: Bench) -> None:
    bench.receiver.answer = _refuse
    bench.submit("a", "b")
    bench.sender.close(1)
    assert bench.stats.dropped_spans == 0
    bench.receiver.answer = lambda: OK
    heir = bench.new_sender()
    heir.submit(Signal.TRACES, 1, b"c")
    assert heir.flush(1)
    heir.close(1)
    assert bench.taken == ["a", "b", "c"]
    assert heir.stats == ExportStats(exported=3)


def test_spans_of_a_process_that_dies_later_are_found_within_a_minute(bench: Bench) -> None:
    bench.run()
    dead = bench.new_sender()
    dead.submit(Signal.TRACES, 1, b"last words")
    dead._backlog.forget()
    bench.run(seconds=61, tick=1)
    assert bench.taken == ["last words"]


def test_without_a_disk_an_exit_counts_and_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(None)
    bench.receiver.answer = _refuse
    bench.submit("a", "b")
    bench.sender.close(1)
    assert bench.stats.dropped_spans == 2
    assert "2 spans in time" in caplog.text
    assert not bench.sender.submit(Signal.TRACES, 3, b"late")
    assert bench.stats.dropped_spans == 5


def test_a_bug_in_a_transport_neither_ends_delivery_nor_spells_out_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    bugs = [ValueError("Invalid header value b'Bearer sl_secret'")]

    def answer() -> Response:
        if bugs:
            raise bugs.pop()
        return OK

    bench.receiver.answer = answer
    sender = bench.new_sender(Sender)
    sender.submit(Signal.TRACES, 1, b"a")
    assert sender.flush(5)
    sender.close(1)
    assert bench.taken == ["a"]
    assert "ValueError" in caplog.text
    assert "sl_secret" not in caplog.text


def test_no_secret_reaches_the_disk_or_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench.receiver.script = [OSError("refused"), Response(401), Response(503)]
    bench.submit("a", "b", "c")
    assert bench.root is not None
    bench.run(seconds=1)
    written = b"".join(path.read_bytes() for path in bench.root.rglob("*.seg1"))
    assert b"sl_secret" not in written
    assert "sl_secret" not in caplog.text
