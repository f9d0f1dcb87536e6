"""One POST over a guarded connection: bounded in time and size, no redirects, nothing from the environment."""

import contextlib
import io
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Final, NamedTuple, TypeVar

from spanledger_alerts.delivery._guard import CONNECT_SECONDS, Policy, Resolver, Target, connect

TOTAL_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Bodies are read, so that the other side can finish, and dropped."""

    status: int
    retry_after: str | None = None


class _Incoming(io.RawIOBase):
    """Reads from a socket until a moment, and so many bytes."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = MAX_ANSWER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int] | bytearray") -> int:  # type: ignore[override]
        if self._left <= 0:
            return 0
        self._connection.settimeout(_left(self._deadline))
        number = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= number
        return number


class _Line:
    """What ``http.client`` needs of a socket, with one deadline for everything."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(_left(self._deadline))
        self._connection.sendall(data)

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._connection, self._deadline))

    def close(self) -> None:
        self._connection.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def post(
    target: Target,
    policy: Policy,
    *,
    body: bytes,
    headers: Mapping[str, str],
    total: float = TOTAL_SECONDS,
    resolver: Resolver = socket.getaddrinfo,
    opened: Callable[[socket.socket], None] = lambda _: None,
) -> Answer:
    """Send a body and return what was answered.

    Args:
        target: where to; checked again here, address by address.
        policy: what is allowed.
        body: sent as it is.
        headers: of the request; ``Host`` and ``Content-Length`` come by themselves.
        total: seconds until the answer has to be there.
        resolver: as ``socket.getaddrinfo``.
        opened: is handed the connection, so that somebody else can end it.

    Raises:
        AddressRefusedError: the address is not allowed; nothing was connected to.
        OSError: there is no answer, or none in time.
    """
    request = _Request(target, body, headers)
    return _exchange(request, policy, total, resolver=resolver, opened=opened, read=_answer)


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer that is read."""

    status: int
    body: bytes = field(repr=False)


def ask(
    target: Target,
    policy: Policy,
    *,
    body: bytes,
    headers: Mapping[str, str],
    total: float = TOTAL_SECONDS,
    resolver: Resolver = socket.getaddrinfo,
) -> Spoken:
    """Send a body and return what was answered, at most :data:`MAX_ANSWER_BYTES`; see :func:`post`.

    Raises:
        AddressRefusedError: the address is not allowed; nothing was connected to.
        OSError: there is no answer, none in time, or a longer one.
    """
    request = _Request(target, body, headers)
    return _exchange(request, policy, total, resolver=resolver, opened=lambda _: None, read=_spoken)


class _Request(NamedTuple):
    target: Target
    body: bytes
    headers: Mapping[str, str]


def _exchange(
    request: _Request,
    policy: Policy,
    total: float,
    *,
    resolver: Resolver,
    opened: Callable[[socket.socket], None],
    read: Callable[[HTTPResponse], _Read],
) -> _Read:
    deadline = time.monotonic() + total
    target = request.target
    connection = connect(target, policy, timeout=min(CONNECT_SECONDS, total), resolver=resolver)
    with connection:
        opened(connection)
        client = HTTPConnection(target.host, target.port)
        client.auto_open = 0
        client.sock = _Line(connection, deadline)
        try:
            client.request("POST", target.path, request.body, {"Host": target.authority, **request.headers})
            return read(client.getresponse())
        except HTTPException as error:
            raise ConnectionError(f"the answer is not HTTP ({type(error).__name__})") from error


def _spoken(response: HTTPResponse) -> Spoken:
    return Spoken(response.status, response.read())


def _answer(response: HTTPResponse) -> Answer:
    answer = Answer(response.status, response.getheader("Retry-After"))
    with contextlib.suppress(OSError, HTTPException):  # the status is what counts
        response.read(MAX_ANSWER_BYTES)
    return answer
