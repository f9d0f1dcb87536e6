"""A clear answer for clients that speak another protocol to the HTTP port.

A gRPC client gets an HTTP/2 GOAWAY whose text names the mistake, a TLS client an alert (which has no room for text);
both are logged. The gRPC port cannot do the same for HTTP/1.1 clients: gRPC's core closes their connection by itself.
"""

import logging
import struct
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_log = logging.getLogger(__name__)

_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0"
_TLS_HANDSHAKE: Final = b"\x16\x03"
_TLS_ALERT: Final = bytes((21, 3, 1, 0, 2, 2, 70))  # alert, TLS 1.0 record, 2 bytes: fatal, protocol_version
_HTTP_1_1_REQUIRED: Final = 0xD
_GRPC_HINT: Final = (
    "this port speaks OTLP over HTTP/1.1: use the gRPC port (4317 by default), or the http/protobuf protocol"
)


class OtlpHttpProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, but it looks at the first bytes: ``uvicorn.Config(http=OtlpHttpProtocol)``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._first = True

    def data_received(self, data: bytes) -> None:
        """Answer a client of another protocol, or pass the bytes on."""
        if self._first:
            self._first = False
            refusal = _refusal(data)
            if refusal is not None:
                self.transport.write(refusal)
                self.transport.close()
                return
        super().data_received(data)


def _refusal(data: bytes) -> bytes | None:
    if data.startswith(_HTTP2_PREFACE):
        _log.warning("a gRPC client connected to the HTTP port: %s", _GRPC_HINT)
        return _settings() + _goaway(_HTTP_1_1_REQUIRED, _GRPC_HINT.encode())
    if data.startswith(_TLS_HANDSHAKE):
        _log.warning("a TLS client connected to the plain HTTP port: use http:// or a TLS proxy in front")
        return _TLS_ALERT
    return None


def _settings() -> bytes:
    return _frame(4, b"")


def _goaway(code: int, text: bytes) -> bytes:
    return _frame(7, struct.pack(">II", 0, code) + text)


def _frame(kind: int, content: bytes) -> bytes:
    """Return an HTTP/2 frame on stream 0 (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(content))[1:] + bytes((kind, 0)) + struct.pack(">I", 0) + content
