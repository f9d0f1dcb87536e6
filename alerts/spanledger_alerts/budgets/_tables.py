"""The statements on the tables of budgets (``budget_tables``). Times are ns since the epoch.

Money is kept in two columns, whole dollars and nano-dollars: a sum of either fits 64 bits whatever is added up.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from spanledger_alerts.budgets._money import Spend, spend_of
from spanledger_alerts.database import Database


class DefinitionRow(NamedTuple):
    """A row of ``budget_definitions``."""

    owner: str
    name: str
    source: str
    body: str
    structure: str
    created_ns: int
    updated_ns: int
    filled: int


class PeriodRow(NamedTuple):
    """A row of ``budget_periods``."""

    instance: int
    start_ns: int
    end_ns: int
    label: str
    rate: str
    limit: int
    spend: Spend


class EventRow(NamedTuple):
    """A row of ``budget_events`` that is about to be written, or was."""

    instance: int
    start_ns: int
    basis: str
    threshold: int
    generation: int
    owner: str
    name: str
    tenant: str
    label: str
    time_ns: int
    spent: str
    limit: int
    late: int
    detail: str


class LedgerRow(NamedTuple):
    """The row of ``budget_ledger``."""

    revision: int
    version: int
    coarse_before_ns: int
    mirrored: int


_DEFINITION: Final = ", ".join(DefinitionRow._fields)
_PERIOD: Final = "instance, start_ns, end_ns, label, rate, limit_nano, usd, nano, calls, unpriced"
_EVENT: Final = (
    "instance, start_ns, basis, threshold, generation, owner, name, tenant, label, time_ns, spent, limit_nano, late,"
    " detail"
)


class Tables:
    """The statements."""

    def __init__(self, database: Database) -> None:
        self._run = database.execute
        self.transaction = database.transaction

    def ledger(self) -> LedgerRow:
        """Return how far the ledger came."""
        sql = "SELECT revision, version, coarse_before_ns, mirrored FROM budget_ledger"
        return LedgerRow(*self._run(sql)[0])

    def set_revision(self, revision: int) -> None:
        """Move the watermark."""
        self._run("UPDATE budget_ledger SET revision = ?", (revision,))

    def set_coarse_before(self, before_ns: int) -> None:
        """Remember from when on cells are minutes."""
        self._run("UPDATE budget_ledger SET coarse_before_ns = ?", (before_ns,))

    def set_mirrored(self, seq: int) -> None:
        """Remember up to which event everything was shown."""
        self._run("UPDATE budget_ledger SET mirrored = ?", (seq,))

    def bump(self) -> None:
        """Tell that definitions changed."""
        self._run("UPDATE budget_ledger SET version = version + 1")

    def definitions(self) -> list[DefinitionRow]:
        """Return every definition."""
        sql = f"SELECT {_DEFINITION} FROM budget_definitions ORDER BY owner, name"  # noqa: S608 - a constant
        return [DefinitionRow(*row) for row in self._run(sql)]

    def put_definition(self, row: DefinitionRow) -> None:
        """Write a definition in the place of the one of the same name."""
        self._run("INSERT OR REPLACE INTO budget_definitions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def delete_definition(self, owner: str, name: str) -> None:
        """Drop a definition."""
        self._run("DELETE FROM budget_definitions WHERE owner = ? AND name = ?", (owner, name))

    def set_filled(self, keys: Iterable[tuple[str, str]], *, filled: bool) -> None:
        """Say that the ledger holds all that was stored for these budgets, or does not."""
        for owner, name in keys:
            sql = "UPDATE budget_definitions SET filled = ? WHERE owner = ? AND name = ?"
            self._run(sql, (int(filled), owner, name))

    def instances(self) -> list[tuple[int, str, str, str]]:
        """Return id, owner, name and tenant of every instance."""
        found = self._run("SELECT id, owner, name, tenant FROM budget_instances")
        return [(row[0], row[1], row[2], row[3]) for row in found]

    def add_instance(self, owner: str, name: str, tenant: str) -> int:
        """Return the id of a new instance."""
        sql = "INSERT INTO budget_instances (owner, name, tenant) VALUES (?, ?, ?) RETURNING id"
        return int(self._run(sql, (owner, name, tenant))[0][0])

    def drop_instances(self, owner: str, name: str) -> None:
        """Forget what was counted for a budget. Its events stay, and what is yet to be told as ended."""
        mine = "(SELECT id FROM budget_instances WHERE owner = ? AND name = ?)"
        for table in ("budget_cells", "budget_periods", "budget_forecasts"):
            self._run(f"DELETE FROM {table} WHERE instance IN {mine}", (owner, name))  # noqa: S608 - constants
        self._run("DELETE FROM budget_instances WHERE owner = ? AND name = ?", (owner, name))

    def cells(self, owner: str, start_ns: int) -> dict[int, Spend]:
        """Return what was counted of an owner's stretch of time, by instance."""
        sql = "SELECT instance, usd, nano, calls, unpriced FROM budget_cells WHERE owner = ? AND start_ns = ?"
        return {row[0]: spend_of(*row[1:]) for row in self._run(sql, (owner, start_ns))}

    def cell_places(self, from_ns: int, to_ns: int, instances: Collection[int]) -> set[tuple[str, int]]:
        """Return the owners and starts of the cells of instances between two times."""
        found: set[tuple[str, int]] = set()
        for instance in instances:
            sql = "SELECT owner, start_ns FROM budget_cells WHERE instance = ? AND start_ns >= ? AND start_ns < ?"
            found.update((row[0], row[1]) for row in self._run(sql, (instance, from_ns, to_ns)))
        return found

    def put_cell(self, owner: str, start_ns: int, instance: int, spend: Spend) -> None:
        """Replace a cell."""
        if spend == Spend():
            sql = "DELETE FROM budget_cells WHERE owner = ? AND start_ns = ? AND instance = ?"
            self._run(sql, (owner, start_ns, instance))
            return
        values = (owner, start_ns, instance, *spend.columns)
        self._run("INSERT OR REPLACE INTO budget_cells VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def spent_between(self, instance: int, from_ns: int, to_ns: int) -> Spend:
        """Return the sum of an instance's cells that start between two times."""
        sql = (
            "SELECT sum(usd), sum(nano), sum(calls), sum(unpriced) FROM budget_cells"
            " WHERE instance = ? AND start_ns >= ? AND start_ns < ?"
        )
        return spend_of(*self._run(sql, (instance, from_ns, to_ns))[0])

    def hours(self, instance: int, from_ns: int, to_ns: int, hour_ns: int) -> list[tuple[int, int]]:
        """Return start and nano-USD of the hours in which something was spent."""
        sql = (
            "SELECT start_ns / ?1 * ?1 AS hour, sum(usd), sum(nano) FROM budget_cells"
            " WHERE instance = ?2 AND start_ns >= ?3 AND start_ns < ?4 GROUP BY hour ORDER BY hour"
        )
        found = self._run(sql, (hour_ns, instance, from_ns, to_ns))
        return [(row[0], spend_of(row[1], row[2], 0, 0).nano) for row in found]

    def merge_cells(self, before_ns: int, grain_ns: int, limit: int) -> int:
        """Merge cells that start before a time into longer ones; return how many stretches were merged."""
        sql = (
            "SELECT owner, start_ns / ?1 * ?1 AS place, instance, sum(usd), sum(nano), sum(calls), sum(unpriced)"
            " FROM budget_cells WHERE start_ns < ?2 GROUP BY owner, place, instance"
            " HAVING count(*) > 1 OR min(start_ns) <> place LIMIT ?3"
        )
        found = self._run(sql, (grain_ns, before_ns, limit))
        for owner, place, instance, *sums in found:
            gone = "DELETE FROM budget_cells WHERE owner = ? AND instance = ? AND start_ns >= ? AND start_ns < ?"
            self._run(gone, (owner, instance, place, place + grain_ns))
            self.put_cell(owner, place, instance, spend_of(*sums))
        return len(found)

    def period(self, instance: int, start_ns: int) -> PeriodRow | None:
        """Return a period."""
        found = self._periods("instance = ? AND start_ns = ?", (instance, start_ns))
        return found[0] if found else None

    def periods(self, instance: int) -> list[PeriodRow]:
        """Return all periods of an instance in which there were calls, in order."""
        return self._periods("instance = ? ORDER BY start_ns", (instance,))

    def open_periods(self, now_ns: int) -> list[PeriodRow]:
        """Return the periods that have not ended."""
        return self._periods("end_ns > ?", (now_ns,))

    def _periods(self, where: str, values: Sequence[int]) -> list[PeriodRow]:
        found = self._run(f"SELECT {_PERIOD} FROM budget_periods WHERE {where}", values)  # noqa: S608 - constants
        return [PeriodRow(row[0], row[1], row[2], row[3], row[4], row[5], spend_of(*row[6:])) for row in found]

    def put_period(self, row: PeriodRow) -> None:
        """Replace a period."""
        values = (*row[:6], *row.spend.columns)
        self._run("INSERT OR REPLACE INTO budget_periods VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def latched(self, instance: int, start_ns: int) -> set[tuple[str, int]]:
        """Return basis and threshold of the events of a period that are not armed again."""
        sql = "SELECT basis, threshold FROM budget_events WHERE instance = ? AND start_ns = ? AND rearmed_ns IS NULL"
        return {(row[0], row[1]) for row in self._run(sql, (instance, start_ns))}

    def latest(self, instance: int, start_ns: int, basis: str, threshold: int) -> tuple[int, int] | None:
        """Return generation and time of the last event of a threshold, ``None`` if there was none."""
        sql = (
            "SELECT generation, time_ns FROM budget_events WHERE instance = ? AND start_ns = ? AND basis = ?"
            " AND threshold = ? ORDER BY generation DESC LIMIT 1"
        )
        found = self._run(sql, (instance, start_ns, basis, threshold))
        return (found[0][0], found[0][1]) if found else None

    def add_event(self, row: EventRow) -> None:
        """Write an event; the same one cannot be written twice."""
        sql = f"INSERT INTO budget_events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant
        self._run(sql, row)

    def rearm(self, instance: int, start_ns: int, basis: str, threshold: int, now_ns: int) -> None:
        """Let a threshold fire again."""
        sql = (
            "UPDATE budget_events SET rearmed_ns = ? WHERE rearmed_ns IS NULL AND instance = ? AND start_ns = ?"
            " AND basis = ? AND threshold = ?"
        )
        self._run(sql, (now_ns, instance, start_ns, basis, threshold))

    def events(self, after: int, limit: int) -> list[tuple[int, EventRow]]:
        """Return events written after the one with this number, with theirs."""
        sql = f"SELECT seq, {_EVENT} FROM budget_events WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - a constant
        return [(row[0], EventRow(*row[1:])) for row in self._run(sql, (after, limit))]

    def burning(self) -> dict[tuple[int, str], str]:
        """Return what was told of what burns too fast, by instance and pair."""
        found = self._run("SELECT instance, pair, told FROM budget_burning")
        return {(row[0], row[1]): row[2] for row in found}

    def set_burning(self, instance: int, pair: str, told: str) -> None:
        """Remember that it began."""
        self._run("INSERT INTO budget_burning VALUES (?, ?, ?)", (instance, pair, told))

    def clear_burning(self, instance: int, pair: str) -> None:
        """Remember that it ended."""
        self._run("DELETE FROM budget_burning WHERE instance = ? AND pair = ?", (instance, pair))

    def put_forecast(self, instance: int, start_ns: int, time_ns: int, values: tuple[int, int, int] | None) -> None:
        """Replace the forecast of an instance, or drop it."""
        self._run("DELETE FROM budget_forecasts WHERE instance = ?", (instance,))
        if values is not None:
            row = (instance, start_ns, time_ns, *map(str, values))
            self._run("INSERT INTO budget_forecasts VALUES (?, ?, ?, ?, ?, ?)", row)

    def forecasts(self) -> dict[tuple[int, int], tuple[int, int, int, int]]:
        """Return time, total, low and high by instance and start of the period."""
        found = self._run("SELECT instance, start_ns, time_ns, total, low, high FROM budget_forecasts")
        return {(row[0], row[1]): (row[2], int(row[3]), int(row[4]), int(row[5])) for row in found}
