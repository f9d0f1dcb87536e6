"""What a replay asks again and again, read once: windows that overlap are sums of the same short stretches of time."""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from spanledger_alerts.rules import BurnRateRule, Reading, RuleData
from spanledger_analytics.queries import Window
from spanledger_analytics.rule_metrics import (
    MAX_GROUPS,
    MAX_WINDOWS,
    AnomalyQuery,
    MetricQuery,
    SilenceQuery,
    metric_shape,
)

_SHORTEST_NS: Final = 10 * 10**9
_MOST_SUMS: Final = 30_000_000
"""Stretches times groups that are kept, 16 bytes each."""

_Rows: TypeAlias = list[tuple[int, tuple[str, ...], int, int]]


def read_once(rule: BurnRateRule, data: RuleData, moments: range) -> RuleData:
    """Return data that answer the rule at these moments out of sums, where that comes to the same."""
    lengths = [length for pair in rule.pairs for length in (pair.long, pair.short)]
    grain = math.gcd(moments.step, *lengths)
    first, last = moments[0] - max(lengths), moments[-1]
    if grain < _SHORTEST_NS or first < 0:
        return data
    return _Summed(data, first, grain, (last - first) // grain)


class _Summed:
    """Answers for shares of calls: of each stretch the bad calls and all, by group, added up from the first on.

    Args:
        data: answers what is not a share of calls, and the sums once.
        first: where the first stretch begins (ns).
        grain: length of a stretch (ns).
        number: of stretches.
    """

    def __init__(self, data: RuleData, first: int, grain: int, number: int) -> None:
        self._data = data
        self._first = first
        self._grain = grain
        self._number = number
        self._groups: list[tuple[str, ...]] | None = None
        self._sums = np.zeros((0, 0, 2), np.int64)
        self._too_many = False

    def rule_silence(self, query: SilenceQuery) -> pa.Table:
        return self._data.rule_silence(query)

    def rule_anomalies(self, query: AnomalyQuery) -> pa.Table:
        return self._data.rule_anomalies(query)

    def readings(self) -> Iterable[Reading]:
        return self._data.readings()

    def rule_metric(self, query: MetricQuery) -> pa.Table:
        if self._groups is None and not self._too_many:
            self._read(query)
        if self._groups is None:
            return self._data.rule_metric(query)
        rows = [row for place, window in enumerate(query.windows) for row in self._window(place, window, query.limit)]
        shape = metric_shape(query.by)
        columns = list(zip(*rows, strict=True)) or [()] * len(shape)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, shape, strict=True)]
        return pa.Table.from_arrays(arrays, schema=shape)

    def _window(self, place: int, window: Window, limit: int) -> Iterable[tuple[Any, ...]]:
        groups = self._groups or []
        first, last = ((edge - self._first) // self._grain for edge in (window.from_ns, window.to_ns))
        sums = self._sums[last] - self._sums[first]
        found = np.nonzero(sums[:, 1])[0].tolist()
        if len(found) > limit:
            found = sorted(found, key=lambda group: (-sums[group, 1], groups[group]))[:limit]
        for group in found:
            bad, volume = sums[group].tolist()
            yield place, *groups[group], bad / volume, volume

    def _read(self, query: MetricQuery) -> None:
        rows = self._rows(query)
        places = {group: place for place, group in enumerate(sorted({row[1] for row in rows}))}
        if self._too_many or len(places) * (self._number + 1) > _MOST_SUMS:
            self._too_many = True
            return
        sums = np.zeros((self._number + 1, len(places), 2), np.int64)
        for stretch, group, bad, volume in rows:
            sums[stretch + 1, places[group]] = bad, volume
        self._sums = sums.cumsum(axis=0)
        self._groups = list(places)

    def _rows(self, query: MetricQuery) -> _Rows:
        rows: _Rows = []
        for start in range(0, self._number, MAX_WINDOWS):
            edges = [self._first + n * self._grain for n in range(start, min(start + MAX_WINDOWS, self._number) + 1)]
            windows = tuple(Window(low, high) for low, high in pairwise(edges))
            found = self._data.rule_metric(replace(query, windows=windows, limit=MAX_GROUPS))
            self._too_many = self._too_many or found.num_rows >= MAX_GROUPS
            columns = found.to_pydict()
            groups = zip(*(columns[name] for name in ("owner", *query.by)), strict=True)
            for place, group, value, volume in zip(
                columns["place"], groups, columns["value"], columns["volume"], strict=True
            ):
                rows.append((start + place, group, round((value or 0.0) * volume), volume))
        return rows
