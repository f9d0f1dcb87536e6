"""The listener of the PostgreSQL wire."""

import asyncio
import hmac
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from spanledger_ingest.api import Metric
from spanledger_ingest.auth import Audit, Authenticator, is_loopback
from spanledger_ingest.errors import PortError
from spanledger_ingest.frames import frames
from spanledger_ingest.pgwire import _messages as messages
from spanledger_ingest.pgwire._answers import Answers, Caller, Sources, SqlStore
from spanledger_ingest.pgwire._channel import Channel
from spanledger_ingest.pgwire._errors import INTERNAL, NOT_ALLOWED, SHUTDOWN, TOO_MANY, GoneError, WireError
from spanledger_ingest.pgwire._limits import Limits
from spanledger_ingest.pgwire._login import Startup, first_message, prove, startup_of
from spanledger_ingest.pgwire._session import Session
from spanledger_ingest.pgwire._stats import WireStats
from spanledger_ingest.store import SETTINGS, SchemaTwin

_log = logging.getLogger(__name__)

_TOLD = {
    "server_version": "server_version",
    "server_encoding": "server_encoding",
    "client_encoding": "client_encoding",
    "DateStyle": "datestyle",
    "IntervalStyle": "intervalstyle",
    "TimeZone": "timezone",
    "integer_datetimes": "integer_datetimes",
    "standard_conforming_strings": "standard_conforming_strings",
    "is_superuser": "is_superuser",
    "default_transaction_read_only": "default_transaction_read_only",
}
_DEFAULTS = Limits()


class PgServer:
    """Read-only SQL for PostgreSQL clients, on the event loop that starts it.

    Args:
        store: what is read.
        authenticator: who may.
        audit: where it is written down who reads content.
        host: address to listen on.
        port: 0 for any free one.
        tls: encrypts connections that ask for it, and refuses those that do not unless they are local.
        limits: what clients may ask for.
    """

    def __init__(
        self,
        store: SqlStore,
        authenticator: Authenticator,
        audit: Audit,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        limits: Limits = _DEFAULTS,
    ) -> None:
        self._host, self._wanted_port, self._tls, self._limits = host, port, tls, limits
        self.port = 0
        self._stats = WireStats()
        self._twin = SchemaTwin()
        self._sources = Sources(
            store, self._twin, authenticator, audit,
            ThreadPoolExecutor(limits.threads, thread_name_prefix="pg"), self._stats, limits,
        )  # fmt: skip
        self._server: asyncio.Server | None = None
        self._channels: set[Channel] = set()
        self._users: Counter[str] = Counter()
        self._sessions: dict[int, tuple[int, Answers]] = {}
        self._last_pid = 0

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            PortError: the address cannot be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listener = socket.create_server((self._host, self._wanted_port), family=family, backlog=256)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise PortError(
                f"cannot listen on {self._host}:{self._wanted_port} for PostgreSQL clients: {reason}: "
                "choose another with --pg-port, or stop what listens there"
            ) from error
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Channel(self._serve, self._limits.stall_seconds), sock=listener)
        self.port = int(listener.getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Take no new clients, stop what runs, and tell those who are connected. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        tasks = [channel.task for channel in self._channels if channel.task is not None]
        for _, answers in self._sessions.values():
            answers.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sources.pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Release what the server holds; call it once the loop has ended, or was never started."""
        self._sources.pool.shutdown()
        self._twin.close()

    def metrics(self) -> Iterator[Metric]:
        """Yield counts of connections and statements."""
        return self._stats.metrics()

    async def _serve(self, channel: Channel) -> None:
        self._channels.add(channel)
        try:
            await self._converse(channel)
        except GoneError:
            pass
        except asyncio.CancelledError:
            await _tell(channel, WireError(SHUTDOWN, "the service is stopping", fatal=True))
        except WireError as error:
            self._stats.refused[error.code] += 1
            await _tell(channel, error)
        except Exception as error:  # noqa: BLE001 - the worker loop: one client must not end the others
            _log.error("a PostgreSQL connection failed unexpectedly: %s", frames(error))
            await _tell(channel, WireError(INTERNAL, "something went wrong inside the service", fatal=True))
        finally:
            self._channels.discard(channel)
            channel.close()

    async def _converse(self, channel: Channel) -> None:
        if len(self._channels) > self._limits.connections:
            raise WireError(TOO_MANY, "too many connections", fatal=True)
        try:
            async with asyncio.timeout(self._limits.login_seconds):
                caller = await self._log_in(channel)
        except TimeoutError:
            raise WireError("08006", "the login took too long", fatal=True) from None
        if caller is None:
            return
        if self._users[caller.user] >= self._limits.connections_per_user:
            raise WireError(TOO_MANY, f"too many connections of user {caller.user!r}", fatal=True)
        self._users[caller.user] += 1
        try:
            await self._run(channel, caller)
        finally:
            self._users[caller.user] -= 1
            if not self._users[caller.user]:
                del self._users[caller.user]

    async def _log_in(self, channel: Channel) -> Caller | None:
        """Return who the client is; ``None`` if it only wanted to cancel another one's statement."""
        encrypted = False
        while True:
            code, body = await first_message(channel, self._limits)
            if code == messages.CANCEL_REQUEST:
                self._cancel(body)
                return None
            if code == messages.GSS_REQUEST or (code == messages.SSL_REQUEST and self._tls is None):
                await channel.write(b"N")
            elif code == messages.SSL_REQUEST and self._tls is not None and not encrypted:
                await channel.write(b"S")
                await channel.encrypt(self._tls)
                encrypted = True
            else:
                break
        startup = startup_of(code, body)
        if not encrypted and self._tls is not None and not is_loopback(channel.peer):
            raise WireError(NOT_ALLOWED, "this service asks for encryption: set sslmode=require", fatal=True)
        return await self._authenticate(channel, startup)

    async def _authenticate(self, channel: Channel, startup: Startup) -> Caller:
        unknown = [name for name in startup.options if name.startswith("_pq_.")]
        if unknown or startup.minor:
            await channel.write(messages.negotiate(unknown))
        if not startup.user:
            raise WireError(NOT_ALLOWED, "name a user: a tenant, or 'all'", fatal=True)
        authenticator = self._sources.authenticator
        if not authenticator.required:
            return Caller(startup.user, None)
        return Caller(startup.user, await prove(channel, startup.user, authenticator, self._limits))

    async def _run(self, channel: Channel, caller: Caller) -> None:
        answers = Answers(self._sources, caller)
        pid, secret = self._register(answers)
        channel.on_gone = answers.cancel
        self._stats.open += 1
        self._stats.connections += 1
        try:
            await channel.write(
                messages.authentication(messages.AUTH_OK)
                + b"".join(messages.parameter_status(name, SETTINGS[key]) for name, key in _TOLD.items())
                + messages.backend_key(pid, secret)
            )
            await Session(channel, answers, self._limits).run()
        finally:
            self._stats.open -= 1
            del self._sessions[pid]

    def _register(self, answers: Answers) -> tuple[int, int]:
        self._last_pid = self._last_pid % (2**31 - 1) + 1
        while self._last_pid in self._sessions:
            self._last_pid += 1
        secret = secrets.randbits(32)
        self._sessions[self._last_pid] = (secret, answers)
        return self._last_pid, secret

    def _cancel(self, body: bytes) -> None:
        reader = messages.Body(body)
        pid, sent = reader.oid(), reader.take(4)
        found = self._sessions.get(pid)
        if found is not None and hmac.compare_digest(found[0].to_bytes(4), sent):
            found[1].cancel()


async def _tell(channel: Channel, error: WireError) -> None:
    try:
        await asyncio.wait_for(channel.write(messages.error(error)), 1)
    except (GoneError, TimeoutError):
        channel.abort()
