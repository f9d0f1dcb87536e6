"""Outcomes in the words of OTLP 1.11: status codes and bodies, "OTLP/HTTP Response" and "OTLP/gRPC Response"."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo  # type: ignore[import-untyped] # its stubs clash with types-grpcio
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # as above
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanledger_ingest.otlp import Encoding, Signal
from spanledger_ingest.pipeline import Kind, Outcome


class Codes(NamedTuple):
    """How one kind of refusal is numbered in the two protocols."""

    http: int
    grpc: int


REFUSALS: Final[Mapping[Kind, Codes]] = {
    "bad_data": Codes(400, 3),  # INVALID_ARGUMENT
    "unauthenticated": Codes(401, 16),
    "forbidden": Codes(403, 7),  # PERMISSION_DENIED
    "too_large": Codes(413, 8),  # RESOURCE_EXHAUSTED; without RetryInfo it is not sent again
    "unsupported": Codes(415, 3),
    "rate_limited": Codes(429, 8),  # RESOURCE_EXHAUSTED; with RetryInfo it is
    "overloaded": Codes(503, 14),  # UNAVAILABLE
}
_REJECTED: Final[Mapping[Signal, str]] = {
    "traces": "rejectedSpans",
    "logs": "rejectedLogRecords",
    "metrics": "rejectedDataPoints",
}


def accepted_protobuf(signal: Signal, outcome: Outcome) -> bytes:
    """Return an Export response; on full success it is empty."""
    if outcome.kind == "success":
        return b""
    if signal == "traces":
        traces = ExportTraceServiceResponse()
        traces.partial_success.rejected_spans = outcome.rejected
        traces.partial_success.error_message = outcome.message
        return traces.SerializeToString()
    if signal == "logs":
        logs = ExportLogsServiceResponse()
        logs.partial_success.rejected_log_records = outcome.rejected
        logs.partial_success.error_message = outcome.message
        return logs.SerializeToString()
    metrics = ExportMetricsServiceResponse()
    metrics.partial_success.rejected_data_points = outcome.rejected
    metrics.partial_success.error_message = outcome.message
    return metrics.SerializeToString()


def _accepted_json(signal: Signal, outcome: Outcome) -> bytes:
    if outcome.kind == "success":
        return b"{}"
    # An int64 is a string in protobuf's JSON.
    partial = {_REJECTED[signal]: str(outcome.rejected), "errorMessage": outcome.message}
    return orjson.dumps({"partialSuccess": partial})


def retry_info_protobuf(outcome: Outcome) -> bytes | None:
    """Return the google.rpc.RetryInfo of a refusal that should be sent again."""
    return None if outcome.retry_after is None else bytes(_retry_info(outcome.retry_after).SerializeToString())


def _retry_info(seconds: int) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=seconds))


def status_protobuf(outcome: Outcome) -> bytes:
    """Return the google.rpc.Status of a refusal."""
    status = Status(code=REFUSALS[outcome.kind].grpc, message=outcome.message)
    if outcome.retry_after is not None:
        status.details.add().Pack(_retry_info(outcome.retry_after))
    if outcome.kind == "bad_data":
        violation = BadRequest.FieldViolation(description=outcome.message)
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    return bytes(status.SerializeToString())


def _status_json(outcome: Outcome) -> bytes:
    status: dict[str, Any] = {"code": REFUSALS[outcome.kind].grpc, "message": outcome.message}
    if outcome.retry_after is not None:
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{outcome.retry_after}s"}
        status["details"] = [info]
    if outcome.kind == "bad_data":
        violations = [{"description": outcome.message}]
        status["details"] = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
    return orjson.dumps(status)


def http_answer(signal: Signal, encoding: Encoding, outcome: Outcome) -> tuple[int, bytes]:
    """Return status code and body of an HTTP answer in the encoding of the request."""
    refusal = REFUSALS.get(outcome.kind)
    if refusal is None:
        return 200, (accepted_protobuf if encoding == "protobuf" else _accepted_json)(signal, outcome)
    body = status_protobuf(outcome) if encoding == "protobuf" else _status_json(outcome)
    return refusal.http, body
