"""Alerts, groups and their members in the database."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from spanledger_alerts.database import Database
from spanledger_alerts.engine._groups import Group, Member
from spanledger_alerts.engine._states import Tracked, fingerprint
from spanledger_alerts.records import Finding

_COLUMNS: Final = "id, state, since, started, active, seen, resolved, closed, body"
_OPEN: Final = "state <> 'resolved'"
_GROUP: Final = "receiver, key, labels, created, seq, due, sent, wait, interval, repeat"


class Book:
    """Reads and writes; who calls holds the transaction."""

    def __init__(self, database: Database) -> None:
        self._execute = database.execute

    def open_of(self, rule: str) -> dict[str, Tracked]:
        """Return what is pending, firing or without data under a rule, by fingerprint."""
        rows = self._execute(f"SELECT {_COLUMNS} FROM alerts WHERE rule = ? AND {_OPEN}", (rule,))  # noqa: S608 - constants
        return {alert.fingerprint: alert for alert in map(_tracked, rows)}

    def open_one(self, what: str) -> Tracked | None:
        """Return the open alert of a fingerprint."""
        rows = self._execute(f"SELECT {_COLUMNS} FROM alerts WHERE fingerprint = ? AND {_OPEN}", (what,))  # noqa: S608 - constants
        return _tracked(rows[0]) if rows else None

    def firing(self) -> list[Tracked]:
        """Return every alert that fires."""
        rows = self._execute(f"SELECT {_COLUMNS} FROM alerts WHERE state = 'firing'")  # noqa: S608 - constants
        return [_tracked(row) for row in rows]

    def untold_end(self, what: str) -> Tracked | None:
        """Return the latest resolved alert of a fingerprint, if it was told and nobody knows of its end."""
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM alerts WHERE fingerprint = ? AND state = 'resolved' AND NOT closed"  # noqa: S608 - constants
            " AND EXISTS (SELECT 1 FROM alert_members m WHERE m.alert = alerts.id AND m.told = 'firing')"
            " ORDER BY resolved DESC LIMIT 1",
            (what,),
        )
        return _tracked(rows[0]) if rows else None

    def page(self, *, owner: str | None, states: Iterable[str], before: tuple[int, str], limit: int) -> list[Tracked]:
        """Return alerts, those that began last first."""
        wanted = list(states)
        marks = ", ".join("?" * len(wanted))
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM alerts WHERE state IN ({marks}) AND (? IS NULL OR owner = ?)"  # noqa: S608 - constants
            " AND (since, id) < (?, ?) ORDER BY since DESC, id DESC LIMIT ?",
            (*wanted, owner, owner, *before, limit),
        )
        return [_tracked(row) for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many open alerts there are by rule and state."""
        rows = self._execute(f"SELECT rule, state, count(*) FROM alerts WHERE {_OPEN} GROUP BY rule, state")  # noqa: S608 - constants
        return {(rule, state): number for rule, state, number in rows}

    def save(self, alert: Tracked) -> None:
        """Write an alert."""
        finding = alert.finding
        what = fingerprint(finding)
        self._execute(
            "INSERT OR REPLACE INTO alerts"
            " (id, fingerprint, rule, owner, state, since, started, active, seen, resolved, closed, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(alert.id, what, finding.rule, finding.owner, alert.state, alert.since, alert.started, alert.active),
                *(alert.seen, alert.resolved, int(alert.closed), _body(finding)),
            ),
        )

    def forget(self, alert_id: str) -> None:
        """Delete an alert that came to nothing."""
        self._execute("DELETE FROM alert_members WHERE alert = ?", (alert_id,))
        self._execute("DELETE FROM alerts WHERE id = ?", (alert_id,))

    def expire(self, before: int, keep: int) -> None:
        """Delete alerts that were resolved before a time, all but the ``keep`` latest, and groups long unused."""
        self._execute(
            "DELETE FROM alerts WHERE state = 'resolved' AND NOT EXISTS"
            " (SELECT 1 FROM alert_members m WHERE m.alert = alerts.id) AND (resolved < ? OR id NOT IN"
            " (SELECT id FROM alerts WHERE state = 'resolved' ORDER BY resolved DESC LIMIT ?))",
            (before, keep),
        )
        self._execute("DELETE FROM alert_groups WHERE due IS NULL AND coalesce(sent, created) < ?", (before,))

    def group(self, receiver: str, key: str) -> Group | None:
        """Return a group."""
        rows = self._execute(f"SELECT {_GROUP} FROM alert_groups WHERE receiver = ? AND key = ?", (receiver, key))  # noqa: S608 - constants
        return _group(rows[0]) if rows else None

    def groups_of(self, alert_id: str) -> list[Group]:
        """Return the groups that an alert is a member of."""
        columns = ", ".join(f"g.{name}" for name in _GROUP.split(", "))
        rows = self._execute(
            f"SELECT {columns} FROM alert_groups g JOIN alert_members m USING (receiver, key) WHERE m.alert = ?",  # noqa: S608 - constants
            (alert_id,),
        )
        return [_group(row) for row in rows]

    def due(self, now: int, limit: int) -> list[Group]:
        """Return the groups that are to be looked at, and those whose times lie ahead of a clock that was set back."""
        rows = self._execute(
            f"SELECT {_GROUP} FROM alert_groups WHERE due <= ? OR sent > ? LIMIT ?",  # noqa: S608 - constants
            (now, now, limit),
        )
        return [_group(row) for row in rows]

    def save_group(self, group: Group) -> None:
        """Write a group."""
        self._execute(
            f"INSERT OR REPLACE INTO alert_groups ({_GROUP}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (
                *(group.receiver, group.key, json.dumps(dict(group.labels)), group.created, group.seq, group.due),
                *(group.sent, group.wait, group.interval, group.repeat),
            ),
        )

    def members(self, group: Group) -> list[Member]:
        """Return the members of a group with what its receiver knows of them."""
        columns = ", ".join(f"a.{name}" for name in _COLUMNS.split(", "))
        rows = self._execute(
            f"SELECT m.told, m.severity, {columns} FROM alert_members m JOIN alerts a ON a.id = m.alert"  # noqa: S608 - constants
            " WHERE m.receiver = ? AND m.key = ? ORDER BY a.since, a.id",
            (group.receiver, group.key),
        )
        return [Member(_tracked(row[2:]), row[0], row[1]) for row in rows]

    def join(self, group: Group, alert_id: str) -> None:
        """Make an alert a member of a group, of which nothing has been told yet."""
        self._execute(
            "INSERT OR IGNORE INTO alert_members (receiver, key, alert, told, severity) VALUES (?, ?, ?, '', '')",
            (group.receiver, group.key, alert_id),
        )

    def mark(self, group: Group, alert_id: str, told: str, severity: str) -> None:
        """Write down what the receiver of a group knows of an alert."""
        self._execute(
            "UPDATE alert_members SET told = ?, severity = ? WHERE receiver = ? AND key = ? AND alert = ?",
            (told, severity, group.receiver, group.key, alert_id),
        )

    def leave(self, group: Group, alert_id: str) -> None:
        """Take an alert out of a group."""
        self._execute(
            "DELETE FROM alert_members WHERE receiver = ? AND key = ? AND alert = ?",
            (group.receiver, group.key, alert_id),
        )

    def waiting_for(self, alert_id: str) -> bool:
        """Tell whether some group of an alert has not been looked at since it joined."""
        return bool(self._execute("SELECT 1 FROM alert_members WHERE alert = ? AND told = '' LIMIT 1", (alert_id,)))


def _body(finding: Finding) -> str:
    body = asdict(finding)
    body["impact_usd"] = None if finding.impact_usd is None else str(finding.impact_usd)
    return json.dumps(body)


def _tracked(row: tuple[Any, ...]) -> Tracked:
    alert_id, state, since, started, active, seen, resolved, closed, body = row
    return Tracked(
        id=alert_id,
        state=state,
        since=since,
        started=started,
        active=active,
        seen=seen,
        resolved=resolved,
        closed=bool(closed),
        finding=_finding(json.loads(body)),
    )


def _finding(body: Mapping[str, Any]) -> Finding:
    impact = body["impact_usd"]
    return Finding(**{**body, "impact_usd": None if impact is None else Decimal(impact)})


def _group(row: tuple[Any, ...]) -> Group:
    receiver, key, labels, *times = row
    return Group(receiver, key, json.loads(labels), *times)
