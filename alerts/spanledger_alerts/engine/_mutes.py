"""What keeps a firing alert from being told: silences and planned changes by people, inhibition by other alerts."""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from spanledger_alerts.database import Database
from spanledger_alerts.engine._states import Tracked
from spanledger_alerts.errors import MatcherError
from spanledger_alerts.matchers import Matcher, match_all, parse_all
from spanledger_alerts.rules import DAY

Kind: TypeAlias = Literal["silence", "planned"]
_COLUMNS: Final = "id, kind, owner, matchers, starts, ends, author, comment, created"
_MAX_OPEN: Final = 1_000
_MAX_TEXT: Final = 500
_LONGEST: Final = 366 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Alerts that match are not told between two times (ns)."""

    id: str
    kind: Kind
    owner: str | None
    """Whose alerts; ``None`` is everybody's."""
    matchers: tuple[Matcher, ...]
    starts: int
    ends: int
    author: str
    comment: str
    """Why; of a planned change, what it is."""
    created: int

    def covers(self, owner: str, labels: Mapping[str, str]) -> bool:
        """Tell whether it concerns an alert of an owner with these labels."""
        return (self.owner is None or self.owner == owner) and match_all(self.matchers, labels)


class Mutes:
    """Silences and planned changes, in the database.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        *,
        kind: Kind,
        owner: str | None,
        matchers: Sequence[str],
        starts: int,
        ends: int,
        author: str,
        comment: str,
        now: int,
    ) -> Mute:
        """Keep what matches from being told from ``starts`` to ``ends``.

        Raises:
            MatcherError: a matcher cannot be read, they match everything, or the times cannot be meant.
        """
        parsed = parse_all(matchers)
        if all(matcher.matches({}) for matcher in parsed):
            raise MatcherError("matchers: at least one must not match a missing label: this would mute everything")
        if not 0 <= starts < ends or ends <= now:
            raise MatcherError("the end must lie after the start and after now")
        if ends > now + _LONGEST:
            raise MatcherError("the end must lie within a year: what is to be quiet for ever is a rule to switch off")
        if not author or not comment or max(len(author), len(comment)) > _MAX_TEXT:
            raise MatcherError(f"say who and why, in at most {_MAX_TEXT} characters each")
        mute = Mute(
            id=f"{kind}_{secrets.token_hex(8)}",
            kind=kind,
            owner=owner,
            matchers=parsed,
            starts=starts,
            ends=ends,
            author=author,
            comment=comment,
            created=now,
        )
        with self._database.transaction():
            self._refuse_too_many(now)
            self._insert(mute)
        return mute

    def _refuse_too_many(self, now: int) -> None:
        ((number,),) = self._database.execute("SELECT count(*) FROM alert_mutes WHERE ends > ?", (now,))
        if number >= _MAX_OPEN:
            raise MatcherError(f"there are {number} silences already: expire some")

    def _insert(self, mute: Mute) -> None:
        matchers = json.dumps([str(matcher) for matcher in mute.matchers])
        self._database.execute(
            f"INSERT INTO alert_mutes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (
                *(mute.id, mute.kind, mute.owner, matchers, mute.starts, mute.ends),
                *(mute.author, mute.comment, mute.created),
            ),
        )

    def expire(self, mute_id: str, *, kind: Kind, owner: str | None, now: int) -> Mute | None:
        """End one now; return it, or ``None`` if the owner has none of that id. ``owner`` ``None`` may end all."""
        with self._database.transaction():
            found = self._select("id = ? AND kind = ? AND (? IS NULL OR owner = ?)", (mute_id, kind, owner, owner))
            if not found:
                return None
            self._database.execute("UPDATE alert_mutes SET ends = min(ends, ?) WHERE id = ?", (now, mute_id))
            return self._select("id = ?", (mute_id,))[0]

    def listed(self, *, kind: Kind, owner: str | None, now: int, expired: bool = False) -> list[Mute]:
        """Return those of an owner, and with ``None`` all, the one that ends first first."""
        where = "kind = ? AND (? IS NULL OR owner = ?) AND (? OR ends > ?)"
        return self._select(where, (kind, owner, owner, int(expired), now))

    def active(self, now: int) -> list[Mute]:
        """Return those that count now."""
        return self._select("starts <= ? AND ends > ?", (now, now))

    def _select(self, where: str, values: tuple[Any, ...]) -> list[Mute]:
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM alert_mutes WHERE {where} ORDER BY ends, id",  # noqa: S608 - constants
            values,
        )
        return [_mute(row) for row in rows]


def _mute(row: tuple[Any, ...]) -> Mute:
    mute_id, kind, owner, matchers, starts, ends, author, comment, created = row
    return Mute(
        id=mute_id,
        kind=kind,
        owner=owner,
        matchers=parse_all(json.loads(matchers)),
        starts=starts,
        ends=ends,
        author=author,
        comment=comment,
        created=created,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """While an alert fires that matches ``source``, those that match ``target`` are not told, if ``equal`` agree.

    No owner's alert mutes another owner's. What matches both sides is not muted by what also does.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


class _Sources:
    """The sources of an inhibition that fire, found by what a target must have in common with them.

    A target that matches the source, too, is muted only by a source that does not match the target: never by itself.
    """

    def __init__(self, inhibition: Inhibition) -> None:
        self._of = inhibition
        self._all: set[tuple[str, ...]] = set()
        self._only_sources: set[tuple[str, ...]] = set()

    def add(self, owner: str, labels: Mapping[str, str]) -> None:
        if match_all(self._of.source, labels):
            place = self._place(owner, labels)
            self._all.add(place)
            if not match_all(self._of.target, labels):
                self._only_sources.add(place)

    def mute(self, owner: str, labels: Mapping[str, str]) -> bool:
        if not self._all or not match_all(self._of.target, labels):
            return False
        sources = self._only_sources if match_all(self._of.source, labels) else self._all
        return self._place(owner, labels) in sources or self._place("", labels) in sources

    def _place(self, owner: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        return owner, *(labels.get(name, "") for name in self._of.equal)


def muting(
    inhibitions: Sequence[Inhibition], mutes: Iterable[Mute], firing: Iterable[Tracked]
) -> Callable[[Tracked], bool]:
    """Return what tells whether an alert is not to be told now; thousands may fire, and be asked about."""
    active = list(mutes)
    sources = [_Sources(inhibition) for inhibition in inhibitions]
    for alert in firing if sources else ():
        labels = alert.matched()
        for one in sources:
            one.add(alert.finding.owner, labels)

    def muted(alert: Tracked) -> bool:
        labels = alert.matched()
        if any(mute.covers(alert.finding.owner, labels) for mute in active):
            return True
        return any(one.mute(alert.finding.owner, labels) for one in sources)

    return muted
