"""What the detector remembers: arrays by leaf and by series, and the incidents that are not over."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from io import BytesIO
from typing import Any, Final

import numpy as np

from spanledger_analytics.detect._cells import Ints, Leaf, Reals
from spanledger_analytics.detect._metrics import METRICS
from spanledger_analytics.detect._series import LEVELS, Grouping, extended, grown

VERSION: Final = 2
WINDOWS: Final = (1, 3, 12, 60, 240)
"""Minutes."""
DRIFT: Final = 12
"""Hours."""
SPREADS: Final = (12, 60, 60 * DRIFT)
"""Minutes over which the variance between windows is learned."""
RESTLESS: Final = ("input_tokens", "output_tokens")
"""Metrics that some change again and again by themselves: who does is known for it, alarm or not."""
FRESH: Final = 2
"""Half days that what was seen of the restless waits for: what begins now does not excuse itself."""
PROFILE: Final = 168
DAY: Final = 48
"""Hours of a working day and of a day of the weekend."""
BUCKETS: Final = 80
BUCKET: Final = 0.2
"""Width of a bucket of scores."""
_M: Final = len(METRICS)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class State:
    """Everything learned up to :attr:`until`. Never changed in place."""

    until: int = 0
    """First minute that is not learned yet; a full hour. 0 in a new state."""
    since: int = 0
    """First minute ever learned."""
    leaves: tuple[Leaf, ...] = ()
    born: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """The hour in which each leaf was first seen."""
    base: Reals = field(default_factory=lambda: np.zeros((_M, 3, 0)))
    """By metric and leaf: decayed numerator, denominator and squares."""
    shadow: Reals = field(default_factory=lambda: np.zeros((_M, 3, 0)))
    """The same of what came since an alarm froze the base."""
    profile: Reals = field(default_factory=lambda: np.zeros((PROFILE, 0)))
    """Mean calls by hour of the week and leaf."""
    day: Reals = field(default_factory=lambda: np.zeros((DAY, 0)))
    seen: Reals = field(default_factory=lambda: np.zeros(PROFILE + DAY))
    """How often each hour of the week, and of the two kinds of day, was learned."""
    recent: Reals = field(default_factory=lambda: np.zeros((2, 0)))
    """Decayed calls, and calls that the profile expected, by leaf."""
    prices: Reals = field(default_factory=lambda: np.zeros((20, 0)))
    """Normal equations of cost by tokens, by (provider, model), in order of the leaves."""
    prices_aside: Reals = field(default_factory=lambda: np.zeros((20, 0)))
    """The same of what came since an alarm froze them."""
    spread: Reals = field(default_factory=lambda: np.zeros((_M, len(SPREADS), 3, 0)))
    """By metric, window and series: decayed excess of squares, weight, and number of windows."""
    fresh: Reals = field(default_factory=lambda: np.zeros((FRESH, len(RESTLESS), len(SPREADS) - 1, 3, 0)))
    """What comes to the spreads of restless metrics, without the shortest window, by half day, the newest last."""
    silence: Reals = field(default_factory=lambda: np.zeros((3, 0)))
    """By series: how unlikely its silences were (the largest score, fading), hours watched, the silence that lasts."""
    hours: Reals = field(default_factory=lambda: np.zeros((DRIFT, _M, 4, 0)))
    """X, E, V, N of the last hours by series."""
    scores: Reals = field(default_factory=lambda: np.zeros((_M, len(LEVELS), len(WINDOWS) + 1, BUCKETS)))
    """Histograms of absolute scores: the past that p-values are ranks in."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Open incidents and names seen, as JSON."""

    def with_leaves(self, found: tuple[Leaf, ...]) -> "State":
        """Return the state with room for leaves that are new."""
        leaves = extended(self.leaves, found)
        if len(leaves) == len(self.leaves):
            return self
        places = np.array([*range(len(self.leaves)), *([-1] * (len(leaves) - len(self.leaves)))], np.int64)
        carried = Grouping(leaves).carried(Grouping(self.leaves))
        models = carried_models(leaves, self.leaves)
        by_leaf: dict[str, Any] = {
            name: grown(getattr(self, name), places) for name in ("base", "shadow", "profile", "day", "recent")
        }
        by_series: dict[str, Any] = {
            name: grown(getattr(self, name), carried) for name in ("spread", "fresh", "silence", "hours")
        }
        return replace(
            self,
            leaves=leaves,
            born=np.concatenate([self.born, np.full(len(leaves) - len(self.leaves), -1, np.int64)]),
            prices=grown(self.prices, models),
            prices_aside=grown(self.prices_aside, models),
            **by_leaf,
            **by_series,
        )

    def dump(self) -> bytes:
        """Return the state as an ``npz`` archive without pickles; equal states give equal bytes."""
        arrays = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _PLAIN}
        plain = {"version": VERSION} | {name: getattr(self, name) for name in _PLAIN}
        text = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
        target = BytesIO()
        np.savez_compressed(target, allow_pickle=False, plain=np.frombuffer(text, np.uint8), **arrays)
        return target.getvalue()

    @classmethod
    def load(cls, data: bytes) -> "State":
        """Read what :meth:`dump` wrote.

        Raises:
            ValueError: it is of another version, or no state at all.
        """
        with np.load(BytesIO(data), allow_pickle=False) as archive:
            plain = json.loads(archive["plain"].tobytes())
            if plain.pop("version") != VERSION:
                raise ValueError("the state of the detector is of another version")
            arrays = {name: archive[name] for name in archive.files if name != "plain"}
        plain["leaves"] = tuple(Leaf(*leaf) for leaf in plain["leaves"])
        return cls(**plain, **arrays)


_PLAIN: Final = ("until", "since", "leaves", "notes")


def model_numbers(leaves: tuple[Leaf, ...]) -> tuple[Ints, list[tuple[str, str]]]:
    """Return each leaf's number of (provider, model), and those in order of first appearance."""
    seen: dict[tuple[str, str], int] = {}
    numbers = [seen.setdefault((leaf.provider, leaf.model), len(seen)) for leaf in leaves]
    return np.array(numbers, np.int64), list(seen)


def carried_models(leaves: tuple[Leaf, ...], older: tuple[Leaf, ...]) -> Ints:
    """Return the old number of each (provider, model), -1 for a new one."""
    old = {name: place for place, name in enumerate(model_numbers(older)[1])}
    return np.array([old.get(name, -1) for name in model_numbers(leaves)[1]], np.int64)
