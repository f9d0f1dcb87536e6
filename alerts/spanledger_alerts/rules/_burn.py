"""How fast an error budget burns: the bad part of the calls, in multiples of what the objective allows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from spanledger_alerts.records import Finding
from spanledger_alerts.rules import _texts
from spanledger_alerts.rules._data import RuleData
from spanledger_alerts.rules._model import SEVERITIES, BurnPair, BurnRateRule, TenantOverride
from spanledger_alerts.rules._rows import Key, labels_of, windows_before
from spanledger_analytics.queries import Window
from spanledger_analytics.rule_metrics import MetricQuery

_WINDOWS_PER_QUERY: Final = 120


class _Bad(NamedTuple):
    share: float
    calls: int


def evaluate_burn(rule: BurnRateRule, data: RuleData, moments: Sequence[int], *, limit: int) -> list[list[Finding]]:
    """Return a finding for each set of labels with calls: it is active while both windows of some pair burn."""
    lengths = sorted({length for pair in rule.pairs for length in (pair.long, pair.short)})
    at_once = max(_WINDOWS_PER_QUERY // len(lengths), 1)
    found = []
    for first in range(0, len(moments), at_once):
        found += _some(rule, data, moments[first : first + at_once], lengths, limit)
    return found


def _some(
    rule: BurnRateRule, data: RuleData, moments: Sequence[int], lengths: list[int], limit: int
) -> list[list[Finding]]:
    query = MetricQuery(
        metric=rule.metric,
        windows=windows_before(moments, lengths),
        by=rule.by,
        where=rule.where,
        slow_ms=rule.slow_ms,
        across_tenants=rule.across_tenants,
        limit=limit,
    )
    groups: list[dict[Key, dict[int, _Bad]]] = [{} for _ in moments]
    for row in data.rule_metric(query).to_pylist():
        moment, length = divmod(row["place"], len(lengths))
        key = (row["owner"], *(row[name] for name in rule.by))
        groups[moment].setdefault(key, {})[lengths[length]] = _Bad(row["value"] or 0.0, row["volume"])
    return [
        [
            finding
            for key, bad in found.items()
            if (finding := _finding(rule, dict(zip(("owner", *rule.by), key, strict=True)), bad, moment)) is not None
        ]
        for moment, found in zip(moments, groups, strict=True)
    ]


def _finding(rule: BurnRateRule, row: Mapping[str, Any], bad: Mapping[int, _Bad], at_ns: int) -> Finding | None:
    labels = labels_of(row, rule.by)
    override = rule.override(labels.get("tenant") or row["owner"]) or TenantOverride(tenant="")
    objective = rule.objective if override.threshold is None else override.threshold
    burning = [pair for pair in rule.pairs if _burns(rule, pair, bad, objective)]
    if not override.enabled:
        return None
    worst = max(burning, key=lambda pair: (SEVERITIES.index(pair.severity), pair.factor), default=rule.pairs[0])
    burn = bad.get(worst.long, _Bad(0.0, 0)).share / (1 - objective)
    return Finding(
        rule=rule.name,
        owner=row["owner"],
        labels=labels,
        active=bool(burning),
        at_ns=at_ns,
        severity=override.severity or worst.severity,
        summary=(
            f"the error budget of {100 * objective:g} % burns {burn:.3g} times too fast "
            f"(> {worst.factor:g}) in {_texts.duration(worst.long)} and {_texts.duration(worst.short)}"
            f"{_texts.of(labels)}"
        ),
        value=burn,
        threshold=worst.factor,
        window=f"{_texts.duration(worst.long)}+{_texts.duration(worst.short)}",
        links=_texts.links(labels, Window(max(at_ns - worst.long, 0), at_ns)) if burning else {},
    )


def _burns(rule: BurnRateRule, pair: BurnPair, bad: Mapping[int, _Bad], objective: float) -> bool:
    long, short = bad.get(pair.long), bad.get(pair.short)
    if long is None or short is None:
        return False
    enough = long.calls >= rule.min_volume and long.share * long.calls >= rule.min_bad
    limit = pair.factor * (1 - objective)
    return enough and long.share > limit and short.share > limit
