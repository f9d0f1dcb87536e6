"""One TCP connection: bytes in and out, with back-pressure both ways, encryption, and word of the client leaving."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final

from spanledger_ingest.pgwire._errors import PROTOCOL, GoneError, WireError

_HIGH: Final = 256 * 1024
_HANDSHAKE_SECONDS: Final = 10.0


def _nothing() -> None:
    """Do nothing."""


class Channel(asyncio.Protocol):
    """A connection. ``serve`` is run as a task once it is made; who reads nothing for ``stall_seconds`` is cut off."""

    def __init__(self, serve: Callable[["Channel"], Coroutine[Any, Any, None]], stall_seconds: float) -> None:
        self._serve = serve
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._received = bytearray()
        self._reading: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._wanted = 1
        self.task: asyncio.Task[None] | None = None
        self.gone = False
        self.on_gone: Callable[[], None] = _nothing
        """Called once when the client leaves, at whatever moment."""

    def connection_made(self, transport: Any) -> None:
        """Begin to serve."""
        self._transport = transport
        # Peers that vanished would keep their places for ever.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.task = self._loop.create_task(self._serve(self))

    def data_received(self, data: bytes) -> None:
        """Keep what came until it is read."""
        self._received += data
        if len(self._received) > max(_HIGH, self._wanted):
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Take the end of sending for the end of interest."""
        self._left()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Wake whoever waits for the client."""
        self._left()

    def pause_writing(self) -> None:
        """Let writers wait: the client is slower than we are."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def _left(self) -> None:
        if not self.gone:
            self.gone = True
            self.on_gone()
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)

    async def read(self, size: int) -> bytes:
        """Return exactly so many bytes.

        Raises:
            GoneError: the client left before it sent them.
        """
        self._wanted = size
        while len(self._received) < size:
            if self.gone:
                raise GoneError("the client has left")
            self._transport.resume_reading()
            self._reading = self._loop.create_future()
            await self._reading
        found = bytes(self._received[:size])
        del self._received[:size]
        return found

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client does not keep up.

        Raises:
            GoneError: the client left, or has not kept up for too long.
        """
        if self.gone:
            raise GoneError("the client has left")
        self._transport.write(data)
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._writable.wait()
        except TimeoutError:
            self.abort()
            raise GoneError("the client reads nothing") from None

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """Go on under TLS.

        Raises:
            WireError: the client sent something that was to be taken for encrypted.
            GoneError: the handshake failed.
        """
        if self._received:
            raise WireError(PROTOCOL, "unencrypted bytes came after the request for encryption", fatal=True)
        try:
            self._transport = await self._loop.start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is the former
            raise GoneError(f"no encryption could be agreed on: {error}") from error
        if self._transport is None:
            raise GoneError("the client has left")

    @property
    def peer(self) -> str:
        """The address at the other end."""
        found = self._transport.get_extra_info("peername")
        return str(found[0]) if found else ""

    def close(self) -> None:
        """Send what is left and hang up. Idempotent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up now."""
        if self._transport is not None:
            self._transport.abort()
