"""Receivers: OTLP over HTTP and gRPC, in front of the same intake."""

from spanledger_ingest.receiver.grpc import GrpcReceiver
from spanledger_ingest.receiver.http import otlp_routes
from spanledger_ingest.receiver.wrong_port import OtlpHttpProtocol

__all__ = ["GrpcReceiver", "OtlpHttpProtocol", "otlp_routes"]
