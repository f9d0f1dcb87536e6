"""What was never seen before: providers, models, finish reasons, prompt versions, and models behind a name."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

from spanledger_analytics.detect._anomaly import Anomaly
from spanledger_analytics.detect._cells import FACETS, MINUTE_NS, Cells
from spanledger_analytics.detect._state import State
from spanledger_analytics.detect._wording import moment

_QUIET_HOURS: Final = 72
"""In the first days everything is new."""
_MOST: Final = 2000
"""Names remembered per kind: who makes up names all the time is not news."""
_KEPT: Final = 50
_WORDS: Final = {
    "provider": "Provider {0} was called for the first time",
    "model": "Model {1} of {0} was called for the first time",
    "served": "{1} of {0} was answered by {2} for the first time",
    "finish": "An answer of {1} of {0} ended with {2} for the first time",
    "prompt": "{0} sent prompt {2} in {1} for the first time",
}


def noticed(state: State, cells: Cells, start: int, end: int) -> dict[str, Any]:
    """Return the notes on names after the minutes ``[start, end)``."""
    seen = {kind: set(map(tuple, names)) for kind, names in state.notes.get("seen", {}).items()}
    news = list(state.notes.get("news", ()))
    quiet = not state.since or start - state.since < _QUIET_HOURS * 60
    for kind, name, minute in _names(cells.between(start, end)):
        known = seen.setdefault(kind, set())
        if name in known or len(known) >= _MOST:
            continue
        known.add(name)
        if not quiet:
            news.append([kind, list(name), minute])
    return {"seen": {kind: sorted(map(list, names)) for kind, names in sorted(seen.items())}, "news": news[-_KEPT:]}


def _names(cells: Cells) -> Iterator[tuple[str, tuple[str, ...], int]]:
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    for place, minute in zip(cells.leaf.tolist(), cells.minute.tolist(), strict=True):
        leaf = cells.leaves[place]
        first.setdefault(("provider", (leaf.provider,)), minute)
        first.setdefault(("model", (leaf.provider, leaf.model)), minute)
    facets = cells.facets
    rows = zip(facets.leaf.tolist(), facets.kind.tolist(), facets.text, facets.minute.tolist(), strict=True)
    for place, kind, text, minute in rows:
        leaf, name = cells.leaves[place], FACETS[kind]
        if name in ("served", "finish"):
            first.setdefault((name, (leaf.provider, leaf.model, text)), minute)
        elif name == "prompt":
            first.setdefault((name, (leaf.tenant, leaf.use_case, text)), minute)
    for (kind, names), minute in sorted(first.items(), key=lambda item: (item[1], item[0])):
        yield kind, names, minute


def news_of(state: State, since: int) -> list[Anomaly]:
    """Return what was new from a minute on."""
    return [_news(kind, tuple(name), minute) for kind, name, minute in state.notes.get("news", ()) if minute >= since]


def _news(kind: str, name: tuple[str, ...], minute: int) -> Anomaly:
    keys = ("tenant", "use_case", "prompt") if kind == "prompt" else ("provider", "model", kind)
    text = _WORDS[kind].format(*name)
    named = "served_model_changed" if kind == "served" else f"first_{kind}"
    return Anomaly(
        id=blake2b("\x1f".join((kind, *name)).encode(), digest_size=8).hexdigest(),
        owner="",
        tenant=name[0] if kind == "prompt" else None,
        kind=named,
        metric="names",
        dimensions=dict(zip(keys, name, strict=False)),
        started_ns=minute * MINUTE_NS,
        detected_ns=(minute + 1) * MINUTE_NS,
        ended_ns=(minute + 1) * MINUTE_NS,
        severity="info",
        status="ended",
        summary=f"{text}, at {moment(minute)}",
        cause="it is new",
    )
