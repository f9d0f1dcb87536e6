"""OTLP/gRPC as OTLP 1.11 says, through real channels."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # no stubs that fit types-grpcio
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # as above
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

from spanledger_ingest.errors import PortError
from spanledger_ingest.journal import JournalConfig
from spanledger_ingest.otlp import Limits
from spanledger_ingest.pipeline import Outcome
from spanledger_ingest.receiver import GrpcReceiver

Traces = Callable[..., bytes]
StartRig = Callable[..., Any]
Listen = Callable[..., Any]

SERVICES: dict[str, tuple[str, Any, Any]] = {
    "traces": ("trace.v1.TraceService", trace.ExportTraceServiceRequest, trace.ExportTraceServiceResponse),
    "logs": ("logs.v1.LogsService", logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
    "metrics": ("metrics.v1.MetricsService", metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
}


class Client:
    def __init__(self, port: int, **options: Any) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", **options)

    def export(self, body: bytes, signal: str = "traces", **options: Any) -> Any:
        service, _, response = SERVICES[signal]
        path = f"/opentelemetry.proto.collector.{service}/Export"
        call = self._channel.unary_unary(path, lambda sent: sent, response.FromString)
        return call(body, timeout=20, **options)

    def refused(self, body: bytes, **options: Any) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            self.export(body, **options)
        return caught.value

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def connect(listen: Listen) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def start(intake: Any, **options: Any) -> Client:
        clients.append(Client(listen(intake).grpc_port, **options))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_the_three_services_answer_an_empty_request_with_success(
    rig: Any, connect: Callable[..., Client], signal: str
) -> None:
    assert not connect(rig.intake).export(b"", signal).HasField("partial_success")


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_spans_are_stored_plain_or_gzipped(
    rig: Any, connect: Callable[..., Client], traces: Traces, compression: Any
) -> None:
    response = connect(rig.intake, compression=compression).export(traces(30))
    assert not response.HasField("partial_success")
    assert len(rig.stored().spans) == 30


def test_partial_success_is_ok_with_count_and_message(rig: Any, connect: Callable[..., Client], traces: Traces) -> None:
    partial = connect(rig.intake).export(traces(3, bad=2)).partial_success
    assert partial.rejected_spans == 2
    assert partial.error_message
    assert len(rig.stored().spans) == 3


def test_bad_data_is_invalid_argument_and_not_retryable(rig: Any, connect: Callable[..., Client]) -> None:
    error = connect(rig.intake).refused(b"\xff\xff\xff")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    trailing = dict(error.trailing_metadata())
    assert "google.rpc.retryinfo-bin" not in trailing
    assert Status.FromString(trailing["grpc-status-details-bin"]).code == 3


def test_overload_is_unavailable_with_retry_info_under_both_keys(
    start_rig: StartRig, connect: Callable[..., Client], traces: Traces
) -> None:
    error = connect(start_rig(journal=JournalConfig(max_backlog_bytes=1)).intake).refused(traces(1))
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    trailing = dict(error.trailing_metadata())
    direct = RetryInfo.FromString(trailing["google.rpc.retryinfo-bin"])
    packed = RetryInfo()
    assert Status.FromString(trailing["grpc-status-details-bin"]).details[0].Unpack(packed)
    assert direct == packed
    assert 1 <= direct.retry_delay.seconds <= 2


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_resource_exhausted_without_retry_info(
    start_rig: StartRig, connect: Callable[..., Client], compression: Any
) -> None:
    rig = start_rig(limits=Limits(max_body_bytes=10_000))
    error = connect(rig.intake, compression=compression).refused(bytes(50_000))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata() or ())


def test_too_many_items_are_resource_exhausted_without_retry_info(
    start_rig: StartRig, connect: Callable[..., Client], traces: Traces
) -> None:
    error = connect(start_rig(limits=Limits(max_items=2)).intake).refused(traces(3))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())


def test_an_unexpected_failure_is_unavailable_and_never_unknown(
    rig: Any, connect: Callable[..., Client], traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.intake, "_read", lambda _request: 1 / 0)
    error = connect(rig.intake).refused(traces(1))
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert "google.rpc.retryinfo-bin" in dict(error.trailing_metadata())


def _authenticate(headers: Any) -> str | Outcome:
    answers: dict[str, str | Outcome] = {
        "Bearer good": "acme",
        "Bearer weak": Outcome("forbidden", "this key cannot write"),
        "Bearer busy": Outcome("rate_limited", "slow down", retry_after=2),
    }
    return answers.get(headers.get("authorization", ""), Outcome("unauthenticated", "send an API key"))


def test_credentials_come_as_metadata(start_rig: StartRig, connect: Callable[..., Client], traces: Traces) -> None:
    rig = start_rig(authenticate=_authenticate)
    client = connect(rig.intake)
    assert client.refused(traces(1)).code() == grpc.StatusCode.UNAUTHENTICATED
    weak = client.refused(traces(1), metadata=(("authorization", "Bearer weak"),))
    assert weak.code() == grpc.StatusCode.PERMISSION_DENIED
    client.export(traces(1), metadata=(("authorization", "Bearer good"),))
    assert {key[0] for key in rig.stored().spans} == {"acme"}


def test_a_rate_limit_is_resource_exhausted_with_retry_info(
    start_rig: StartRig, connect: Callable[..., Client], traces: Traces
) -> None:
    client = connect(start_rig(authenticate=_authenticate).intake)
    error = client.refused(traces(1), metadata=(("authorization", "Bearer busy"),))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert RetryInfo.FromString(dict(error.trailing_metadata())["google.rpc.retryinfo-bin"]).retry_delay.seconds == 2


def test_bodies_in_flight_are_bounded(start_rig: StartRig, connect: Callable[..., Client], traces: Traces) -> None:
    error = connect(start_rig(max_in_flight_bytes=10).intake).refused(traces(1))
    assert error.code() == grpc.StatusCode.UNAVAILABLE


def test_a_grpc_client_on_the_http_port_reads_what_is_wrong(rig: Any, listen: Listen, traces: Traces) -> None:
    client = Client(listen(rig.intake).port)
    for _ in range(2):
        error = client.refused(traces(1))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        assert "gRPC port (by default 4317)" in (error.details() or "")
    client.close()


def test_an_http_client_on_the_grpc_port_is_cut_off_and_does_no_harm(rig: Any, listen: Listen, traces: Traces) -> None:
    listener = listen(rig.intake)
    with socket.create_connection(("127.0.0.1", listener.grpc_port), timeout=20) as stranger:
        stranger.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        stranger.makefile("rb").read()  # returns: the server closes
    client = Client(listener.grpc_port)
    client.export(traces(1))
    client.close()


def test_a_port_in_use_is_a_clear_error(rig: Any, listen: Listen) -> None:
    import asyncio

    port = listen(rig.intake).grpc_port

    async def start() -> None:
        await GrpcReceiver(rig.intake, port=port).start()

    with pytest.raises(PortError, match="in use"):
        asyncio.run(start())
