"""OTLP/gRPC: the three Export services on raw bytes, so that the intake sees what it sees over HTTP."""

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

from spanledger_ingest.errors import PortError
from spanledger_ingest.otlp import Signal
from spanledger_ingest.pipeline import Intake, Outcome
from spanledger_ingest.receiver._answers import REFUSALS, accepted_protobuf, retry_info_protobuf, status_protobuf

_SERVICES: Final[Mapping[Signal, str]] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
SCOPES: Final[Mapping[str, str]] = {f"/{service}/Export": "ingest:write" for service in _SERVICES.values()}
"""Every method there is, and what the intake asks of the credential."""

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

_Method: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


class GrpcReceiver:
    """A gRPC server on the running event loop.

    Args:
        intake: where requests go.
        host: address to listen on.
        port: 0 for any free one.
        credentials: for TLS; ``None`` for none.
    """

    def __init__(
        self,
        intake: Intake,
        host: str = "127.0.0.1",
        port: int = 4317,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.methods = _methods(intake)
        self._intake = intake
        self._host = host
        self._port = port
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port.

        Raises:
            PortError: the address cannot be listened on.
        """
        options = (
            ("grpc.max_receive_message_length", self._intake.limits.max_body_bytes),
            ("grpc.so_reuseport", 0),  # else a second service on the same port would silently take half
        )
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers([_Methods(self.methods)])
        address = f"{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"
        try:
            _try_address(self._host, self._port)
            if self._credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._credentials)
        except (OSError, RuntimeError) as error:
            reason = f"{os.strerror(error.errno)}: " if isinstance(error, OSError) and error.errno else ""
            hint = "choose another with --grpc-port, or stop what listens there"
            raise PortError(f"cannot listen on {address} for gRPC: {reason}{hint}") from error
        await self._server.start()
        return port

    async def stop(self, grace: float = 5.0) -> None:
        """Take no new requests and finish those on their way, for at most ``grace`` seconds. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace)


def _try_address(host: str, port: int) -> None:
    """Raise the reason why nothing can listen there: gRPC has none to give, and writes to stderr."""
    socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()


class _Methods(grpc.GenericRpcHandler):
    """The methods by their full names; there are no others, and each has its scope."""

    def __init__(self, methods: Mapping[str, _Method]) -> None:
        if undeclared := methods.keys() - SCOPES.keys():
            raise RuntimeError(f"gRPC methods declare no scope: {sorted(undeclared)}")
        self._methods = methods

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Return the method called, if there is one."""
        return self._methods.get(handler_call_details.method)


def _methods(intake: Intake) -> Mapping[str, _Method]:
    return {
        f"/{service}/Export": grpc.unary_unary_rpc_method_handler(_export(intake, signal))
        for signal, service in _SERVICES.items()
    }


def _export(intake: Intake, signal: Signal) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    async def export(body: bytes, context: _Context) -> bytes:
        outcome = await _take(intake, signal, body, _headers(context))
        if outcome.kind in REFUSALS:
            await _refuse(context, outcome)
        return accepted_protobuf(signal, outcome)

    return export


async def _take(intake: Intake, signal: Signal, body: bytes, headers: Mapping[str, str]) -> Outcome:
    owner = intake.admit(headers, signal)
    refusal = owner if isinstance(owner, Outcome) else intake.reserve(len(body))
    if refusal is not None:
        intake.note(signal, refusal)
        return refusal
    try:
        return await intake.accept(str(owner), signal, body, encoding="protobuf")
    finally:
        intake.release(len(body))


def _headers(context: _Context) -> dict[str, str]:
    metadata: Any = context.invocation_metadata() or ()
    return {key.lower(): value for key, value in metadata if isinstance(value, str)}


async def _refuse(context: _Context, outcome: Outcome) -> None:
    """End the call with a status. Clients look for the delay under either of the two keys."""
    metadata = [("grpc-status-details-bin", status_protobuf(outcome))]
    if (info := retry_info_protobuf(outcome)) is not None:
        metadata.append(("google.rpc.retryinfo-bin", info))
    code = _CODES[REFUSALS[outcome.kind].grpc]
    await context.abort(code, outcome.message, tuple(metadata))
