"""Uvicorn's protocol, but strangers get a clear answer and stalled clients an end.

Strangers speak another protocol to the HTTP port: a gRPC client gets a gRPC error whose text names the mistake, a
TLS client an alert (which has no room for text); both are logged. The gRPC port cannot do the same for HTTP/1.1
clients: gRPC's core closes their connection by itself.
"""

import asyncio
import logging
import struct
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_log = logging.getLogger(__name__)

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TLS_HANDSHAKE: Final = b"\x16\x03"
_TLS_ALERT: Final = bytes((21, 3, 1, 0, 2, 2, 70))  # alert, TLS 1.0 record, 2 bytes: fatal, protocol_version
_HINT: Final = "this port speaks OTLP over HTTP/1.1: send gRPC to the gRPC port (by default 4317), or use http/protobuf"

_HEADERS, _SETTINGS, _GOAWAY = 1, 4, 7
_END_STREAM_AND_HEADERS: Final = 0x5
_ACK: Final = 0x1


class OtlpHttpProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol: ``uvicorn.Config(http=OtlpHttpProtocol)``.

    It looks at the first bytes, and it closes connections whose headers do not come: uvicorn would wait for ever. The
    endpoints have their own time limits for bodies.
    """

    header_seconds = 10.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._first = True
        self._stranger: _Http2Stranger | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._wait_for_headers()

    def on_message_begin(self) -> None:
        """Wait for the headers of the next request on the same connection."""
        super().on_message_begin()
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def data_received(self, data: bytes) -> None:
        """Answer a client of another protocol, or pass the bytes on."""
        if self._first:
            self._first = False
            if data.startswith(_PREFACE[:14]):
                _log.warning("a gRPC client connected to the HTTP port: %s", _HINT)
                self._stranger = _Http2Stranger()
            elif data.startswith(_TLS_HANDSHAKE):
                _log.warning("a TLS client connected to the plain HTTP port: use http://, or a TLS proxy in front")
                self.transport.write(_TLS_ALERT)
                self.transport.close()
                return
        if self._stranger is not None:
            self.transport.write(self._stranger.answer(data))
        else:
            super().data_received(data)


class _Http2Stranger:
    """Just enough HTTP/2 (RFC 9113) to end the first call of a gRPC client with an error that it can show.

    Closing at once would make the client try again without end, and without a reason to show.
    """

    def __init__(self) -> None:
        self._unread = b""
        self._greeted = False

    def answer(self, data: bytes) -> bytes:
        """Return what to write after having received the data."""
        self._unread += data
        answers = []
        if not self._greeted:
            if len(self._unread) < len(_PREFACE):
                return b""
            self._greeted = True
            self._unread = self._unread[len(_PREFACE) :]
            answers.append(_frame(_SETTINGS, 0, 0, b""))
        while len(self._unread) >= 9 and len(self._unread) >= 9 + int.from_bytes(self._unread[:3], "big"):
            size, kind, flags = int.from_bytes(self._unread[:3], "big"), self._unread[3], self._unread[4]
            stream = int.from_bytes(self._unread[5:9], "big")
            self._unread = self._unread[9 + size :]
            answers.append(_answer(kind, flags, stream))
        return b"".join(answers)


def _answer(kind: int, flags: int, stream: int) -> bytes:
    if kind == _SETTINGS and not flags & _ACK:
        return _frame(_SETTINGS, _ACK, 0, b"")
    if kind == _HEADERS:
        refusal = _frame(_HEADERS, _END_STREAM_AND_HEADERS, stream, _TRAILERS)
        return refusal + _frame(_GOAWAY, 0, 0, struct.pack(">II", stream, 0) + _HINT.encode())
    return b""


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a header field that is not indexed (RFC 7541 section 6.2.2); both texts are shorter than 127 bytes."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


_TRAILERS: Final = b"".join(
    (
        b"\x88",  # :status 200, from the static table
        _literal(b"content-type", b"application/grpc"),
        _literal(b"grpc-status", b"12"),  # UNIMPLEMENTED
        _literal(b"grpc-message", _HINT.encode()),
    )
)
