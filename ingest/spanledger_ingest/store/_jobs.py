"""What periodic jobs remember from one start of the service to the next."""
# ruff: noqa: S608 - identifiers are constants

from dataclasses import dataclass

import duckdb

from spanledger_ingest.store._ddl import JOBS, PRIVATE
from spanledger_ingest.store._transaction import transaction


@dataclass(frozen=True, slots=True)
class JobState:
    """When a job last finished, ns since the epoch by the wall clock, and how far it came, in its own words."""

    finished_ns: int
    watermark: str | None = None


def load(cursor: duckdb.DuckDBPyConnection, name: str) -> JobState | None:
    """Return what was saved last, ``None`` for a job that never finished."""
    row = cursor.execute(f"SELECT finished_ns, watermark FROM {PRIVATE}.{JOBS} WHERE name = ?", [name]).fetchone()
    return None if row is None else JobState(int(row[0]), row[1])


def save(cursor: duckdb.DuckDBPyConnection, name: str, state: JobState) -> None:
    """Replace what was saved."""
    with transaction(cursor):
        cursor.execute(f"DELETE FROM {PRIVATE}.{JOBS} WHERE name = ?", [name])
        cursor.execute(f"INSERT INTO {PRIVATE}.{JOBS} VALUES (?, ?, ?)", [name, state.finished_ns, state.watermark])
