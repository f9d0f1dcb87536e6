"""How fast the detector is: points per second while it learns, and one look over 10,000 series."""

import time
from typing import Final

import numpy as np

from spanledger_analytics.detect import AT, MEASURES, Cells, Facets, Grouping, Leaf, LedgerDetector, Window

_START: Final = 29_500_000 // 60 * 60


def speed(series: int = 10_000) -> dict[str, float]:
    """Return the figures, in CPU seconds of one core."""
    cells = _cells(series, minutes=36 * 60)
    detector = LedgerDetector()
    began = time.process_time()
    state = detector.fit(Window(cells, _START + 35 * 60))
    learned = time.process_time() - began
    watched = len(Grouping(state.leaves).series)
    ticks = []
    for minute in range(35 * 60 + 1, 35 * 60 + 11):
        began = time.process_time()
        detector.detect(Window(cells.between(_START + minute - 241, _START + minute), _START + minute), state)
        ticks.append(time.process_time() - began)
    return {
        "series": watched,
        "series-points per second, learning": round(watched * 35 * 60 / learned),
        "tick seconds, median": round(float(np.median(ticks)), 3),
        "tick seconds, worst": round(max(ticks), 3),
        "state bytes per series": round(len(state.dump()) / watched),
    }


def _cells(series: int, minutes: int) -> Cells:
    """Return calls of so many tenants and models that there are about as many series as asked for."""
    rng = np.random.default_rng(1)
    tenants = max(series // 9, 1)
    leaves = tuple(
        sorted(
            Leaf(
                "",
                f"t{tenant}",
                f"m{tenant % 30 + model}",
                f"p{(tenant % 30 + model) % 5}",
                f"u{(tenant + model) % 12}",
                "eu",
            )
            for tenant in range(tenants)
            for model in range(4)
        )
    )
    count = len(leaves)
    there = rng.random((minutes, count)) < 0.5
    minute, leaf = np.nonzero(there)
    values = np.zeros((len(minute), len(MEASURES)), np.int64)
    calls = rng.poisson(3, len(minute)) + 1
    for name in ("calls", "answers", "timed", "first_tokens", "priced"):
        values[:, AT[name]] = calls
    for name, mean in (("log_input", 7000), ("log_output", 5300), ("log_time", 3000), ("log_first", 6000)):
        spread = rng.normal(0, 500, len(minute))
        values[:, AT[name]] = calls * mean + np.rint(spread * np.sqrt(calls)).astype(np.int64)
        values[:, AT[f"{name}_2"]] = calls * (mean**2 + 250_000)
    values[:, AT["errors"]] = rng.binomial(calls, 0.01)
    values[:, AT["cache_hits"]] = rng.binomial(calls, 0.5)
    for name, tokens in (("priced_plain", 1000), ("priced_output", 200)):
        values[:, AT[name]] = calls * tokens
    values[:, AT["cost"]] = calls * (1000 * 2500 + 200 * 10_000)
    return Cells(leaves, minute.astype(np.int64) + _START, leaf.astype(np.int64), values, Facets.empty())
