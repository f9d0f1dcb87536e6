"""One HTTP client, small enough for someone else's process.

``http.client`` rather than ``requests``: it spares an import of 80 ms and 6 MB (measured), and no instrumentation of
HTTP clients wraps it. It is imported at the first request, on the sender's thread, because it brings ssl and email.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection, HTTPResponse

_MAX_RESPONSE = 64 * 1024
"""Bytes read of an answer; OTLP allows 4 MiB, we only look for a message."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """How a request reaches the receiver."""

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send a request and return the answer.

        Raises:
            OSError: There was no answer: refused, reset, timed out, or not HTTP.
        """
        ...

    def close(self) -> None:
        """Drop the connection, also from another thread while ``post`` waits; the next ``post`` opens a new one."""
        ...

    def forget(self) -> None:
        """Let go of the connection in a forked child without disturbing the parent's use of it."""
        ...


class HttpTransport:
    """HTTP/1.1 with one kept-alive connection, TLS, and the proxy that the environment names.

    Args:
        endpoint: ``http://host:port`` or ``https://...``, with a path prefix or without.
        timeout: Seconds for connecting, and for the answer as a whole.
        ca_file: Certificate authority for a private receiver; the system's by default.
        cert_file: Client certificate for mutual TLS.
        key_file: Its key.
    """

    def __init__(
        self,
        endpoint: str,
        timeout: float = 10.0,
        *,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
    ) -> None:
        self._url = check_endpoint(endpoint)
        self._timeout = timeout
        self._tls_files = (ca_file, cert_file, key_file)
        self._tls: ssl.SSLContext | None = None
        self._connection: HTTPConnection | None = None
        self._target_prefix = self._url.path

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send a request and return the answer; an idle connection that the receiver closed is replaced once."""
        reused = self._connection is not None
        try:
            return self._attempt(path, body, headers)
        except ConnectionError:
            if not reused:
                raise
        return self._attempt(path, body, headers)

    def _attempt(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        from http.client import HTTPException  # noqa: PLC0415 -- see the module's docstring

        connection = self._connection = self._connection or self._connect()
        try:
            connection.request("POST", self._target_prefix + path, body, dict(headers))
            return self._read(connection.getresponse())
        except HTTPException as error:
            self.close()
            if isinstance(error, OSError):  # RemoteDisconnected is both
                raise
            raise OSError(f"not an HTTP answer: {error!r}") from error
        except OSError:
            self.close()
            raise

    def _read(self, answer: "HTTPResponse") -> Response:
        deadline = time.monotonic() + self._timeout
        body = b""
        while len(body) < _MAX_RESPONSE and (chunk := answer.read1(_MAX_RESPONSE)):
            body += chunk
            if time.monotonic() > deadline:  # the socket's timeout restarts with every byte
                raise TimeoutError("the answer takes too long")
        if answer.length == 0:
            answer.close()  # read to its end: the connection can take the next request
        elif not answer.isclosed():
            self.close()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def _connect(self) -> "HTTPConnection":
        from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415 -- see the module's docstring

        host, port = self._url.hostname or "", self._url.port
        proxy = None if host in _LOOPBACK else _proxy_for(self._url)
        via, via_port = (proxy.hostname or "", proxy.port) if proxy else (host, port)
        if self._url.scheme == "http":
            self._target_prefix = f"http://{self._url.netloc}{self._url.path}" if proxy else self._url.path
            return HTTPConnection(via, via_port, timeout=self._timeout)
        connection = HTTPSConnection(via, via_port, timeout=self._timeout, context=self._tls_context())
        if proxy:
            connection.set_tunnel(host, port or 443)
        return connection

    def _tls_context(self) -> "ssl.SSLContext":
        import ssl  # noqa: PLC0415 -- loaded with http.client, see the module's docstring

        if self._tls is None:
            ca_file, cert_file, key_file = self._tls_files
            self._tls = ssl.create_default_context(cafile=ca_file)
            if cert_file:
                self._tls.load_cert_chain(cert_file, key_file)
        return self._tls

    def close(self) -> None:
        """Drop the connection, also under a ``post`` that waits in another thread."""
        import socket  # noqa: PLC0415 -- loaded with http.client, see the module's docstring

        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.sock is not None:
            with contextlib.suppress(OSError):  # wakes a thread that waits in recv; close alone would not
                connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()

    def forget(self) -> None:
        """Let go of the connection in a forked child; the parent goes on with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def check_endpoint(endpoint: str) -> SplitResult:
    """Return the parts of a base address without a trailing slash or signal path.

    Raises:
        ValueError: It is not an http or https address.
    """
    url = urlsplit(endpoint.rstrip("/").removesuffix("/v1/traces"))
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError(f"not an OTLP/HTTP endpoint: {endpoint!r}; expected something like 'http://127.0.0.1:4318'")
    _ = url.port  # raises for a port that is not a number
    return url


def _proxy_for(url: SplitResult) -> SplitResult | None:
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 -- only for receivers on other machines

    address = None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)
    return urlsplit(address if "//" in address else f"//{address}") if address else None
