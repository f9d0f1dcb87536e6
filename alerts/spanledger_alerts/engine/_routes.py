"""Who is told what: the first route that matches, and on while a route says so."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from spanledger_alerts.engine._states import label_set
from spanledger_alerts.errors import MatcherError, RuleError
from spanledger_alerts.matchers import Matcher, match_all, parse_all
from spanledger_alerts.records import Finding
from spanledger_alerts.rules import Grouping, grouping_values, refuse_unknown

_ROUTE_KEYS: Final = (
    "match",
    "receivers",
    "continue",
    "group_by",
    "group_wait",
    "group_interval",
    "repeat_interval",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Alerts that match go to these receivers."""

    match: tuple[Matcher, ...] = ()
    receivers: tuple[str, ...] = ()
    continues: bool = False
    """Whether later routes are looked at, too."""
    grouping: Mapping[str, Any] | None = None
    """Members of :class:`Grouping` that differ for this route."""


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver of an alert, and the group in which it gets it."""

    receiver: str
    key: str
    labels: Mapping[str, str]
    grouping: Grouping


class Routes:
    """The routes in order; the last one, for everything, leads to the default receivers.

    Args:
        routes: as configured.
        default: receivers of what no route matches, or what every matching route continues.
        grouping: as for all.
    """

    def __init__(
        self, routes: Sequence[Route] = (), default: Sequence[str] = (), grouping: Grouping | None = None
    ) -> None:
        self._routes = (*routes, Route(receivers=tuple(default)))
        self._grouping = grouping or Grouping()

    def targets(self, finding: Finding, grouping: Grouping | None) -> Iterator[Target]:
        """Yield who is told of a finding, each receiver once.

        Messages never mix the data of owners, whatever they are grouped by.
        """
        labels = label_set(finding)
        seen: set[str] = set()
        for place, route in self._matching(labels):
            how = replace(grouping or self._grouping, **(route.grouping or {}))
            shared = {name: labels[name] for name in how.by if name in labels}
            said = ", ".join(f'{name}="{value}"' for name, value in sorted(shared.items()))
            key = f"{place}:{finding.owner}:{{{said}}}"
            for receiver in route.receivers:
                if receiver not in seen:
                    seen.add(receiver)
                    yield Target(receiver, key, shared, how)

    def _matching(self, labels: Mapping[str, str]) -> Iterator[tuple[int, Route]]:
        for place, route in enumerate(self._routes):
            if match_all(route.match, labels):
                yield place, route
                if not route.continues:
                    return


def build_routes(
    tables: Sequence[Mapping[str, Any]], default: Sequence[str], receivers: Collection[str], grouping: Grouping
) -> Routes:
    """Read the routes of the configuration.

    Args:
        tables: ``[[routes.route]]``.
        default: names of receivers; empty is all of them.
        receivers: the names that exist.
        grouping: as for all.

    Raises:
        RuleError: a route cannot be meant, or names a receiver that does not exist.
    """
    routes = [_route(f"routes.route {number}", table, receivers) for number, table in enumerate(tables, 1)]
    _refuse_unknown_receivers("routes.default", default, receivers)
    return Routes(routes, default or sorted(receivers), grouping)


def _route(where: str, table: Mapping[str, Any], receivers: Collection[str]) -> Route:
    refuse_unknown(where, table, _ROUTE_KEYS)
    names = table.get("receivers", [])
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise RuleError(f'{where}.receivers: write a list of names, ["ops"]; [] is nobody')
    _refuse_unknown_receivers(f"{where}.receivers", names, receivers)
    continues = table.get("continue", False)
    if not isinstance(continues, bool):
        raise RuleError(f"{where}.continue: {continues!r} is neither true nor false")
    return Route(
        match=read_matchers(f"{where}.match", table.get("match", [])),
        receivers=tuple(names),
        continues=continues,
        grouping=grouping_values(where, table),
    )


def _refuse_unknown_receivers(where: str, names: Sequence[str], receivers: Collection[str]) -> None:
    for name in names:
        if name not in receivers:
            known = ", ".join(sorted(receivers)) or "none: add [receivers.NAME]"
            raise RuleError(f"{where}: there is no receiver {name!r}; there is {known}")


def read_matchers(where: str, texts: Any) -> tuple[Matcher, ...]:
    """Read a list of matchers of the configuration.

    Raises:
        RuleError: it is none.
    """
    listed = [texts] if isinstance(texts, str) else texts
    if not isinstance(listed, list | tuple) or not all(isinstance(text, str) for text in listed):
        raise RuleError(f"{where}: write a list of matchers: ['severity=\"critical\"', 'tenant=~\"acme|globex\"']")
    try:
        return parse_all(listed)
    except MatcherError as error:
        raise RuleError(f"{where}: {error}") from error
