"""What admission asks of the store: which calls are in it, and how long answers are."""
# ruff: noqa: S608 - identifiers are constants

from typing import Final

import duckdb
import pyarrow as pa

from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._changes import last
from spanledger_ingest.store._ddl import PRIVATE

_CALLS: Final = f"{PRIVATE}.llm_calls"


def which(cursor: duckdb.DuckDBPyConnection, keys: pa.Table) -> tuple[list[str], int]:
    """Return the ``id`` of those ``keys`` (``id``, ``owner``, ``trace_id``, ``span_id``, ``start_ns``) that are stored.

    With them, a revision at which they were.
    """
    minute = 60 * 10**9
    with registered(cursor, "wanted", keys):
        found = cursor.execute(
            f"SELECT w.id FROM wanted w JOIN {_CALLS} c"
            " ON c.owner = w.owner AND c.trace_id = w.trace_id AND c.span_id = w.span_id"
            f" WHERE c.start_ns >= (SELECT min(start_ns) FROM wanted) - {minute}"
        ).fetchall()
    return [str(row[0]) for row in found], last(cursor)  # read last: later than what was found


def output_lengths(cursor: duckdb.DuckDBPyConnection, since_ns: int, least: int) -> pa.Table:
    """Return ``owner``, ``model`` and ``p95`` of the tokens of output, where there were at least so many calls."""
    return fetch(
        cursor,
        "SELECT owner, model, CAST(ceil(quantile_cont(output_tokens, 0.95)) AS BIGINT) AS p95"
        f" FROM {_CALLS} WHERE billable AND start_ns >= $since AND output_tokens IS NOT NULL AND model IS NOT NULL"
        " GROUP BY owner, model HAVING count(*) >= $least",
        {"since": since_ns, "least": least},
    )
