"""Stepping a rule through stored data: the real engine, on a database in memory, with the moments as its clock."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from spanledger_alerts._replay_data import read_once
from spanledger_alerts.alert_tables import TABLES
from spanledger_alerts.engine import AlertEngine, Policy, Tracked
from spanledger_alerts.errors import RuleError
from spanledger_alerts.records import Finding, Notification
from spanledger_alerts.rules import MINUTE, AnyRule, BurnRateRule, EventRule, HealthRule, MetricRule, RuleData, evaluate

_MOMENTS_AT_ONCE: Final = 50
_MAX_MOMENTS: Final = 20_000
_MAX_ALERTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a replay is, and at its end what would have happened."""

    done: int
    total: int
    """Moments."""
    alerts: Sequence[Tracked] = ()
    """Everything that fired or began to, the first first."""
    notifications: Sequence[Notification] = ()
    step_ns: int = 0


def replay(
    rule: AnyRule,
    data: RuleData,
    policy: Policy,
    window: tuple[int, int],
    *,
    owner: str | None = None,
    step_ns: int = 0,
) -> Iterator[Replayed]:
    """Yield how far it is, and last of all what happened.

    Args:
        rule: the rule.
        data: what is stored.
        policy: routes and inhibitions; inhibition by other rules is not replayed.
        window: from and to (ns).
        owner: whose data count; ``None`` is all.
        step_ns: time between evaluations; 0 is that of the rule, a minute at least, longer for a long window.

    Raises:
        RuleError: this rule does not depend on what is stored.
        AnalyticsError: the store cannot answer.
    """
    if isinstance(rule, EventRule | HealthRule):
        raise RuleError(f"{rule.name} does not follow from stored data, so there is nothing to replay")
    start, end = window
    step = step_ns or max(rule.every, MINUTE, (end - start) // _MAX_MOMENTS)
    moments = range(start, end, step)
    if not 0 < len(moments) <= 5 * _MAX_MOMENTS:
        raise RuleError(f"{len(moments):,} moments to look at: choose a later end, or a longer step")
    if isinstance(rule, BurnRateRule):
        data = read_once(rule, data, moments)
    sent: list[Notification] = []
    with closing(_Memory()) as memory:
        engine = AlertEngine(memory, policy, sent.append)
        for first in range(0, len(moments), _at_once(rule)):
            some = moments[first : first + _at_once(rule)]
            for moment, findings in zip(some, evaluate(rule, data, some), strict=True):
                engine.evaluated(rule.name, _of(owner, findings), moment)
                engine.tick(moment)
            yield Replayed(first + len(some), len(moments))
        engine.tick(end)
        found = engine.page(owner=None, states=("firing", "no_data", "resolved", "pending"), limit=_MAX_ALERTS)
    yield Replayed(len(moments), len(moments), found[::-1], sent, step)


def _at_once(rule: AnyRule) -> int:
    """One query answers for many moments where a rule's queries can."""
    return _MOMENTS_AT_ONCE if isinstance(rule, MetricRule | BurnRateRule) else 1


def _of(owner: str | None, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if owner is None or finding.owner == owner]


class _Memory:
    """A database that is gone afterwards."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for statement in TABLES.split(";"):
            self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nothing is kept, so nothing need be undone."""
        yield

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement."""
        return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Forget it all."""
        self._connection.close()
