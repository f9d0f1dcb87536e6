"""From the tables ``[rules.NAME]`` of the configuration to rules."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, Final, get_args

from spanledger_alerts.errors import RuleError
from spanledger_alerts.records import Severity
from spanledger_alerts.rules import _values as read
from spanledger_alerts.rules._defaults import DEFAULT_RULES
from spanledger_alerts.rules._model import (
    HOUR,
    AnomalyRule,
    AnyRule,
    BurnPair,
    BurnRateRule,
    Comparison,
    EventRule,
    Grouping,
    HealthRule,
    MetricRule,
    Missing,
    SilenceRule,
    TenantOverride,
)
from spanledger_analytics.errors import InvalidQueryError
from spanledger_analytics.queries import Window
from spanledger_analytics.rule_metrics import MetricQuery

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_KINDS: Final[Mapping[str, type[AnyRule]]] = {
    "metric": MetricRule,
    "burn_rate": BurnRateRule,
    "anomaly": AnomalyRule,
    "silence": SilenceRule,
    "health": HealthRule,
    "event": EventRule,
}
_GROUPING: Final = {"group_by": "by", "group_wait": "wait", "group_interval": "interval", "repeat_interval": "repeat"}
_SPELT: Final = {"for_": "for", "tenants": "tenant"}
_INNER: Final = ("name", "grouping")
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "metric": ("metric", "threshold"),
    "burn_rate": ("objective",),
    "health": ("reading", "threshold"),
}

Reader = Callable[[str, Any], Any]


def build_rules(
    tables: Mapping[str, Mapping[str, Any]], defaults: tuple[AnyRule, ...] = DEFAULT_RULES
) -> tuple[AnyRule, ...]:
    """Return the default rules with what the configuration changes, then its own.

    Args:
        tables: name to table, as in ``[rules.NAME]``.
        defaults: rules that hold without a table.

    Raises:
        RuleError: a table cannot be meant; the message says where and what can.
    """
    built = {rule.name: rule for rule in defaults}
    for name, table in tables.items():
        built[name] = _rule(name, table, built.get(name))
    return tuple(rule for rule in built.values() if rule.enabled)


def _rule(name: str, table: Mapping[str, Any], base: AnyRule | None) -> AnyRule:
    where = f"rules.{name}"
    if not _NAME.fullmatch(name) or not isinstance(table, Mapping):
        raise RuleError(f"{where}: write [rules.NAME] with a name of letters, digits, _ and -")
    kind = _kind(where, table, base)
    given = {key: value for key, value in table.items() if key != "kind"}
    names = {_SPELT.get(item.name, item.name): item.name for item in fields(_KINDS[kind]) if item.name not in _INNER}
    read.refuse_unknown(where, given, [*names, *_GROUPING, "kind"])
    values = {names[key]: _READERS[key](f"{where}.{key}", given[key]) for key in given if key in names}
    values |= _grouping(where, given, base)
    if base is not None:
        rule: AnyRule = replace(base, **values)
    else:
        missing = [key for key in _REQUIRED.get(kind, ()) if key not in values]
        if missing:
            raise RuleError(f"{where}: {missing[0]} is missing")
        rule = _KINDS[kind](name=name, **values)
    return _checked(where, rule)


def _kind(where: str, table: Mapping[str, Any], base: AnyRule | None) -> str:
    own = next((kind for kind, class_ in _KINDS.items() if type(base) is class_), "metric")
    kind: str = read.one_of(f"{where}.kind", table.get("kind", own), tuple(_KINDS))
    if base is not None and kind != own:
        raise RuleError(f"{where}: the built-in rule of that name is of the kind {own}; choose another name")
    return kind


def _grouping(where: str, table: Mapping[str, Any], base: AnyRule | None) -> dict[str, Any]:
    values = grouping_values(where, table)
    if not values:
        return {}
    known = base.grouping if base is not None and base.grouping is not None else Grouping()
    return {"grouping": replace(known, **values)}


def grouping_values(where: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a :class:`Grouping` that a table names."""
    readers: dict[str, Reader] = dict.fromkeys(_GROUPING, read.duration) | {"group_by": read.texts}
    return {inner: readers[key](f"{where}.{key}", table[key]) for key, inner in _GROUPING.items() if key in table}


def _checked(where: str, rule: AnyRule) -> AnyRule:
    if isinstance(rule, MetricRule | BurnRateRule):
        try:
            MetricQuery(metric=rule.metric, windows=(Window(),), by=rule.by, where=rule.where)
        except InvalidQueryError as error:
            raise RuleError(f"{where}: {error}") from error
    return rule


def _where(where: str, value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise RuleError(f'{where}: write {{ provider = "openai" }} or {{ model = ["a", "b"] }}')
    return {name: read.texts(f"{where}.{name}", wanted) for name, wanted in value.items()}


def _tables(where: str, value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise RuleError(f"{where}: a list of tables is wanted: write [[{where}]]")
    return list(value)


def _overrides(where: str, value: Any) -> tuple[TenantOverride, ...]:
    readers: dict[str, Reader] = {
        "name": read.text,
        "enabled": read.switch,
        "threshold": read.number,
        "min_volume": read.whole,
        "severity": read.severity,
    }
    found = []
    for table in _tables(where, value):
        read.refuse_unknown(where, table, readers)
        values = {key: readers[key](f"{where}.{key}", one) for key, one in table.items()}
        found.append(TenantOverride(tenant=values.pop("name", "") or read.text(f"{where}.name", ""), **values))
    return tuple(found)


def _pairs(where: str, value: Any) -> tuple[BurnPair, ...]:
    readers: dict[str, Reader] = {
        "factor": read.number,
        "long": read.window,
        "short": read.window,
        "severity": read.severity,
    }
    found = []
    for table in _tables(where, value):
        read.refuse_unknown(where, table, readers)
        if len(table) != len(readers) or read.number(where, table["factor"]) <= 0:
            raise RuleError(f'{where}: write {{ factor = 14.4, long = "1h", short = "5m", severity = "critical" }}')
        found.append(BurnPair(**{key: readers[key](f"{where}.{key}", one) for key, one in table.items()}))
    if not found:
        raise RuleError(f"{where}: at least one pair of windows is wanted")
    return tuple(found)


def _levels(where: str, value: Any) -> dict[str, Severity]:
    if not isinstance(value, Mapping):
        raise RuleError(f'{where}: write {{ 50 = "info", 80 = "warning", 100 = "critical" }}')
    return {str(threshold): read.severity(f"{where}.{threshold}", level) for threshold, level in value.items()}


def _every(where: str, value: Any) -> int:
    found = read.window(where, value)
    if found > HOUR:
        raise RuleError(f"{where}: {value!r} is longer than an hour")
    return found


_READERS: Final[Mapping[str, Reader]] = {
    "doc": read.text,
    "enabled": read.switch,
    "severity": read.severity,
    "for": read.duration,
    "keep_firing_for": read.duration,
    "missing": partial(read.one_of, kind=get_args(Missing)),
    "every": _every,
    "max_alerts": read.whole,
    "across_tenants": read.switch,
    "tenant": _overrides,
    "metric": read.text,
    "compare": partial(read.one_of, kind=get_args(Comparison)),
    "threshold": read.number,
    "window": read.window,
    "by": read.texts,
    "where": _where,
    "min_volume": read.whole,
    "scores": read.texts,
    "slow_ms": read.number,
    "min_coverage": read.share,
    "objective": read.share,
    "min_bad": read.whole,
    "pairs": _pairs,
    "min_severity": read.severity,
    "lookback": read.window,
    "kinds": read.texts,
    "factor": read.number,
    "baseline": read.window,
    "min_history": read.window,
    "reading": read.text,
    "levels": _levels,
}
