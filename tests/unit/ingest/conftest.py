"""A pipeline on a fake store, and the receivers in front of it."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette

from spanledger_analytics import rows
from spanledger_analytics.ports import CallKeys, Receipt, Related, SpanKey
from spanledger_analytics.records import Batch, Call, CallFacts, Content, Head, LogRecord, Score, Span
from spanledger_ingest.journal import Journal, JournalConfig
from spanledger_ingest.otlp import DEFAULT_LIMITS, Limits
from spanledger_ingest.pipeline import Authenticate, Intake, Steps, Writer, WriterConfig, dev_mode, read_request
from spanledger_ingest.receiver import GrpcReceiver, OtlpHttpProtocol, otlp_routes
from spanledger_ingest.receiver.http import HttpConfig

NOW_NS = 1_790_000_000 * 10**9


@dataclass
class FakeStore:
    """Keeps batches in memory; fails when told to. Survives a "restart" of the rest when passed on."""

    position: int = 0
    spans: dict[SpanKey, Head] = field(default_factory=dict)
    calls: dict[SpanKey, Call] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    fail: Callable[[Batch], None] = lambda _batch: None
    related_asked: list[CallKeys] = field(default_factory=list)

    def append(self, batch: Batch) -> Receipt:
        self.fail(batch)
        fresh = 0
        for span in rows.heads(rows.span_table(batch.spans)):
            key = (span.owner, span.trace_id, span.span_id)
            fresh += key not in self.spans
            self.spans[key] = span
        for call in batch.calls:
            self.calls[call.facts.owner, call.facts.trace_id, call.facts.span_id] = call
        self.position = max(self.position, batch.journal_position or 0)
        self.batches.append(batch)
        return Receipt(fresh, len(batch.spans) - fresh)

    def related(self, keys: CallKeys) -> Related:
        self.related_asked.append(keys)
        facts = [call.own for call in self.calls.values() if (call.own.owner, call.own.trace_id) in keys.trace_ids]
        parents = {key: span.parent_span_id for key, span in self.spans.items() if key[:2] in keys.trace_ids}
        return Related(facts, parents)

    def journal_position(self) -> int:
        return self.position

    def checkpoint(self, *, force: bool = False) -> int:
        del force
        return self.position

    def every(self, name: str) -> list[Any]:
        return [one for batch in self.batches for one in getattr(batch, name)]

    def _unused(self, *_arguments: object) -> pa.Table:
        raise NotImplementedError

    calls_table = usage = trace = rejections = _unused

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _Normalised:
    span: Span
    facts: CallFacts | None
    contents: Sequence[Content]


@dataclass(frozen=True)
class _NormalisedLog:
    record: LogRecord
    contents: Sequence[Content] = ()
    scores: Sequence[Score] = ()


def _normalise(span: Span) -> _Normalised:
    if span.name == "cannot normalise":
        raise ValueError(span.name)
    facts = CallFacts(
        owner=span.owner,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
    )
    content = Content(
        owner=span.owner,
        tenant_id="t",
        trace_id=span.trace_id,
        span_id=span.span_id,
        time_ns=span.start_ns,
        kind="input",
        text=span.name,
    )
    return _Normalised(span, facts if span.name.startswith("chat") else None, [content])


def _settle(facts: Iterable[CallFacts], parents: Mapping[SpanKey, str | None]) -> list[Call]:
    assert parents
    return [Call(facts=one, own=one, billable=True, billing_reason="test") for one in facts]


def _related_keys(spans: Sequence[Head], facts: Sequence[CallFacts]) -> CallKeys | None:
    if not facts:
        return None
    traces = {(span.owner, span.trace_id) for span in spans}
    return CallKeys(trace_ids=traces, response_ids=(), start_ns=0, end_ns=2**62)


STEPS = Steps(
    normalise=_normalise,
    normalise_log=_NormalisedLog,
    related_keys=_related_keys,
    settle=_settle,
    price=lambda call: call,
    keep_content=lambda _content: None,
)


@dataclass
class Rig:
    """A pipeline that runs."""

    directory: Path
    store: FakeStore
    journal: Journal
    writer: Writer
    intake: Intake

    def accept(self, body: bytes, owner: str = "", **options: Any) -> Any:
        options = {"signal": "traces", "encoding": "protobuf", **options}
        return asyncio.run(self.intake.accept(owner, options.pop("signal"), body, **options))

    def stored(self) -> FakeStore:
        self.writer.wait_until_stored()
        return self.store

    def close(self) -> bool:
        self.intake.close()
        drained = self.writer.stop(10)
        self.journal.close()
        return drained


@pytest.fixture
def new_store() -> Callable[[], FakeStore]:
    return FakeStore


@pytest.fixture
def steps() -> Steps:
    return STEPS


@pytest.fixture
def start_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Start pipelines, by default all in the same directory; they are closed after the test."""
    started: list[Rig] = []

    def start(
        *,
        store: FakeStore | None = None,
        directory: Path = tmp_path,
        limits: Limits = DEFAULT_LIMITS,
        authenticate: Authenticate = dev_mode,
        journal: JournalConfig | None = None,
        writer: WriterConfig | None = None,
        steps: Steps = STEPS,
        run: bool = True,
        **intake: Any,
    ) -> Rig:
        store = store or FakeStore()
        log = Journal(directory / "journal", stored_position=store.position, config=journal)
        config = writer or WriterConfig(commit_seconds=30, first_retry_seconds=0.001, last_retry_seconds=0.002)
        thread = Writer(cast("Any", store), log, steps, lambda request: read_request(request, limits), config)
        taker = Intake(log, thread, limits=limits, authenticate=authenticate, clock=lambda: NOW_NS, **intake)
        rig = Rig(directory, store, log, thread, taker)
        if run:
            thread.start()
        started.append(rig)
        return rig

    yield start
    for rig in started:
        rig.store.fail = lambda _batch: None
        rig.close()


@pytest.fixture
def rig(start_rig: Callable[..., Rig]) -> Rig:
    return start_rig()


@pytest.fixture
def traces() -> Callable[..., bytes]:
    """Make requests of so many good spans; ids follow from ``seed``."""

    def make(count: int = 1, *, seed: int = 0, name: str = "chat", bad: int = 0, seconds: int = 1) -> bytes:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "shop"
        scope = group.scope_spans.add()
        for index in range(count + bad):
            digest = sha256(f"{seed} {index}".encode()).digest()
            scope.spans.add(
                trace_id=digest[:16],
                span_id=digest[16:24] if index < count else bytes(8),
                name=name,
                start_time_unix_nano=NOW_NS,
                end_time_unix_nano=NOW_NS + seconds * 10**9,
            )
        return request.SerializeToString()

    return make


class Listener:
    """The receivers on free ports, on an event loop in a thread."""

    def __init__(self, intake: Intake, config: HttpConfig | None = None) -> None:
        app = Starlette(routes=otlp_routes(intake, config))
        options = uvicorn.Config(app, port=0, http=OtlpHttpProtocol, log_level="warning", lifespan="off")
        self._http = uvicorn.Server(options)
        self._grpc = GrpcReceiver(intake, port=0)
        self._up = threading.Event()
        self.port = self.grpc_port = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._up.wait(20)

    async def _serve(self) -> None:
        self.grpc_port = await self._grpc.start()
        self._http.config.load()
        self._http.lifespan = self._http.config.lifespan_class(self._http.config)
        await self._http.startup()
        self.port = self._http.servers[0].sockets[0].getsockname()[1]
        self._up.set()
        await self._http.main_loop()
        await self._http.shutdown()
        await self._grpc.stop(0)

    def close(self) -> None:
        self._http.should_exit = True
        self._http.force_exit = True
        self._thread.join(20)


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Put receivers in front of an intake; they stop after the test."""
    started: list[Listener] = []

    def start(intake: Intake, config: HttpConfig | None = None) -> Listener:
        started.append(Listener(intake, config))
        return started[-1]

    yield start
    for listener in started:
        listener.close()
