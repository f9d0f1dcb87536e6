"""Those who bring one message to one receiver, once."""

import importlib
import logging
import socket
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import ModuleType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from spanledger_alerts.delivery._guard import Resolver, check_url
from spanledger_alerts.delivery._http import TOTAL_SECONDS, post
from spanledger_alerts.delivery._message import Message
from spanledger_alerts.delivery._receiver import Receiver
from spanledger_alerts.delivery._schedule import Attempt, judge
from spanledger_alerts.delivery._signing import signed_headers
from spanledger_alerts.delivery.shapes import RENDERINGS, Said, collapsed, facts, title
from spanledger_alerts.errors import AddressRefusedError, ReceiverError

_log = logging.getLogger(__name__)

_ALERTMANAGER_PATH: Final = "/api/v2/alerts"


class Notifier(Protocol):
    """Brings messages to a receiver. Called from many threads; never raises for what the other side does."""

    def notify(self, message: Message) -> Attempt:
        """Try once, and say how it ended."""
        ...

    def abort(self) -> None:
        """End what is under way, from another thread."""
        ...


class WebhookNotifier:
    """Posts messages.

    Args:
        receiver: to whom.
        base_url: of the built-in page, for links.
        clock: nanoseconds since the epoch.
        resolver: as ``socket.getaddrinfo``.
        total: seconds until an answer has to be there.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        base_url: str = "",
        clock: Callable[[], int] = time.time_ns,
        resolver: Resolver = socket.getaddrinfo,
        total: float = TOTAL_SECONDS,
    ) -> None:
        self._receiver = receiver
        self._rendering = RENDERINGS[receiver.shape]
        self._target = check_url(_api_url(receiver), receiver.policy)
        self._base_url = base_url
        self._clock = clock
        self._resolver = resolver
        self._total = total
        self._open: set[socket.socket] = set()

    def notify(self, message: Message) -> Attempt:
        """Try once, and say how it ended."""
        body = self.body(message)
        now = self._clock()
        headers = {
            "User-Agent": f"spanledger/{version('spanledger')}",
            **self._receiver.headers,
            "Content-Type": self._rendering.content_type,
            **signed_headers(message.id, now, body, self._receiver.secrets),
        }
        opened: list[socket.socket] = []

        def keep(connection: socket.socket) -> None:
            opened.append(connection)
            self._open.add(connection)

        try:
            answer = post(
                self._target,
                self._receiver.policy,
                body=body,
                headers=headers,
                total=self._total,
                resolver=self._resolver,
                opened=keep,
            )
        except AddressRefusedError as error:
            return Attempt("retry", None, f"not sent: {error}")
        except OSError as error:
            return Attempt("retry", None, _reason(error))
        finally:
            self._open.difference_update(opened)
        return judge(answer.status, answer.retry_after, now_ns=now)

    def body(self, message: Message) -> bytes:
        """Return the bytes that a message is sent as; they are the same in every attempt."""
        found = message.notification
        said = Said(
            collapsed(found) if message.collapsed else found,
            self._receiver.name,
            self._base_url,
            self._receiver.routing_key,
        )
        return self._rendering.render(said)

    def abort(self) -> None:
        """End what is under way, from another thread."""
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it ended by itself
                continue


def _api_url(receiver: Receiver) -> str:
    if receiver.shape != "alertmanager_api":
        return receiver.url
    parts = urlsplit(receiver.url)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_ALERTMANAGER_PATH) else path + _ALERTMANAGER_PATH))


def _reason(error: OSError) -> str:
    """Return what went wrong, in our own words: texts of libraries can name what is secret."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused"
    if type(error).__name__ == "SSLCertVerificationError":
        return "its certificate is not valid for the name"
    return f"the connection failed ({type(error).__name__})"


class AppriseNotifier:
    """Hands messages to Apprise, for channels without a shape of ours: no signature, no guard, no ``Retry-After``.

    Raises:
        ReceiverError: Apprise is not installed, or does not know the address.
    """

    def __init__(self, receiver: Receiver) -> None:
        apprise: Any = _apprise()
        self._apprise = apprise.Apprise()
        if not self._apprise.add(receiver.url):
            raise ReceiverError(f"receiver {receiver.name!r}: Apprise does not know such an address")

    def notify(self, message: Message) -> Attempt:
        """Try once, and say how it ended; Apprise tells no more than whether it worked."""
        found = message.notification
        said = Said(collapsed(found) if message.collapsed else found)
        lines = [alert.summary or alert.rule for alert in said.alerts[:10]]
        lines += [f"{name}: {value}" for name, value in facts(said.alerts[0]).items()]
        try:
            worked = self._apprise.notify(title=title(said), body="\n".join(lines), body_format="text")
        except (OSError, TypeError, ValueError) as error:
            return Attempt("retry", None, f"Apprise failed ({type(error).__name__})")
        return Attempt("ok") if worked else Attempt("retry", None, "Apprise could not deliver it")

    def abort(self) -> None:
        """Nothing can be ended; it has timeouts of its own."""


def _apprise() -> ModuleType:
    try:
        return importlib.import_module("apprise")
    except ModuleNotFoundError as error:
        raise ReceiverError("shape apprise needs Apprise; install it with: pip install 'spanledger[notify]'") from error


def notifiers_of(receivers: Mapping[str, Receiver], *, base_url: str = "") -> dict[str, Notifier]:
    """Return who brings messages to each receiver.

    Raises:
        ReceiverError: a receiver cannot be used.
    """
    return {
        name: AppriseNotifier(one) if one.shape == "apprise" else WebhookNotifier(one, base_url=base_url)
        for name, one in receivers.items()
    }
