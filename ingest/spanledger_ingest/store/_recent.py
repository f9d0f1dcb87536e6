"""Which traces and response ids of the last hours may be in the tables, and when they were.

Every commit asks whether its spans belong to calls already stored. There is no index to ask (see :mod:`._ddl`), and
reading the key columns of some hours costs more than everything else once they hold millions of rows. Nearly always the
answer is no, or points at the last minute. So the store remembers what it wrote: Bloom filters, each with the minutes
of the rows behind it. A filter may claim too much (three keys in a million), which costs a look; it never forgets.
"""
# ruff: noqa: S608 - identifiers come from the schema module, times are integers

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spanledger_ingest.store._arrow import fetch, registered
from spanledger_ingest.store._ddl import PRIVATE

Hashes: TypeAlias = npt.NDArray[np.uint64]
Stretch: TypeAlias = tuple[int, int]
"""First and last start of a span, ns."""

MINUTE_NS: Final = 60 * 10**9
_LOADED_NS: Final = 3 * 60 * MINUTE_NS
"""How far back from the latest span the tables are read at the start; older keys are looked up by reading rows."""
_LOADED_ROWS: Final = 10_000_000
_BITS: Final = 2**22
_PROBES: Final = 8
_CAPACITY: Final = _BITS // 24
"""Keys of one filter."""
_MAX_FILTERS: Final = 192
"""96 MiB for 33 million keys: three hours at 1,500 traces a second."""
_MAX_STRETCHES: Final = 8


class _Filter:
    """A Bloom filter of half a mebibyte."""

    def __init__(self) -> None:
        self._words = np.zeros(_BITS // 64, np.uint64)
        self.keys = 0
        self.minutes: set[int] = set()

    def add(self, bits: Hashes, minutes: Iterable[int]) -> None:
        """Remember keys, given the bits of each, and the minutes of their rows."""
        np.bitwise_or.at(self._words, bits >> np.uint64(6), np.uint64(1) << (bits & np.uint64(63)))
        self.keys += bits.shape[1]
        self.minutes.update(minutes)

    def may_hold(self, bits: Hashes) -> npt.NDArray[np.intp]:
        """Return the places of the keys that may be among those added."""
        places = np.arange(bits.shape[1])
        for probe in bits:
            bit = probe[places]
            places = places[(self._words[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) != 0]
            if not places.size:
                break
        return places


class RecentKeys:
    """The keys of what was stored lately. For one thread at a time."""

    def __init__(self) -> None:
        self._filters: deque[_Filter] = deque()
        self._unknown: list[int] = []
        """Minutes of rows that no filter knows any more."""
        self._unknown_before = 0

    def forget_before(self, minute: int) -> None:
        """Declare that rows of earlier minutes may be stored without being known here."""
        self._unknown_before = minute

    def add(self, hashes: Hashes, starts_ns: Iterable[int]) -> None:
        """Remember the keys of rows. Do so before they are committed: too much does no harm."""
        minutes = {start // MINUTE_NS for start in starts_ns}
        for first in range(0, len(hashes), _CAPACITY):
            self._current().add(_bits(hashes[first : first + _CAPACITY]), minutes)

    def _current(self) -> _Filter:
        if not self._filters or self._filters[-1].keys >= _CAPACITY:
            self._filters.append(_Filter())
        if len(self._filters) > _MAX_FILTERS:
            oldest = self._filters.popleft()
            self._unknown = sorted({*self._unknown, *oldest.minutes})
        return self._filters[-1]

    def look_up(self, hashes: Hashes, windows: Sequence[Stretch]) -> tuple[npt.NDArray[np.bool_], list[Stretch]]:
        """Return which keys may belong to rows stored in these windows, and the stretches to read to find out."""
        bits = _bits(hashes)
        old = [(low, min(high, self._unknown_before * MINUTE_NS - 1)) for low, high in windows]
        unknown = [(low, high) for low, high in old if low <= high]
        minutes = _inside(self._unknown, windows)
        hit = np.full(len(hashes), bool(unknown or minutes))
        for known in self._filters:
            near = _inside(known.minutes, windows)
            if near and (places := known.may_hold(bits)).size:
                hit[places] = True
                minutes |= near
        return hit, [*unknown, *stretches(minutes)]


def _inside(minutes: Iterable[int], windows: Sequence[Stretch]) -> set[int]:
    spans = [(low // MINUTE_NS, high // MINUTE_NS) for low, high in windows]
    return {minute for minute in minutes if any(first <= minute <= last for first, last in spans)}


def _bits(hashes: Hashes) -> Hashes:
    """Return one row of bit numbers a probe: two halves of a hash make as many as are wanted."""
    low, high = hashes & np.uint64(0xFFFFFFFF), (hashes >> np.uint64(32)) | np.uint64(1)
    probes = np.arange(_PROBES, dtype=np.uint64)[:, None]
    bits: Hashes = (low + probes * high) & np.uint64(_BITS - 1)
    return bits


def stretches(minutes: Iterable[int]) -> list[Stretch]:
    """Cover the minutes with at most eight stretches of nanoseconds, joined where the gaps are smallest."""
    merged: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if merged and minute <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], minute
        else:
            merged.append((minute, minute))
    while len(merged) > _MAX_STRETCHES:
        gap = min(range(1, len(merged)), key=lambda n: merged[n][0] - merged[n - 1][1])
        merged[gap - 1 : gap + 1] = [(merged[gap - 1][0], merged[gap][1])]
    return [(first * MINUTE_NS, (last + 1) * MINUTE_NS - 1) for first, last in merged]


def within(times: Sequence[Stretch], column: str) -> str:
    """Return SQL that holds for rows in one of the stretches."""
    return "(" + " OR ".join(f"{column} BETWEEN {low} AND {high}" for low, high in times) + ")" if times else "false"


def hash_pairs(cursor: duckdb.DuckDBPyConnection, pairs: pa.Table) -> Hashes:
    """Return a hash of each row of (owner, id), in order; the database computes the same for stored rows."""
    with registered(cursor, "pairs", pairs):
        hashes: Hashes = fetch(cursor, "SELECT hash(owner, id) AS h FROM pairs")["h"].to_numpy()
    return hashes


def load(cursor: duckdb.DuckDBPyConnection, tables: Sequence[tuple[str, str]]) -> RecentKeys:
    """Read the keys of the last hours.

    Args:
        cursor: on the database.
        tables: names of tables and of a key column, beside which they have ``owner`` and ``start_ns``.
    """
    recent = RecentKeys()
    since_ns = max(_since(cursor, table) for table, _ in tables)
    recent.forget_before(since_ns // MINUTE_NS)
    for table, column in tables:
        sql = (
            f"SELECT hash(owner, {column}) AS h, start_ns // {MINUTE_NS} * {MINUTE_NS} AS m FROM {PRIVATE}.{table} "
            f"WHERE start_ns >= {since_ns} AND {column} IS NOT NULL"
        )
        for part in fetch(cursor, sql).to_batches(max_chunksize=_CAPACITY):
            starts = np.unique(part["m"].to_numpy(zero_copy_only=False))
            recent.add(np.unique(part["h"].to_numpy(zero_copy_only=False)), map(int, starts))
    return recent


def _since(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    """Return the start, on a full minute, from which on a table's keys are few enough to read."""
    latest, back = _number(cursor, f"SELECT coalesce(max(start_ns), 0) FROM {PRIVATE}.{table}"), _LOADED_NS
    while True:
        since = max(0, latest - back) // MINUTE_NS * MINUTE_NS
        rows = _number(cursor, f"SELECT count(*) FROM {PRIVATE}.{table} WHERE start_ns >= {since}")
        if rows <= _LOADED_ROWS or back < MINUTE_NS:
            return since
        back //= 2


def _number(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    ((number,),) = cursor.execute(sql).fetchall()
    return int(number)
