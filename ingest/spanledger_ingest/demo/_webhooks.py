"""A receiver of webhooks as anyone would write it: it verifies the signature first and then believes what it reads."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message."""

    id: str
    """``webhook-id``: the same however often it is sent."""
    signature: str
    verified: bool
    body: dict[str, Any]
    at: float
    """Seconds since the epoch."""

    def is_about(self, rule: str, kind: str, **labels: str) -> bool:
        """Tell whether it is the ``firing`` or ``resolved`` of a rule for these labels."""
        data = self.body["data"]
        return (
            self.body["type"] == f"alert.{kind}"
            and data["rule"] == rule
            and all(data["labels"].get(name) == value for name, value in labels.items())
        )


class WebhookReceiver:
    """Listens on a free loopback port.

    Args:
        secret: what messages are signed with, ``whsec_...``.
    """

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)
        self._received: list[Received] = []
        self._arrived = Condition()
        self._server = _Server(self)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="webhooks")

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """The address to send to."""
        return f"http://127.0.0.1:{self.port}/alerts"

    @property
    def received(self) -> list[Received]:
        """Everything so far, each message once."""
        with self._arrived:
            return list({message.id: message for message in reversed(self._received)}.values())[::-1]

    def take(self, body: bytes, headers: dict[str, str]) -> bool:
        """Take a message; tell whether it is genuine."""
        try:
            self._webhook.verify(body, headers)
            verified = True
        except WebhookVerificationError:
            verified = False
        message = Received(
            id=headers.get("webhook-id", ""),
            signature=headers.get("webhook-signature", ""),
            verified=verified,
            body=json.loads(body),
            at=time.time(),
        )
        with self._arrived:
            self._received.append(message)
            self._arrived.notify_all()
        return verified

    def wait_for(self, wanted: Callable[[Received], bool], timeout_s: float) -> Received | None:
        """Wait for a message; return the first one, or ``None`` if there is none in time."""

        def found() -> Received | None:
            return next(filter(wanted, self._received), None)

        with self._arrived:
            return self._arrived.wait_for(found, timeout_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: WebhookReceiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Keep quiet."""

    def do_POST(self) -> None:
        """Take one message."""
        body = self.rfile.read(int(self.headers["content-length"]))
        genuine = self.server.receiver.take(body, {name.lower(): value for name, value in self.headers.items()})
        self.send_response(204 if genuine else 401)
        self.send_header("content-length", "0")
        self.end_headers()
