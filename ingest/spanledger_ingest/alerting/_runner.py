"""Evaluates rules, each in its rhythm, one after the other."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from spanledger_alerts.engine import AlertEngine
from spanledger_alerts.rules import AnyRule, EventRule, Reading, RuleData, SilenceRule, evaluate
from spanledger_analytics.errors import AnalyticsError

_log = logging.getLogger(__name__)

_FIRST_SECONDS: Final = 10.0
"""After the start rules are evaluated one by one within this time."""


@dataclass(slots=True)
class RuleStats:
    """Counts since the start."""

    evaluations: int = 0
    failures: int = 0
    failing: int = 0
    """Failures since the last success."""
    seconds: float = 0.0
    finished_ns: int = 0
    found: int = 0
    """Sets of labels at the last evaluation."""


class RuleRunner:
    """Evaluates one rule at each step, the one that has been due longest.

    A rule that cannot be evaluated leaves its alerts as they are, and the others to themselves.

    Args:
        engine: takes what is found.
        rules: what is evaluated.
        data: what they ask.
        wall: nanoseconds since the epoch: the moment that is judged.
        monotonic: seconds: the rhythm.
    """

    def __init__(
        self,
        engine: AlertEngine,
        rules: Sequence[AnyRule],
        data: RuleData,
        *,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._rules = {rule.name: rule for rule in rules if not isinstance(rule, EventRule)}
        self._data = data
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._stats = {name: RuleStats() for name in self._rules}
        self._due = dict(self._first_due(monotonic()))

    def _first_due(self, now: float) -> Iterable[tuple[str, float]]:
        for place, (name, rule) in enumerate(self._rules.items()):
            # Who was silent only because we were not there has its time to speak.
            pause = rule.window / 1e9 if isinstance(rule, SilenceRule) else 0.0
            yield name, now + pause + place / len(self._rules) * min(_FIRST_SECONDS, rule.every / 1e9)

    def step(self) -> bool:
        """Evaluate a rule if one is due; tell whether another is."""
        name = min(self._due, key=lambda name: self._due[name], default=None)
        now = self._monotonic()
        if name is None or self._due[name] > now:
            return False
        rule = self._rules[name]
        self._due[name] = now + rule.every / 1e9
        self._evaluate(rule)
        return min(self._due.values()) <= self._monotonic()

    def _evaluate(self, rule: AnyRule) -> None:
        began, at_ns = self._monotonic(), self._wall()
        try:
            (found,) = evaluate(rule, self._data, [at_ns])
        except AnalyticsError as error:
            _log.warning("the rule %s cannot be evaluated now: %s", rule.name, error)
            self._count(rule.name, began, None)
            return
        self._engine.evaluated(rule.name, found, at_ns)
        self._count(rule.name, began, len(found))

    def _count(self, name: str, began: float, found: int | None) -> None:
        with self._lock:
            stats = self._stats[name]
            stats.evaluations += 1
            stats.seconds += self._monotonic() - began
            if found is None:
                stats.failures += 1
                stats.failing += 1
            else:
                stats.failing, stats.found, stats.finished_ns = 0, found, self._wall()

    def stats(self) -> Mapping[str, RuleStats]:
        """Return the counts of every rule."""
        with self._lock:
            return {name: replace(stats) for name, stats in self._stats.items()}

    def readings(self) -> Iterable[Reading]:
        """Return how the rules themselves are doing."""
        for name, stats in self.stats().items():
            yield Reading("rule_failing", stats.failing, {"failing_rule": name})
        for name, dropped in list(self._engine.dropped.items()):
            yield Reading("rule_dropped", dropped, {"full_rule": name})
