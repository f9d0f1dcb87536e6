"""Which leaves are watched together: the levels of aggregation, and fast sums over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spanledger_analytics.detect._cells import Ints, Leaf, Reals

LEVELS: Final[dict[str, tuple[str, ...]]] = {
    "all": (),
    "provider": ("provider",),
    "model": ("provider", "model"),
    "use_case": ("use_case",),
    "region": ("region",),
    "tenant": ("owner", "tenant"),
    "tenant_model": ("owner", "tenant", "provider", "model"),
    "tenant_use_case": ("owner", "tenant", "use_case"),
}
"""The dimensions that leaves of one series have in common."""
LEVEL_NAMES: Final = tuple(LEVELS)


class Series(NamedTuple):
    """Leaves that have the values of a level's dimensions."""

    level: str
    values: tuple[str, ...]

    @property
    def dimensions(self) -> dict[str, str]:
        """Dimension -> value, without the owner."""
        named = zip(LEVELS[self.level], self.values, strict=True)
        return {name: value for name, value in named if name != "owner"}


@dataclass(frozen=True, eq=False)
class Grouping:
    """All series over some leaves, in an order that only grows when leaves are added behind."""

    leaves: tuple[Leaf, ...]

    @cached_property
    def _built(self) -> tuple[tuple[Series, ...], Ints, Ints, Ints]:
        series: list[Series] = []
        levels: list[int] = []
        order: list[Ints] = []
        sizes: list[int] = []
        for number, (level, names) in enumerate(LEVELS.items()):
            found: dict[tuple[str, ...], list[int]] = {}
            for place, leaf in enumerate(self.leaves):
                found.setdefault(tuple(getattr(leaf, name) for name in names), []).append(place)
            for values, places in found.items():
                series.append(Series(level, values))
                levels.append(number)
                order.append(np.array(places, np.int64))
                sizes.append(len(places))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64) if sizes else np.empty(0, np.int64)
        joined = np.concatenate(order) if order else np.empty(0, np.int64)
        return tuple(series), np.array(levels, np.int64), joined, starts

    @property
    def series(self) -> tuple[Series, ...]:
        """Every series, level by level."""
        return self._built[0]

    @property
    def level(self) -> Ints:
        """Of each series, its position in :data:`LEVEL_NAMES`."""
        return self._built[1]

    @cached_property
    def names_at_level(self) -> Ints:
        """How many series each series' level has."""
        return np.bincount(self.level, minlength=len(LEVELS))[self.level]

    @cached_property
    def place(self) -> dict[Series, int]:
        """Series -> its number."""
        return {series: number for number, series in enumerate(self.series)}

    def members(self, number: int) -> Ints:
        """Return the leaves of a series."""
        _, _, joined, starts = self._built
        end = starts[number + 1] if number + 1 < len(starts) else len(joined)
        return joined[starts[number] : end]

    def sums(self, by_leaf: Reals, levels: tuple[str, ...] = ()) -> Reals:
        """Add up the rows (one per leaf) of each series; of some levels, zero for the rest."""
        _, _, joined, starts = self._built
        if not len(starts):
            return np.zeros((0, *by_leaf.shape[1:]))
        if not levels:
            return np.add.reduceat(by_leaf[joined], starts, axis=0)
        result = np.zeros((len(starts), *by_leaf.shape[1:]))
        for level in levels:
            mine = np.flatnonzero(self.level == LEVEL_NAMES.index(level))
            low, high = starts[mine[0]], starts[mine[-1] + 1] if mine[-1] + 1 < len(starts) else len(joined)
            result[mine] = np.add.reduceat(by_leaf[joined[low:high]], starts[mine] - low, axis=0)
        return result

    def carried(self, older: "Grouping") -> Ints:
        """Return for each series its number in an older grouping, -1 for a new one."""
        return np.array([older.place.get(series, -1) for series in self.series], np.int64)


def extended(known: Sequence[Leaf], found: Sequence[Leaf]) -> tuple[Leaf, ...]:
    """Return the known leaves, then the new ones in sorted order."""
    old = set(known)
    return (*known, *sorted(leaf for leaf in set(found) if leaf not in old))


def grown(array: NDArray[np.float64], places: Ints, fill: float = 0.0) -> Reals:
    """Reorder the last axis: ``places`` names the old position of each entry, or -1 for a new one."""
    result = np.full((*array.shape[:-1], len(places)), fill)
    result[..., places >= 0] = array[..., places[places >= 0]]
    return result
