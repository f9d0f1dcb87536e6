"""The DuckDB span store."""

import threading
from pathlib import Path
from typing import Final

import pyarrow as pa

from spanledger_analytics.errors import StoreUnreadableError
from spanledger_analytics.ports import CallKeys, Receipt, Related
from spanledger_analytics.queries import CallsQuery, UsageQuery
from spanledger_analytics.records import Batch
from spanledger_ingest.store import _catalogue, _prices, _write
from spanledger_ingest.store._database import Database, DatabaseConfig
from spanledger_ingest.store._sql import run_sql

_DEFAULTS: Final = DatabaseConfig()
_MAX_USER_QUERIES: Final = 4


class DuckDBStore:
    """A :class:`~spanledger_analytics.ports.SpanStore` in one DuckDB file.

    Args:
        path: The database file; it and its directory are made if missing.
        config: What DuckDB may use.

    Raises:
        StoreError: the file cannot be used; the message says why and what to do.
    """

    def __init__(self, path: Path, config: DatabaseConfig = _DEFAULTS) -> None:
        _make_directory(path)
        self._database = Database(path, config)
        self._writing = threading.Lock()
        self._user_queries = threading.BoundedSemaphore(_MAX_USER_QUERIES)

    @property
    def reopened(self) -> int:
        """How often the database gave up (a full disk can do that) and was opened again in process."""
        return self._database.reopened

    def append(self, batch: Batch) -> Receipt:
        """See :meth:`SpanStore.append`.

        Raises:
            StoreUnavailableError: nothing was written; a later try may succeed.
        """
        with self._writing:
            return self._database.run(lambda cursor: _write.append(cursor, batch))

    def related(self, keys: CallKeys) -> Related:
        """See :meth:`SpanStore.related`."""
        return self._database.run(lambda cursor: _catalogue.related(cursor, keys))

    def journal_position(self) -> int:
        """See :meth:`SpanStore.journal_position`."""
        return self._database.run(_catalogue.journal_position)

    def calls(self, query: CallsQuery) -> pa.Table:
        """See :meth:`SpanStore.calls`."""
        return self._database.run(lambda cursor: _catalogue.calls(cursor, query))

    def usage(self, query: UsageQuery) -> pa.Table:
        """See :meth:`SpanStore.usage`."""
        return self._database.run(lambda cursor: _catalogue.usage(cursor, query))

    def trace(self, trace_id: str, owner: str | None = None) -> pa.Table:
        """See :meth:`SpanStore.trace`."""
        return self._database.run(lambda cursor: _catalogue.trace(cursor, trace_id, owner))

    def rejections(self, owner: str | None = None) -> pa.Table:
        """See :meth:`SpanStore.rejections`."""
        return self._database.run(lambda cursor: _catalogue.rejections(cursor, owner))

    def run_sql(
        self, sql: str, *, owner_scope: str | None = None, max_rows: int = 10_000, timeout_s: float = 10.0
    ) -> pa.Table:
        """Return the result of one SELECT over the public views, limited to the rows of ``owner_scope``.

        Rows beyond ``max_rows`` are left out, and the schema's metadata then has the key ``truncated``.

        Raises:
            SqlRefusedError: the text is not a plain read of the views, or has a mistake.
            SqlTimeoutError: it ran longer than ``timeout_s``.
            SqlTooLargeError: it needs or returns too much.
        """
        with self._user_queries:
            return self._database.run(
                lambda cursor: run_sql(cursor, sql, owner_scope=owner_scope, max_rows=max_rows, timeout_s=timeout_s),
                retry=False,
            )

    def save_prices(self, prices: pa.Table) -> int:
        """Add the rows whose ``price_id`` is new to the table ``prices``; return how many that were.

        Stored prices never change. Columns that the table lacks are added to it.
        """
        with self._writing:
            return self._database.run(lambda cursor: _prices.save(cursor, prices))

    def close(self) -> None:
        """See :meth:`SpanStore.close`."""
        self._database.close()


def _make_directory(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnreadableError(
            f"{path.parent} cannot be made a data directory: choose another, or mend its permissions ({error.strerror})"
        ) from error
