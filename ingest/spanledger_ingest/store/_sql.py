"""Runs a user's SQL over the caller's own rows, within limits.

The order of defence: no real table has an unqualified name; the statement is parsed by DuckDB and must be one SELECT of
known parts (``_sql_check``); the views it names are common table expressions that already hold only the caller's rows;
the transaction is read-only; the instance can reach no file, network or extension; time, rows and bytes are capped.
"""
# ruff: noqa: S608 - the user's text is parsed and checked before it is wrapped; the rest comes from the schema module

import functools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import duckdb
import orjson
import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.errors import SqlCancelledError, SqlRefusedError, SqlTimeoutError, SqlTooLargeError
from spanledger_ingest.store._ddl import PRIVATE, columns, quoted
from spanledger_ingest.store._sql_check import check

MAX_TEXT: Final = 20_000
MAX_BYTES: Final = 64 * 1024 * 1024
TRUNCATED: Final = b"truncated"
"""Key of the result schema's metadata that is set where rows were left out."""

_BATCH_ROWS: Final = 8_192
_INTERRUPT_EVERY_S: Final = 0.05
_VIEWS: Final = {table.name: table for table in schema.TABLES}
_QUOTED_VALUE: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_USER_ERRORS: Final = (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError, duckdb.SequenceException)


Values = Mapping[str, Any] | None


class Cancellation:
    """Lets another thread stop one statement, whether it runs already or not."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.asked = False

    def cancel(self) -> None:
        """Stop the statement."""
        self.asked = True
        self.wake.set()


def anything(_used: frozenset[str]) -> None:
    """Permit every view."""


def run_sql(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    owner_scope: str | None,
    max_rows: int,
    timeout_s: float,
    permit: Callable[[frozenset[str]], None] = anything,
    values: Sequence[Any] = (),
    cancellation: Cancellation | None = None,
) -> pa.Table:
    """Return the result of one SELECT over the views, limited to the rows of ``owner_scope``.

    ``permit`` is called with the views that it reads before it does; what it raises is passed on. ``values`` are bound
    as ``$1`` and so on. With ``max_rows`` 0 nothing is computed but the columns.

    Raises:
        SqlRefusedError: the text is not a plain read, or DuckDB finds a mistake in it.
        SqlTimeoutError: it ran longer than ``timeout_s``.
        SqlCancelledError: ``cancellation`` was used.
        SqlTooLargeError: it needs more memory than the database has, or returns more than 64 MiB.
    """
    text = single(sql)
    with limited(cursor, timeout_s, cancellation), explained(scoped=owner_scope is not None):
        used = check(parse(cursor, text), _VIEWS, system_names(), parameters=len(values))
        permit(used)
        bound = {str(number): value for number, value in enumerate(values, 1)}
        scoped = owner_scope is not None and any(_VIEWS[name].scoped for name in used)
        where = ""
        if scoped:
            # A number that the statement cannot use itself: the check saw to it.
            where = f" WHERE owner = ${len(values) + 1}"
            bound[str(len(values) + 1)] = owner_scope
        wrapped = _wrap(text, used, where, limit=max_rows + 1 if max_rows else 0)
        _check_plan(cursor, wrapped, bound or None, used)
        return collect(cursor, wrapped, bound or None, max_rows)


def single(sql: str) -> str:
    if len(sql) > MAX_TEXT:
        raise SqlRefusedError(f"the statement is longer than {MAX_TEXT} characters")
    if "\x00" in sql or any("\ud800" <= character <= "\udfff" for character in sql):
        raise SqlRefusedError("the statement is not plain text")
    return sql.rstrip().rstrip(";").rstrip()


def parse(cursor: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    """Return the query tree of a text that holds exactly one SELECT."""
    row = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    try:
        parsed = orjson.loads(row[0] if row else "{}")
    except orjson.JSONDecodeError:
        raise SqlRefusedError("the statement is nested too deep") from None
    if parsed.get("error", True):
        raise SqlRefusedError(_parser_message(parsed))
    if len(parsed["statements"]) != 1:
        raise SqlRefusedError("send exactly one SELECT")
    return dict(parsed["statements"][0])


def _parser_message(parsed: dict[str, Any]) -> str:
    if parsed.get("error_type") == "not implemented":
        return "only a plain SELECT is allowed"
    return f"cannot be parsed: {parsed.get('error_message', 'unknown error')}"


@functools.cache
def system_names() -> frozenset[str]:
    """Return the names of the views that the engine brings along, the same in every database."""
    with duckdb.connect() as empty:
        names = empty.execute("SELECT lower(view_name) FROM duckdb_views() WHERE internal").fetchall()
    return frozenset(name for (name,) in names)


def _wrap(text: str, used: frozenset[str], where: str, *, limit: int) -> str:
    """Put the caller's rows in front, under the views' names, and a row limit around."""
    views = ", ".join(f"{quoted(name)} AS NOT MATERIALIZED ({_rows_of(name, where)})" for name in sorted(used))
    head = f"WITH {views} " if views else ""
    return f"{head}SELECT * FROM (\n{text}\n) LIMIT {limit}"


def _rows_of(name: str, where: str) -> str:
    table = _VIEWS[name]
    if not table.scoped:
        return f"SELECT * FROM {PRIVATE}.{quoted(name)}"
    return f"SELECT {columns(table.view)} FROM {PRIVATE}.{quoted(name)}{where}"


def _check_plan(cursor: duckdb.DuckDBPyConnection, wrapped: str, values: Values, used: frozenset[str]) -> None:
    """Ask the engine what it would scan; whatever the tree looked like, there must be no tables but the views' own."""
    parse(cursor, wrapped)
    row = cursor.execute(f"EXPLAIN (FORMAT JSON) {wrapped}", values).fetchone()
    plan: list[Any] = orjson.loads(row[1] if row else "[]")
    while plan:
        operator = plan.pop()
        plan.extend(operator["children"])
        table = operator.get("extra_info", {}).get("Table")
        if table is not None and tuple(table.rsplit(".", 2)[-2:]) not in {(PRIVATE, name) for name in used}:
            raise SqlRefusedError("the statement reads something else than the views")


def collect(cursor: duckdb.DuckDBPyConnection, sql: str, values: Values, max_rows: int) -> pa.Table:
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        reader = cursor.sql(sql, params=values).to_arrow_reader(_BATCH_ROWS)
        table = pa.Table.from_batches(_capped(reader), schema=reader.schema)
    finally:
        _end(cursor)
    if table.num_rows <= max_rows:
        return table
    return table.slice(0, max_rows).replace_schema_metadata({TRUNCATED: b"true"})


def _capped(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    size = 0
    for batch in reader:
        size += batch.nbytes
        if size > MAX_BYTES:
            raise SqlTooLargeError(f"the result is larger than {MAX_BYTES // 2**20} MiB; select less")
        yield batch


def _end(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.rollback()
    except duckdb.Error:
        return  # the failed query ended the transaction itself


@contextmanager
def limited(
    cursor: duckdb.DuckDBPyConnection, timeout_s: float, cancellation: Cancellation | None = None
) -> Iterator[None]:
    """Interrupt whatever the cursor does after the deadline, or once it is cancelled, until it stops."""
    done = threading.Event()
    cancellation = cancellation or Cancellation()

    def watch() -> None:
        cancellation.wake.wait(timeout_s)
        while not done.is_set():
            cursor.interrupt()  # again and again: one that comes between two statements is lost
            done.wait(_INTERRUPT_EVERY_S)

    watcher = threading.Thread(target=watch, name="sql-time-limit", daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.InterruptException:
        if cancellation.asked:
            raise SqlCancelledError("the statement was cancelled") from None
        raise SqlTimeoutError(f"the query ran longer than {timeout_s:g} s and was stopped") from None
    finally:
        done.set()
        cancellation.wake.set()
        watcher.join()


@contextmanager
def explained(*, scoped: bool) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise SqlTooLargeError("the query needs more memory than the database may use; select less") from None
    except (pa.ArrowInvalid, *_USER_ERRORS) as error:
        _refuse(error, scoped=scoped)


def _refuse(error: Exception, *, scoped: bool) -> NoReturn:
    message = str(error).strip().split("\n\n")[0]
    if scoped and isinstance(error, duckdb.DataError):
        # A value in a message could be that of a row which the scope would have left out.
        message = _QUOTED_VALUE.sub("…", message)
    raise SqlRefusedError(message) from None
