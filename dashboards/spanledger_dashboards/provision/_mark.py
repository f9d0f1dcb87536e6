"""Notes on things in Grafana: what was wanted when they were written, so that edits of users are seen.

A mark is the digest of what was wanted, and, where Grafana gives something else back than it was given (a secret, a
value it fills in), a dot and the digest of that.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Final

from spanledger_dashboards.provision._model import Action, Item, Json, Live

_DIGITS: Final = 12


def digest(content: Json) -> str:
    """Return the digest of the canonical JSON: sorted keys, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def mark(item: Item, stored: Json | None = None) -> str:
    """Return the mark of something wanted, and of what Grafana made of it if that is known."""
    wanted = digest(item.content | {"secrets sent": item.secrets} if item.secrets else item.content)
    found = digest(item.content if stored is None else stored)
    return wanted if wanted == found else f"{wanted}.{found}"


def decide(item: Item, live: Live | None) -> tuple[Action, str]:
    """Return what is to be done with something wanted, and why."""
    if live is None:
        return "create", ""
    if live.mark is None:
        return (
            ("unchanged", "") if live.content == item.content else ("edited", _difference(item.content, live.content))
        )
    if not live.mark:
        return "foreign", "it was not made by this command"
    if is_edited(live):
        return "edited", _difference(item.content, live.content)
    same = live.mark.partition(".")[0] == mark(item).partition(".")[0]
    return ("unchanged", "") if same else ("update", _difference(item.content, live.content) or "the secret")


def is_edited(live: Live) -> bool:
    """Whether somebody changed it since it was written."""
    wanted, _, stored = (live.mark or "").partition(".")
    return digest(live.content) != (stored or wanted)


def _difference(wanted: Json, live: Json) -> str:
    """Name the parts that differ: of boards their panels, by title."""
    flat_wanted, flat_live = dict(_leaves(wanted)), dict(_leaves(live))
    names = sorted(
        name
        for name in flat_wanted.keys() | flat_live.keys()
        if flat_wanted.get(name, _MISSING) != flat_live.get(name, _MISSING)
    )
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


_NAMED: Final = 3
_MISSING: Final = object()


def _leaves(content: Json, name: str = "") -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        if key == "panels" and isinstance(value, list):
            yield from ((f"panel {panel.get('title')!r}", panel) for panel in value)
        elif isinstance(value, dict) and value:
            yield from _leaves(value, f"{name}{key}.")
        else:
            yield name.removeprefix("dashboard.") + key, value
