"""The DuckDB span store."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.errors import StoreReopenedError, StoreUnavailableError, StoreUnreadableError
from spanledger_analytics.ports import CallKeys, Changes, Receipt, Related
from spanledger_analytics.queries import CallsQuery, UsageQuery, Window
from spanledger_analytics.records import Batch
from spanledger_analytics.rule_metrics import AnomalyQuery, MetricQuery, SilenceQuery
from spanledger_ingest.store import (
    _admitted,
    _catalogue,
    _changes,
    _copy,
    _costs,
    _jobs,
    _leaves,
    _prices,
    _retention,
    _rule_metrics,
    _spend,
    _write,
)
from spanledger_ingest.store._costs import After
from spanledger_ingest.store._database import Database, DatabaseConfig
from spanledger_ingest.store._ddl import LINKS
from spanledger_ingest.store._evidence import EvidenceReader
from spanledger_ingest.store._jobs import JobState
from spanledger_ingest.store._leaves import AnomalyFilter, AnomalyPlace
from spanledger_ingest.store._quality import QualityReader
from spanledger_ingest.store._recent import RecentKeys, load
from spanledger_ingest.store._retention import Expiry
from spanledger_ingest.store._sql import Cancellation, anything, run_sql
from spanledger_ingest.store._wal import checkpoint_due, log_files

_log = logging.getLogger(__name__)

_MIB: Final = 1024 * 1024
_DEFAULTS: Final = DatabaseConfig()
_MAX_USER_QUERIES: Final = 4
_KEYS: Final = (
    ("spans", "trace_id"),
    (LINKS, "trace_id"),
    ("llm_calls", "trace_id"),
    ("llm_calls", "response_id"),
    ("span_content", "trace_id"),
    ("scores", "trace_id"),
)
"""What a batch is compared with."""


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
        self._recent: RecentKeys | None = None
        self._revisions = _changes.Revisions()
        self._opening = 0
        self._safe_position = 0
        self._checkpoint_bytes = config.checkpoint_mib * _MIB
        self._copying = threading.Lock()
        self._user_queries = threading.BoundedSemaphore(_MAX_USER_QUERIES)
        self.evidence = EvidenceReader(self._database.run)
        self.quality = QualityReader(self._database.run)
        self._merge_long_log()

    @property
    def quarantined(self) -> int:
        """How many logs could not be replayed and were set aside."""
        return self._database.quarantined

    @property
    def reopened(self) -> int:
        """How often the database gave up (a full disk can do that) and was opened again in process."""
        return self._database.reopened

    def append(self, batch: Batch) -> Receipt:
        """See :meth:`SpanStore.append`."""
        with self._writing:
            try:
                return self._database.run(
                    lambda cursor: _write.append(cursor, batch, self._recent_keys(cursor), self._revisions),
                    retry=False,
                    opening=self._opening,
                )
            except StoreReopenedError:
                self._opening = self._database.reopened
                raise

    def checkpoint(self, *, force: bool = False) -> int:
        """See :meth:`SpanStore.checkpoint`. It is due by the size of the log, or when space gets short.

        Raises:
            StoreUnavailableError: it failed; the log is as good as before.
        """
        return self._checkpoint_from(self._checkpoint_bytes, force=force)

    def _checkpoint_from(self, size: int, *, force: bool = False) -> int:
        with self._writing:
            if not log_files(self._database.path):
                self._safe_position = self._database.run(_catalogue.journal_position)
            elif checkpoint_due(self._database.path, size, force=force):
                self._safe_position = self._database.run(_checkpoint, retry=False)
            return self._safe_position

    def _merge_long_log(self) -> None:
        """Checkpoint before the work begins: who is killed again and again must not replay a longer log each time."""
        try:
            self._checkpoint_from(self._checkpoint_bytes // 2)
        except StoreUnavailableError as error:
            _log.warning("the log of the database stays as it is: %s", error)

    def related(self, keys: CallKeys) -> Related:
        """See :meth:`SpanStore.related`."""
        with self._writing:
            return self._database.run(lambda cursor: _catalogue.related(cursor, keys, self._recent_keys(cursor)))

    def _recent_keys(self, cursor: duckdb.DuckDBPyConnection) -> RecentKeys:
        if self._recent is None:
            self._recent = load(cursor, _KEYS)
        return self._recent

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
        self,
        sql: str,
        *,
        owner_scope: str | None = None,
        max_rows: int = 10_000,
        timeout_s: float = 10.0,
        permit: Callable[[frozenset[str]], None] = anything,
        values: Sequence[Any] = (),
        cancellation: Cancellation | None = None,
    ) -> pa.Table:
        """Return the result of one SELECT over the public views, limited to the rows of ``owner_scope``.

        Rows beyond ``max_rows`` are left out, and the schema's metadata then has the key ``truncated``. ``permit`` is
        called with the views that the statement reads before it does; what it raises is passed on. ``values`` are bound
        as ``$1`` and so on. With ``max_rows`` 0 nothing is computed but the columns.

        Raises:
            SqlRefusedError: the text is not a plain read of the views, or has a mistake.
            SqlTimeoutError: it ran longer than ``timeout_s``.
            SqlCancelledError: ``cancellation`` was used.
            SqlTooLargeError: it needs or returns too much.
        """
        with self._user_queries:
            return self._database.run(
                lambda cursor: run_sql(
                    cursor,
                    sql,
                    owner_scope=owner_scope,
                    max_rows=max_rows,
                    timeout_s=timeout_s,
                    permit=permit,
                    values=values,
                    cancellation=cancellation,
                ),
                retry=False,
            )

    def save_prices(self, prices: pa.Table) -> int:
        """Add the rows whose ``price_id`` is new to the table ``prices``; return how many that were.

        Stored prices never change. Columns that the table lacks are added to it.
        """
        with self._writing:
            return self._database.run(lambda cursor: _prices.save(cursor, prices))

    def expire(self, expiry: Expiry, limit: int) -> int:
        """Delete at most ``limit`` rows that are too old; return how many it were. Appends wait that long."""
        with self._writing:
            return self._database.run(lambda cursor: _retention.expire(cursor, expiry, limit))

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the database file, and how many of them are free for new rows."""
        unused = self._database.run(_copy.free_inside)
        return self._database.path.stat().st_size, unused

    def changes(self, after: int, limit: int = 50_000) -> Changes:
        """See :class:`~spanledger_analytics.ports.ChangeFeed`."""
        return self._database.run(lambda cursor: _changes.read(cursor, after, limit))

    def stored_calls(self, keys: pa.Table) -> tuple[list[str], int]:
        """See :func:`spanledger_ingest.store._admitted.which`."""
        return self._database.run(lambda cursor: _admitted.which(cursor, keys))

    def output_lengths(self, since_ns: int, least: int) -> pa.Table:
        """See :func:`spanledger_ingest.store._admitted.output_lengths`."""
        return self._database.run(lambda cursor: _admitted.output_lengths(cursor, since_ns, least))

    def forget_changes(self, before_ns: int) -> None:
        """Drop from the feed what was written before this time; a consumer that missed it begins anew."""
        with self._writing:
            self._database.run(lambda cursor: _changes.forget(cursor, before_ns))

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows of a derived table (all its columns) in one transaction, replacing those of an equal ``key``.

        A ``key`` with ``start_ns`` is looked for only where the rows are in time.
        """
        if rows.num_rows:
            with self._writing:
                self._database.run(lambda cursor: _changes.put(cursor, table, rows, key))

    def replace_rows(self, table: schema.Table, rows: pa.Table) -> None:
        """Make these all rows of a small derived table."""
        with self._writing:
            self._database.run(lambda cursor: _changes.replace(cursor, table, rows))

    def rule_metric(self, query: MetricQuery) -> pa.Table:
        """See :class:`~spanledger_alerts.rules.RuleData`."""
        return self._database.run(lambda cursor: _rule_metrics.metric(cursor, query))

    def rule_silence(self, query: SilenceQuery) -> pa.Table:
        """See :class:`~spanledger_alerts.rules.RuleData`."""
        return self._database.run(lambda cursor: _rule_metrics.silence(cursor, query))

    def rule_anomalies(self, query: AnomalyQuery) -> pa.Table:
        """See :class:`~spanledger_alerts.rules.RuleData`."""
        return self._database.run(lambda cursor: _rule_metrics.anomalies(cursor, query))

    def spend_of(self, minutes: pa.Table) -> pa.Table:
        """See :class:`spanledger_alerts.budgets.SpendStore`."""
        return self._database.run(lambda cursor: _spend.of_minutes(cursor, minutes))

    def spend_between(self, from_ns: int, to_ns: int, grain_ns: int) -> pa.Table:
        """See :class:`spanledger_alerts.budgets.SpendStore`."""
        return self._database.run(lambda cursor: _spend.between(cursor, from_ns, to_ns, grain_ns))

    def seen_names(self, owner: str | None) -> dict[str, set[str]]:
        """Return the names that stored calls have, by dimension of a budget."""
        return self._database.run(lambda cursor: _spend.names(cursor, owner))

    def seen_pairs(self) -> set[tuple[str, str]]:
        """Return the models and providers that stored calls have together."""
        return self._database.run(_spend.pairs)

    def leaf_calls(self, window: Window) -> pa.Table:
        """Return the billable calls of a window with what the detector adds up."""
        return self._database.run(lambda cursor: _leaves.calls(cursor, window))

    def call_bounds(self) -> tuple[int, int] | None:
        """Return the start of the first and of the last billable call, ns."""
        return self._database.run(_leaves.bounds)

    def is_heard(self, owner: str, tenant: str | None, window: Window) -> bool:
        """Tell whether any span of a tenant is from this window."""
        return self._database.run(lambda cursor: _leaves.is_heard(cursor, owner, tenant, window))

    def open_anomalies(self) -> pa.Table:
        """Return the findings that have not ended, all columns."""
        return self._database.run(_leaves.open_anomalies)

    def anomalies(self, wanted: AnomalyFilter, after: AnomalyPlace | None, limit: int) -> pa.Table:
        """Return findings that were going on in a window, the latest start first, from behind ``after`` on."""
        return self._database.run(lambda cursor: _leaves.anomalies(cursor, wanted, after, limit))

    def costs(self, window: Window, after: After | None, limit: int) -> pa.Table:
        """Return billable calls with what they cost, in the order of their keys, from the one behind ``after`` on."""
        return self._database.run(lambda cursor: _costs.page(cursor, window, after, limit))

    def remaining_costs(self, window: Window, after: After | None) -> int:
        """Return how many such calls there are."""
        return self._database.run(lambda cursor: _costs.remaining(cursor, window, after))

    def replace_costs(self, changes: pa.Table) -> int:
        """Replace costs of calls that are still as :meth:`costs` returned them; return how many were."""
        with self._writing:
            return self._database.run(lambda cursor: _costs.replace(cursor, changes, self._revisions))

    @contextmanager
    def snapshot(self) -> Iterator[Path]:
        """Write a copy of the database as it is now, beside the writer; it is deleted at the end of the context.

        The copy has the journal position that belongs to its rows, and no bytes of deleted rows.

        Raises:
            StoreUnavailableError: another copy is being made, or there is no space for one.
        """
        with self._exclusive_copy():
            copy = self._database.copies / "snapshot.duckdb"
            try:
                self._database.run(lambda cursor: _copy.copy_into(cursor, copy), retry=False)
                yield copy
            finally:
                copy.unlink(missing_ok=True)

    def compact(self) -> int:
        """Rewrite the file without its free space and deleted bytes; return how many bytes shorter it is.

        Appends wait until it is done, reads for the moment in which the files change places.

        Raises:
            StoreUnavailableError: another copy is being made, there is no space for one, or queries do not end.
        """
        with self._exclusive_copy(), self._writing:
            copy = self._database.copies / "compact.duckdb"
            before = self._database.path.stat().st_size
            try:
                self._database.run(lambda cursor: _copy.copy_into(cursor, copy), retry=False)
                self._database.replace_file(copy)
            finally:
                copy.unlink(missing_ok=True)
            return before - self._database.path.stat().st_size

    @contextmanager
    def _exclusive_copy(self) -> Iterator[None]:
        if not self._copying.acquire(blocking=False):
            raise StoreUnavailableError("another backup or compaction is running: wait for its end")
        try:
            self._database.copies.mkdir(exist_ok=True, mode=0o700)
            _copy.check_space(self._database.path, self.sizes()[1])
            yield
        finally:
            self._copying.release()

    def job_state(self, name: str) -> JobState | None:
        """Return what the job saved last, ``None`` if it never finished."""
        return self._database.run(lambda cursor: _jobs.load(cursor, name))

    def save_job_state(self, name: str, state: JobState) -> None:
        """Remember that a job finished."""
        with self._writing:
            self._database.run(lambda cursor: _jobs.save(cursor, name, state))

    def close(self) -> None:
        """See :meth:`SpanStore.close`."""
        self._database.close()


def _checkpoint(cursor: duckdb.DuckDBPyConnection) -> int:
    position = _catalogue.journal_position(cursor)
    cursor.execute("CHECKPOINT")
    return position


def _make_directory(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnreadableError(
            f"{path.parent} cannot be made a data directory: choose another, or mend its permissions ({error.strerror})"
        ) from error
