"""All listeners, HTTP, gRPC and the PostgreSQL wire, on one event loop in one thread."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from spanledger_ingest.errors import PortError
from spanledger_ingest.frames import WithoutMessages
from spanledger_ingest.pgwire import PgServer
from spanledger_ingest.receiver.grpc import GrpcReceiver
from spanledger_ingest.receiver.wrong_port import OtlpHttpProtocol
from spanledger_ingest.tls import Tls

_STOP_SECONDS = 5
_QUIET = WithoutMessages()  # one for the process: a logger takes it once


class Front:
    """What clients connect to. Ports are bound by :meth:`start`, before the first request is taken.

    Args:
        app: answers HTTP.
        grpc_receiver: answers gRPC.
        host: address to listen on.
        port: for HTTP; 0 for any free one.
        tls: encrypts HTTP; the others have their own.
        pg: answers PostgreSQL clients.
    """

    def __init__(
        self,
        app: ASGIApp,
        grpc_receiver: GrpcReceiver,
        host: str,
        port: int,
        tls: Tls | None = None,
        pg: PgServer | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=OtlpHttpProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            **({} if tls is None else tls.uvicorn_options()),
        )
        self.scheme = "http" if tls is None else "https"
        self._http = uvicorn.Server(config)
        logging.getLogger("uvicorn.error").addFilter(_QUIET)
        self._grpc = grpc_receiver
        self._pg = pg
        self._host = host
        self._wanted_port = port
        self._loop = asyncio.new_event_loop() if (factory := config.get_loop_factory()) is None else factory()
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)
        self._serving: Any = None
        self.http_port = 0
        self.grpc_port = 0
        self.pg_port = 0

    def start(self) -> None:
        """Listen on every port.

        Raises:
            PortError: one of them cannot be had; the others are closed again.
        """
        listener = _listen(self._host, self._wanted_port)
        self.http_port = listener.getsockname()[1]
        self._thread.start()
        try:
            self.grpc_port = self._run(self._grpc.start())
            if self._pg is not None:
                self.pg_port = self._run(self._pg.start())
        except PortError:
            if self.grpc_port:
                self._run(self._grpc.stop(0))
            listener.close()
            self._end_loop()
            raise
        self._serving = asyncio.run_coroutine_threadsafe(self._http.serve([listener]), self._loop)

    def stop(self) -> None:
        """Take no new requests, finish those on their way, close the ports. Idempotent."""
        if self._serving is None:
            return
        self._http.should_exit = True
        if self._pg is not None:
            self._run(self._pg.stop())
        self._run(self._grpc.stop(_STOP_SECONDS))
        self._serving.result(2 * _STOP_SECONDS)
        self._serving = None
        self._end_loop()

    def address(self, port: int) -> str:
        """Return ``host:port`` as it is written in a URL."""
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * _STOP_SECONDS)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        self._loop.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        hint = "choose another with --port, or stop what listens there"
        raise PortError(f"cannot listen on {host}:{port} for HTTP: {reason}: {hint}") from error
