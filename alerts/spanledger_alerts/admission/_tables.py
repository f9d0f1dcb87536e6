"""The statements on the tables of admission (``admission_tables``)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from spanledger_alerts.admission._records import CapKey, Hold, Part
from spanledger_alerts.database import Database


class HoldTables:
    """The statements."""

    def __init__(self, database: Database) -> None:
        self._run = database.execute
        self.transaction = database.transaction

    def holds(self) -> list[Hold]:
        """Return all that is held."""
        sql = (
            "SELECT id, owner, kind, provider, model, trace_id, span_id, start_ns, expires_ns, parts"
            " FROM admission_holds ORDER BY id"
        )
        return [_hold(*row) for row in self._run(sql)]

    def put(self, hold: Hold) -> None:
        """Write a hold in the place of the one of the same id."""
        parts = json.dumps([[*key, *part] for key, part in hold.parts.items()])
        row = (hold.id, hold.owner, hold.kind, hold.provider, hold.model, hold.trace_id, hold.span_id)
        sql = "INSERT OR REPLACE INTO admission_holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._run(sql, (*row, hold.start_ns, hold.expires_ns, parts))

    def delete(self, names: Iterable[str]) -> None:
        """Drop holds."""
        for name in names:
            self._run("DELETE FROM admission_holds WHERE id = ?", (name,))

    def covers(self) -> dict[CapKey, Part]:
        """Return what may have been held beyond what was written."""
        found = self._run("SELECT owner, name, tenant, start_ns, nano, until_ns FROM admission_covers")
        return {(row[0], row[1], row[2], row[3]): Part(row[4], row[5]) for row in found}

    def set_covers(self, covers: Mapping[CapKey, Part]) -> None:
        """Replace covers; those of nothing are dropped."""
        for key, part in covers.items():
            if part.nano:
                values = (*key, part.until_ns, part.nano)
                self._run("INSERT OR REPLACE INTO admission_covers VALUES (?, ?, ?, ?, ?, ?)", values)
            else:
                sql = "DELETE FROM admission_covers WHERE owner = ? AND name = ? AND tenant = ? AND start_ns = ?"
                self._run(sql, key)


def _hold(*row: Any) -> Hold:
    name, owner, kind, provider, model, trace_id, span_id, start_ns, expires_ns, parts = row
    return Hold(
        id=name,
        owner=owner,
        kind=kind,
        parts={(a, b, c, d): Part(nano, until) for a, b, c, d, nano, until in json.loads(parts)},
        start_ns=start_ns,
        expires_ns=expires_ns,
        provider=provider,
        model=model,
        trace_id=trace_id,
        span_id=span_id,
    )
