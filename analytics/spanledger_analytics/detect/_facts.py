"""What else happened when an incident began."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from spanledger_analytics.detect._anomaly import Planned
from spanledger_analytics.detect._cells import FACETS, Cells, Leaf
from spanledger_analytics.detect._incident import Incident

_BEFORE: Final = 240
"""Minutes that tell what was usual."""
_MOSTLY: Final = 0.5
_RARELY: Final = 0.1
_PLAN_SLACK: Final = 30


def what_changed(cells: Cells, chosen: Collection[Leaf], onset: int, end: int) -> dict[str, Any]:
    """Return the served model, prompt version or type of error that is new since a minute, by name.

    Something has changed if one value makes up most of the calls since, and hardly any before.
    """
    found: dict[str, Any] = {}
    here = {place for place, leaf in enumerate(cells.leaves) if leaf in chosen}
    before, since = _counts(cells, here, onset - _BEFORE, onset), _counts(cells, here, onset, end)
    for name in ("served", "prompt"):
        old, new = _most(before.get(name, {})), _most(since.get(name, {}))
        if not old or not new or old[0] == new[0] or new[1] < _MOSTLY:
            continue
        if before[name].get(new[0], 0) <= _RARELY * sum(before[name].values()):
            found[name] = [old[0], new[0]]
    errors = _most(since.get("error", {}))
    if errors:
        found["error"] = errors[0]
    return found


def _is_of(leaf: Leaf, dimensions: Mapping[str, str]) -> bool:
    return all(getattr(leaf, name, None) == value for name, value in dimensions.items())


def _counts(cells: Cells, here: set[int], start: int, end: int) -> dict[str, dict[str, int]]:
    facets = cells.facets.between(start, end)
    found: dict[str, dict[str, int]] = {}
    rows = zip(facets.leaf.tolist(), facets.kind.tolist(), facets.text, facets.calls.tolist(), strict=True)
    for leaf, kind, text, calls in rows:
        if leaf in here:
            by_text = found.setdefault(FACETS[kind], {})
            by_text[text] = by_text.get(text, 0) + calls
    return found


def _most(counts: dict[str, int]) -> tuple[str, float] | None:
    if not counts:
        return None
    text = min(counts, key=lambda one: (-counts[one], one))
    return text, counts[text] / sum(counts.values())


def plan_of(incident: Incident, planned: Sequence[Planned], calls: Mapping[Leaf, float]) -> str:
    """Return the label of the announced change that most calls of an incident belong to, if there is one."""
    total = sum(calls.values())
    for plan in planned:
        if not plan.start - _PLAN_SLACK <= incident.onset <= plan.end + _PLAN_SLACK:
            continue
        if plan.owner is not None and plan.owner != incident.owner:
            continue
        mine = sum(number for leaf, number in calls.items() if _is_of(leaf, plan.dimensions))
        if mine > _MOSTLY * total or (not total and not plan.dimensions):
            return plan.label
    return ""
