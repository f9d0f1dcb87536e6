"""OTLP/HTTP: three plain ASGI endpoints, because validation frameworks cost more than the request."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from spanledger_ingest.otlp import Encoding, Signal
from spanledger_ingest.pipeline import Intake, Outcome
from spanledger_ingest.receiver._answers import http_answer

_log = logging.getLogger(__name__)

Headers: TypeAlias = Mapping[str, str]

_MEDIA_TYPES: Final[Mapping[str, Encoding]] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_CONTENT_TYPES: Final[Mapping[Encoding, bytes]] = {"protobuf": b"application/x-protobuf", "json": b"application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """How long a client may take to send its body."""

    stall_seconds: float = 10.0
    """Without any progress."""
    body_seconds: float = 30.0
    """In all."""
    linger_seconds: float = 2.0
    """Reading on after an early refusal, so that a client that is still sending sees the answer, not a reset."""


def otlp_routes(intake: Intake, config: HttpConfig | None = None) -> list[Route]:
    """Return the routes ``/v1/traces``, ``/v1/logs`` and ``/v1/metrics``."""
    signals: tuple[Signal, ...] = ("traces", "logs", "metrics")
    return [Route(f"/v1/{signal}", _Endpoint(intake, signal, config or HttpConfig())) for signal in signals]


class _RefusedError(Exception):
    def __init__(self, outcome: Outcome, *, linger: bool = True) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome
        self.linger = linger


class _DisconnectedError(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


class _Endpoint:
    """One signal. An instance, not a function, so that Starlette hands over every method."""

    required_scope: Final = "ingest:write"
    """What the intake asks of the credential."""

    def __init__(self, intake: Intake, signal: Signal, config: HttpConfig) -> None:
        self._intake = intake
        self._signal = signal
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        encoding = _MEDIA_TYPES.get(headers.get("content-type", "").partition(";")[0].strip().lower())
        answer = _Answer(self._signal, encoding or "json", send)
        if scope["method"] != "POST":
            await answer.method_not_allowed()
            return
        try:
            outcome = await self._take(headers, encoding, receive)
        except _RefusedError as refused:
            self._intake.note(self._signal, refused.outcome)
            await answer.early(refused.outcome)
            if refused.linger:
                await self._linger(receive)
            await answer.end()
        except _DisconnectedError:
            return
        else:
            await answer.whole(outcome)

    async def _take(self, headers: Headers, encoding: Encoding | None, receive: Receive) -> Outcome:
        if encoding is None:
            given = headers.get("content-type", "")[:100]
            raise _RefusedError(
                Outcome("unsupported", f"content type {given!r}: use application/x-protobuf or application/json")
            )
        owner = self._intake.admit(headers, self._signal)
        if isinstance(owner, Outcome):
            raise _RefusedError(owner)
        body = _Body(self._intake)
        try:
            await self._read(headers, receive, body)
            content_encoding = headers.get("content-encoding", "")
            return await self._intake.accept(
                owner, self._signal, body.joined(), encoding=encoding, content_encoding=content_encoding
            )
        finally:
            body.release()

    async def _read(self, headers: Headers, receive: Receive, body: "_Body") -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._intake.limits.max_body_bytes:
            raise _RefusedError(body.too_large())
        try:
            async with asyncio.timeout(self._config.body_seconds):
                while await self._read_part(receive, body):
                    pass
        except TimeoutError:
            slow = Outcome("overloaded", "the body did not arrive in time", retry_after=1)
            raise _RefusedError(slow, linger=False) from None

    async def _read_part(self, receive: Receive, body: "_Body") -> bool:
        async with asyncio.timeout(self._config.stall_seconds):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        body.add(message.get("body", b""))
        return bool(message.get("more_body", False))

    async def _linger(self, receive: Receive) -> None:
        try:
            async with asyncio.timeout(self._config.linger_seconds):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            return


class _Body:
    """The parts of a body, within the limits of the request and of all requests together."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        if self._size + len(part) > self._intake.limits.max_body_bytes:
            raise _RefusedError(self.too_large())
        refusal = self._intake.reserve(len(part))
        if refusal is not None:
            raise _RefusedError(refusal)
        self._size += len(part)
        self._parts.append(part)

    def too_large(self) -> Outcome:
        return Outcome("too_large", f"the body is larger than {self._intake.limits.max_body_bytes} bytes")

    def joined(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def release(self) -> None:
        self._intake.release(self._size)


class _Answer:
    """Writes the response, in the encoding of the request as far as that is known, else in JSON."""

    def __init__(self, signal: Signal, encoding: Encoding, send: Send) -> None:
        self._signal = signal
        self._encoding = encoding
        self._send = send

    async def whole(self, outcome: Outcome) -> None:
        await self._start(outcome, more=False, close=False)

    async def early(self, outcome: Outcome) -> None:
        """Answer before the request is read to its end; the connection cannot be used for another one."""
        await self._start(outcome, more=True, close=True)

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, outcome: Outcome, *, more: bool, close: bool) -> None:
        status, body = http_answer(self._signal, self._encoding, outcome)
        headers = [
            (b"content-type", _CONTENT_TYPES[self._encoding]),
            (b"content-length", str(len(body)).encode()),
        ]
        if close:
            headers.append((b"connection", b"close"))
        if outcome.retry_after is not None:
            headers.append((b"retry-after", str(outcome.retry_after).encode()))
        if status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="spanledger"'))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def method_not_allowed(self) -> None:
        _, body = http_answer(
            self._signal, self._encoding, Outcome("unsupported", "use POST: this is an OTLP endpoint")
        )
        headers = [
            (b"content-type", _CONTENT_TYPES[self._encoding]),
            (b"content-length", str(len(body)).encode()),
            (b"allow", b"POST"),
        ]
        await self._send({"type": "http.response.start", "status": 405, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
