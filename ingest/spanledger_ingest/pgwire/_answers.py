"""From a statement to its answer: who may ask, where it is asked, and how long that may take."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa

from spanledger_analytics.errors import AnalyticsError
from spanledger_ingest.auth import ANYBODY, VIEW_SCOPES, Audit, Authenticator, AuthError, Principal
from spanledger_ingest.pgwire._errors import FORBIDDEN, INTERNAL, LIMIT, NOT_ALLOWED, SHUTDOWN, WireError, told
from spanledger_ingest.pgwire._limits import Limits
from spanledger_ingest.pgwire._login import valid_principal
from spanledger_ingest.pgwire._stats import WireStats
from spanledger_ingest.store import SETTINGS, Cancellation, SchemaTwin

_SHOWN: Final = {"transaction isolation level": "transaction_isolation", "time zone": "timezone"}


class SqlStore(Protocol):
    """A store that answers SQL."""

    def run_sql(
        self,
        sql: str,
        *,
        owner_scope: str | None,
        max_rows: int,
        timeout_s: float,
        permit: Callable[[frozenset[str]], None],
        values: Sequence[Any],
        cancellation: Cancellation | None,
    ) -> pa.Table:
        """Return the result of one SELECT over the public views, limited to the rows of ``owner_scope``."""
        ...


class Sources(NamedTuple):
    """What all connections share."""

    store: SqlStore
    twin: SchemaTwin
    authenticator: Authenticator
    audit: Audit
    pool: ThreadPoolExecutor
    stats: WireStats
    limits: Limits


class Caller(NamedTuple):
    """Who is at the other end: the user name, and the id of the key, ``None`` where none was asked for."""

    user: str
    key_id: str | None


class Answers:
    """Asks for one connection, one statement at a time."""

    def __init__(self, sources: Sources, caller: Caller) -> None:
        self._sources = sources
        self._caller = caller
        self._running: Cancellation | None = None

    def cancel(self) -> None:
        """Stop the statement that runs, if one does."""
        if self._running is not None:
            self._running.cancel()

    async def rows(self, sql: str, values: Sequence[Any] = (), *, columns_only: bool = False) -> pa.Table:
        """Return the result of one SELECT.

        Raises:
            WireError: it is refused, failed, or was cancelled.
        """
        cancellation = self._running = Cancellation()
        try:
            found: pa.Table = await self._in_pool(self._ask, sql, values, 0 if columns_only else None, cancellation)
        except WireError as error:
            self._sources.stats.failed(error.code)
            raise
        finally:
            self._running = None
        if not columns_only:
            self._sources.stats.answered += 1
        return found

    async def encode(self, work: Callable[..., bytes], *arguments: Any) -> bytes:
        """Do something that takes a while, away from the loop that all connections share."""
        return bytes(await self._in_pool(work, *arguments))

    async def _in_pool(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._sources.pool, work, *arguments)
        except RuntimeError:  # the pool is shut down
            raise WireError(SHUTDOWN, "the service is stopping", fatal=True) from None

    def _ask(self, sql: str, values: Sequence[Any], max_rows: int | None, cancellation: Cancellation) -> pa.Table:
        principal = self.principal()
        limits = self._sources.limits
        most = limits.rows if max_rows is None else max_rows
        try:
            if self._sources.twin.answers(sql):
                found = self._sources.twin.run_sql(
                    sql,
                    user=self._caller.user,
                    max_rows=most,
                    timeout_s=limits.statement_seconds,
                    values=values,
                    cancellation=cancellation,
                )
            else:
                found = self._sources.store.run_sql(
                    sql,
                    owner_scope=principal.tenant,
                    max_rows=most,
                    timeout_s=limits.statement_seconds,
                    permit=self._permit(principal, sql),
                    values=values,
                    cancellation=cancellation,
                )
        except AnalyticsError as error:
            raise told(error) from None
        if max_rows is None and found.schema.metadata:
            raise WireError(LIMIT, f"the answer has more than {limits.rows} rows: aggregate, or add a LIMIT")
        return found

    def principal(self) -> Principal:
        """Return who asks, as of now: keys end while connections last.

        Raises:
            WireError: the key has ended, or one is needed by now.
        """
        if self._caller.key_id is not None:
            return valid_principal(self._sources.authenticator, self._caller.key_id)
        if self._sources.authenticator.required:
            raise WireError(NOT_ALLOWED, "there are API keys by now: connect again with one", fatal=True)
        return ANYBODY

    def _permit(self, principal: Principal, sql: str) -> Callable[[frozenset[str]], None]:
        def permit(used: frozenset[str]) -> None:
            for view in sorted(used & VIEW_SCOPES.keys()):
                if VIEW_SCOPES[view] not in principal.scopes:
                    raise WireError(FORBIDDEN, f"reading {view} needs the scope {VIEW_SCOPES[view]}")
            if "span_content" in used:
                self._record(principal, sql)

        return permit

    def _record(self, principal: Principal, sql: str) -> None:
        if principal.must_say_why:
            raise WireError(FORBIDDEN, "reading content in this role needs a reason: use the REST API, which takes one")
        try:
            self._sources.audit.record(principal, "content.read", {"sql": sql, "by": "postgresql"}, "")
        except AuthError as error:
            raise WireError(INTERNAL, str(error)) from None


def shown(name: str) -> pa.Table:
    """Return what ``SHOW`` says.

    Raises:
        WireError: there is no such setting.
    """
    key = _SHOWN.get(name, name)
    if key not in SETTINGS:
        raise WireError("42704", f"there is no setting {name!r}")
    return pa.table({key: pa.array([SETTINGS[key]], pa.string())})
