"""OTLP/HTTP as OTLP 1.11 says, over real sockets."""

import gzip
import http.client
import json
import socket
import threading
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # no stubs that fit types-grpcio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanledger_analytics.errors import StoreUnavailableError
from spanledger_ingest.journal import JournalConfig
from spanledger_ingest.otlp import Limits
from spanledger_ingest.pipeline import Outcome
from spanledger_ingest.receiver.http import HttpConfig

Traces = Callable[..., bytes]
StartRig = Callable[..., Any]
Listen = Callable[..., Any]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RESPONSES: dict[str, type[Any]] = {
    "traces": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}
JSON_TRACES = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "EEE19B7EC3C1B174",
                            "name": "chat",
                            "startTimeUnixNano": "1790000000000000000",
                            "endTimeUnixNano": "1790000001000000000",
                            "kind": 3,
                        }
                    ]
                }
            ]
        }
    ]
}
BAD_JSON_TRACES = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "", "spanId": ""}]}]}]}


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.code = response.status
        self.body = response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def status(self) -> Any:
        return Status.FromString(self.body)


def post(listener: Any, body: Any, path: str = "/v1/traces", method: str = "POST", **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"content-type": PROTOBUF, **named}, encode_chunked=False)
        return Reply(connection.getresponse())
    finally:
        connection.close()


@pytest.fixture
def served(rig: Any, listen: Listen) -> Any:
    return listen(rig.intake)


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize(("media", "empty"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_an_empty_request_succeeds_with_an_empty_response(served: Any, path: str, media: str, empty: bytes) -> None:
    reply = post(served, empty, path, content_type=media)
    assert (reply.code, reply.body, reply.headers["content-type"]) == (200, empty, media)


def test_full_success_is_200_and_leaves_partial_success_unset(served: Any, traces: Traces, rig: Any) -> None:
    reply = post(served, traces(3))
    assert (reply.code, reply.headers["content-type"]) == (200, PROTOBUF)
    assert not ExportTraceServiceResponse.FromString(reply.body).HasField("partial_success")
    assert len(rig.stored().spans) == 3


def test_the_response_is_encoded_as_the_request(served: Any, rig: Any) -> None:
    reply = post(served, json.dumps(JSON_TRACES), content_type=JSON)
    assert (reply.code, reply.headers["content-type"], reply.json) == (200, JSON, {})
    assert next(iter(rig.stored().spans))[1] == "5b8efff798038103d269b633813fc60c"


@pytest.mark.parametrize("parameters", ["; charset=utf-8", ";charset=UTF-8", " ; boundary=x"])
@pytest.mark.parametrize(("media", "body"), [(PROTOBUF, b""), ("Application/JSON", b"{}")])
def test_content_types_may_have_parameters(served: Any, media: str, body: bytes, parameters: str) -> None:
    assert post(served, body, content_type=media + parameters).code == 200


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", partial(pa.compress, codec="zstd", asbytes=True)),
        ("identity", bytes),
        ("GZIP", gzip.compress),
    ],
)
def test_compressed_bodies_are_accepted(
    served: Any, rig: Any, traces: Traces, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    assert post(served, compress(traces(40)), content_encoding=encoding).code == 200
    assert len(rig.stored().spans) == 40


def test_chunked_bodies_without_a_length_are_accepted(served: Any, rig: Any, traces: Traces) -> None:
    body = traces(50)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    parts = (body[start : start + 100] for start in range(0, len(body), 100))
    connection.request("POST", "/v1/traces", parts, {"content-type": PROTOBUF}, encode_chunked=True)
    assert Reply(connection.getresponse()).code == 200
    connection.close()
    assert len(rig.stored().spans) == 50


def test_a_connection_is_kept_for_more_requests(served: Any, traces: Traces, rig: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    for seed in range(3):
        connection.request("POST", "/v1/traces", traces(1, seed=seed), {"content-type": PROTOBUF})
        assert Reply(connection.getresponse()).code == 200
    connection.close()
    assert len(rig.stored().spans) == 3


@pytest.mark.parametrize(
    ("signal", "field", "body"),
    [
        ("traces", "rejected_spans", BAD_JSON_TRACES),
        ("logs", "rejected_log_records", {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": 5}]}]}]}),
        (
            "metrics",
            "rejected_data_points",
            {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"gauge": {"dataPoints": [{}]}}]}]}]},
        ),
    ],
)
def test_partial_success_is_200_with_the_rejected_count_and_a_message(
    served: Any, signal: str, field: str, body: Any
) -> None:
    from google.protobuf import json_format

    reply = post(served, json.dumps(body), f"/v1/{signal}", content_type=JSON)
    assert reply.code == 200
    partial = json_format.Parse(reply.body, RESPONSES[signal]()).partial_success
    assert getattr(partial, field) == 1
    assert partial.error_message


def test_partial_success_in_protobuf_keeps_the_good_spans(served: Any, rig: Any, traces: Traces) -> None:
    reply = post(served, traces(5, bad=2))
    partial = ExportTraceServiceResponse.FromString(reply.body).partial_success
    assert (reply.code, partial.rejected_spans) == (200, 2)
    assert partial.error_message
    assert len(rig.stored().spans) == 5


def test_a_request_that_names_no_known_field_is_accepted_with_a_warning(served: Any) -> None:
    reply = post(served, json.dumps({"resource_spans": []}), content_type=JSON)
    assert reply.code == 200
    assert reply.json["partialSuccess"]["rejectedSpans"] == "0"
    assert "resourceSpans" in reply.json["partialSuccess"]["errorMessage"]


def test_bad_data_is_400_with_a_status_in_the_encoding_of_the_request(served: Any) -> None:
    binary = post(served, b"\xff\xff\xff\xff")
    assert (binary.code, binary.headers["content-type"]) == (400, PROTOBUF)
    assert binary.status.code == 3
    assert binary.status.message
    assert [detail.TypeName() for detail in binary.status.details] == ["google.rpc.BadRequest"]
    text = post(served, b"{", content_type=JSON)
    assert (text.code, text.headers["content-type"], text.json["code"]) == (400, JSON, 3)
    assert text.json["details"][0]["fieldViolations"][0]["description"] == text.json["message"] != ""


def test_bad_data_is_not_retryable(served: Any) -> None:
    assert "retry-after" not in post(served, b"\xff\xff").headers


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "", "application/grpc"])
def test_an_unknown_content_type_is_415(served: Any, media: str) -> None:
    reply = post(served, b"x", content_type=media)
    assert reply.code == 415
    assert "application/x-protobuf" in reply.json["message"]


def test_an_unknown_content_encoding_is_415(served: Any) -> None:
    assert post(served, b"x", content_encoding="br").code == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_other_methods_are_405_and_name_the_right_one(served: Any, method: str) -> None:
    reply = post(served, None, method=method)
    assert (reply.code, reply.headers["allow"]) == (405, "POST")


def test_a_body_over_the_limit_is_413_whether_declared_chunked_or_compressed(
    start_rig: StartRig, listen: Listen
) -> None:
    served = listen(start_rig(limits=Limits(max_body_bytes=10_000)).intake)
    declared = post(served, bytes(20_000))
    chunked = post(served, iter([b"5000\r\n" + bytes(0x5000) + b"\r\n0\r\n\r\n"]), transfer_encoding="chunked")
    bomb = post(served, gzip.compress(bytes(1_000_000)), content_encoding="gzip")
    for reply in (declared, chunked, bomb):
        assert (reply.code, reply.status.code) == (413, 8)
        assert "retry-after" not in reply.headers
        assert "10000 bytes" in reply.status.message


def test_a_client_that_sends_far_too_much_still_sees_the_answer(start_rig: StartRig, listen: Listen) -> None:
    served = listen(start_rig(limits=Limits(max_body_bytes=1024 * 1024)).intake)
    assert post(served, bytes(32 * 1024 * 1024)).code == 413


def test_a_huge_announced_body_is_refused_before_it_is_sent(served: Any) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
            b"content-length: 99999999999\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_too_many_items_are_413(start_rig: StartRig, listen: Listen, traces: Traces) -> None:
    served = listen(start_rig(limits=Limits(max_items=10)).intake)
    assert post(served, traces(10)).code == 200
    reply = post(served, traces(11))
    assert reply.code == 413
    assert "10 items" in reply.status.message


def test_overload_is_503_with_a_short_retry_after(start_rig: StartRig, listen: Listen, traces: Traces) -> None:
    served = listen(start_rig(journal=JournalConfig(max_backlog_bytes=1)).intake)
    binary = post(served, traces(1))
    assert binary.code == 503
    assert binary.headers["retry-after"] in {"1", "2"}
    assert binary.status.code == 14
    assert [detail.TypeName() for detail in binary.status.details] == ["google.rpc.RetryInfo"]
    text = post(served, json.dumps(JSON_TRACES), content_type=JSON)
    assert text.code == 503
    assert text.json["details"][0]["retryDelay"] in {"1s", "2s"}


def test_unexpected_failures_are_503_and_never_500(
    served: Any, rig: Any, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.intake, "_read", lambda _request: 1 / 0)
    reply = post(served, traces(1))
    assert reply.code == 503
    assert reply.headers["retry-after"] in {"1", "2"}


def test_a_store_that_is_down_does_not_stop_the_receiver(served: Any, rig: Any, traces: Traces) -> None:
    def fail(_batch: Any) -> None:
        raise StoreUnavailableError("down")

    rig.store.fail = fail
    assert post(served, traces(1)).code == 200
    rig.store.fail = lambda _batch: None
    assert len(rig.stored().spans) == 1


def _authenticate(headers: Any) -> str | Outcome:
    answers: dict[str, str | Outcome] = {
        "Bearer good": "acme",
        "Bearer weak": Outcome("forbidden", "this key cannot write"),
        "Bearer busy": Outcome("rate_limited", "slow down", retry_after=2),
    }
    return answers.get(headers.get("authorization", ""), Outcome("unauthenticated", "send an API key"))


@pytest.mark.parametrize(
    ("authorization", "code", "number"),
    [("Bearer bad", 401, 16), ("", 401, 16), ("Bearer weak", 403, 7), ("Bearer busy", 429, 8)],
)
def test_credentials_are_checked(
    start_rig: StartRig, listen: Listen, traces: Traces, authorization: str, code: int, number: int
) -> None:
    rig = start_rig(authenticate=_authenticate)
    reply = post(listen(rig.intake), traces(1), authorization=authorization)
    assert (reply.code, reply.status.code) == (code, number)
    assert reply.headers.get("retry-after") == ("2" if code == 429 else None)
    assert ("www-authenticate" in reply.headers) == (code == 401)
    assert rig.stored().spans == {}


def test_the_owner_of_the_credential_owns_the_spans(start_rig: StartRig, listen: Listen, traces: Traces) -> None:
    rig = start_rig(authenticate=_authenticate)
    assert post(listen(rig.intake), traces(1), authorization="Bearer good").code == 200
    assert next(iter(rig.stored().spans))[0] == "acme"


@pytest.mark.parametrize("config", [HttpConfig(stall_seconds=0.05), HttpConfig(body_seconds=0.05)])
def test_a_stalled_body_is_cut_off(rig: Any, listen: Listen, config: HttpConfig) -> None:
    served = listen(rig.intake, config)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"
        )
        answer = client.makefile("rb").read()  # to the end: the server closes the connection
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in answer
    assert rig.intake.reserve(256 * 1024 * 1024) is None  # what was read is released


def test_a_client_that_goes_away_leaves_nothing_behind(served: Any, rig: Any, traces: Traces) -> None:
    body = traces(50)
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body[:100])
    assert post(served, traces(1, seed=9)).code == 200
    assert len(rig.stored().spans) == 1


def test_many_clients_at_once_lose_nothing(served: Any, rig: Any, traces: Traces) -> None:
    codes: list[int] = []

    def send(first: int) -> None:
        codes.extend(post(served, traces(3, seed=seed)).code for seed in range(first, first + 10))

    threads = [threading.Thread(target=send, args=(first,)) for first in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {200}
    assert len(rig.stored().spans) == 240


def test_tls_on_the_plain_port_gets_an_alert(served: Any) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.sendall(b"\x16\x03\x01\x00\x05hello")
        assert client.makefile("rb").read() == bytes((21, 3, 1, 0, 2, 2, 70))


def test_a_repeated_delivery_is_accepted_and_stored_once(served: Any, rig: Any, traces: Traces) -> None:
    assert {post(served, traces(4)).code for _ in range(3)} == {200}
    assert len(rig.stored().spans) == 4
