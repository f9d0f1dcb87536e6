"""Learning one closed hour: slow means, profiles, token prices, variances between windows, and the past of scores."""

from dataclasses import replace
from typing import Any, Final

import numpy as np

from spanledger_analytics.detect._cells import AT, Flags, Ints, Reals
from spanledger_analytics.detect._expect import TOKENS, Dense, Expectation, hour_of_day, hour_of_week
from spanledger_analytics.detect._metrics import LEAST_EXPECTED, METRICS, NUMBER, Metric, Sums
from spanledger_analytics.detect._score import Scorer, spread_place
from spanledger_analytics.detect._series import LEVEL_NAMES, Grouping
from spanledger_analytics.detect._state import BUCKET, BUCKETS, DRIFT, PROFILE, RESTLESS, SPREADS, State, model_numbers

_CLIP: Final = 3.0
_YOUNG_CALLS: Final = 200.0
_SPREAD_HALF_LIFE: Final = 168.0
_SCORES_HALF_LIFE: Final = 672.0
_RECENT_HALF_LIFE: Final = 6.0
_PRICE_HALF_LIFE: Final = 120.0
_WEEK_ALPHA: Final = 0.3
_DAY_ALPHA: Final = 0.2
_RESTLESS_MOST: Final = 0.3
"""Most that one window says about how much these vary, a squared logarithm."""
_SILENCE_HALF_LIFE: Final = 336.0
_ALARMED_SHARE: Final = 0.8
"""A silence that was told counts less: the next one like it is told again."""
_LARGEST_JUMP: Final = 1.5
"""Most that one hour's calls move a profile, as a logarithm."""
_PRICES_MINUTES: Final = 12 * 60
_SCORED_EVERY: Final = 10
"""Minutes: neighbours tell the past nothing new."""


def learn(scorer: Scorer, frozen: Flags, histograms: Reals) -> State:
    """Return the state after an hour.

    Args:
        scorer: has judged the whole hour.
        frozen: by metric and leaf: what is in an alarm.
        histograms: scores of the hour, to be added to the past.
    """
    state, hour = scorer.state, scorer.start // 60
    dense = Dense.of(scorer.cells, state, scorer.start, scorer.end)
    calls = dense.measure("calls").sum(axis=1)
    decay = 0.5 ** (1 / _SCORES_HALF_LIFE)
    means = _means(scorer, dense, frozen)
    return replace(
        state,
        until=scorer.end,
        since=state.since or scorer.start,
        born=np.where((state.born < 0) & (calls > 0), hour, state.born),
        scores=state.scores * decay + histograms,
        **means,
        **_volumes(scorer.expectation, calls, hour, frozen[NUMBER["requests"]]),
        **_prices(scorer, dense, frozen[NUMBER["unit_price"]]),
        **_spreads(scorer, frozen),
        silence=_silence(scorer, frozen[NUMBER["requests"]]),
    )


def _silence(scorer: Scorer, frozen: Flags) -> Reals:
    """Remember how long series fall silent by themselves: who did it before may do it again."""
    number = NUMBER["requests"]
    record, watched, lasting = scorer.state.silence * np.array([[0.5 ** (1 / _SILENCE_HALF_LIFE)], [1.0], [1.0]])
    alarmed = scorer.grouping.sums(frozen.astype(np.float64)) > 0
    silent_now = scorer.windows(number, METRICS[number].windows[1]).x[:, -1] == 0
    for window in METRICS[number].windows:
        sums = scorer.windows(number, window)
        tau2 = scorer.tau2[number, spread_place(window)][:, None]
        silent = (sums.x == 0) & (sums.e >= LEAST_EXPECTED / 2)
        score = np.where(silent, -sums.z(METRICS[number], tau2), 0.0).max(axis=1)
        lasting = np.maximum(lasting, np.where(alarmed, _ALARMED_SHARE, 1.0) * score)
    # A silence that goes on does not excuse itself: it is remembered when it is over.
    record = np.where(silent_now, record, np.maximum(record, lasting))
    expected = scorer.windows(number, 60).e[:, -1] > 0
    return np.stack([record, watched + expected, np.where(silent_now, lasting, 0.0)])


def _means(scorer: Scorer, dense: Dense, frozen: Flags) -> dict[str, Any]:
    base, shadow = scorer.state.base.copy(), scorer.state.shadow.copy()
    for number, metric in enumerate(METRICS):
        if metric.kind == "count":
            continue
        top, below, squares = _of_hour(scorer, dense, metric)
        held = frozen[number]
        used = _clipped(scorer, number, top, below)
        decay = np.where(held, 1.0, 0.5 ** (1 / metric.half_life))
        came = np.stack([used, below, squares])
        base[number] = base[number] * decay + np.where(held, 0.0, came)
        shadow[number] = np.where(held, shadow[number] + np.stack([top, below, squares]), 0.0)
    return {"base": base, "shadow": shadow}


def _of_hour(scorer: Scorer, dense: Dense, metric: Metric) -> tuple[Reals, Reals, Reals]:
    top = dense.measure(metric.top).sum(axis=1)
    if metric.kind == "price":
        # Before the prices of tokens are known, an index of prices is none.
        known = float(scorer.start - (scorer.state.since or scorer.start) >= _PRICES_MINUTES)
        return top * known, scorer.expectation.predicted(dense).sum(axis=1) * known, np.zeros_like(top)
    below = dense.measure(metric.below).sum(axis=1)
    squares = dense.measure(metric.squares).sum(axis=1) if metric.squares else np.zeros_like(top)
    return top, below, squares


def _clipped(scorer: Scorer, number: int, top: Reals, below: Reals) -> Reals:
    """Limit what a leaf can teach in one hour, once it is known."""
    metric = METRICS[number]
    rate = scorer.expectation.rates[number]
    expected = below * rate
    if metric.kind == "mean":
        room = np.sqrt(scorer.expectation.variances[number] * below)
        room = room + below * 1000 * np.sqrt(metric.tau2 * 4)
    elif metric.kind == "price":
        room = 0.1 * expected
    else:
        room = np.sqrt(expected * (1 - np.minimum(rate, 1)) + 1) + expected * np.sqrt(metric.tau2)
    limited = np.clip(top, expected - _CLIP * room, expected + _CLIP * room)
    known = scorer.state.base[NUMBER["input_tokens"], 1] >= _YOUNG_CALLS
    return np.where(known, limited, top)


def _volumes(expectation: Expectation, calls: Reals, hour: int, frozen: Flags) -> dict[str, Any]:
    state = expectation.state
    slot, kind = int(hour_of_week(np.array(hour))), int(hour_of_day(np.array(hour)))
    means, known = expectation.hourly(np.array([hour]))
    used = calls
    if known[0]:
        expected = means[:, 0]
        jump = np.exp(_LARGEST_JUMP)
        used = np.where(frozen, expected, np.clip(calls, (expected + 1) / jump - 1, (expected + 1) * jump))
    age = np.maximum(hour - np.where(state.born < 0, hour, state.born), 0)
    profile, day, seen = state.profile.copy(), state.day.copy(), state.seen.copy()
    week_alpha = np.maximum(1 / (age // 168 + 1), _WEEK_ALPHA)
    profile[slot] += week_alpha * (used - profile[slot])
    share = 5 / 7 if kind < 24 else 2 / 7
    day_alpha = np.maximum(1 / (age * share // 24 + 1), _DAY_ALPHA)
    day[kind] += day_alpha * (used - day[kind])
    seen[slot] += 1
    seen[PROFILE + kind] += 1
    decay = 0.5 ** (1 / _RECENT_HALF_LIFE)
    plain = _by_profile(expectation, hour) if known[0] else np.zeros_like(calls)
    came = np.where(frozen, plain, used) if known[0] else np.zeros_like(calls)
    recent = state.recent * decay + np.stack([came, plain])
    return {"profile": profile, "day": day, "seen": seen, "recent": recent}


def _by_profile(expectation: Expectation, hour: int) -> Reals:
    """Return the calls that the profiles alone expect of an hour, without the recent level."""
    state = expectation.state
    flat = Expectation(replace(state, recent=np.zeros_like(state.recent)))
    return np.asarray(flat.hourly(np.array([hour]))[0][:, 0])


def _prices(scorer: Scorer, dense: Dense, frozen: Flags) -> dict[str, Any]:
    """Learn what tokens cost, by model; a leaf's own index is taken out first. What is in an alarm goes aside."""
    state, cells = scorer.state, dense.cells
    leaf = dense.places[cells.leaf]
    index = scorer.expectation.rates[NUMBER["unit_price"]]
    priced = cells.values[:, AT["priced"]] > 0
    count = state.prices.shape[1]
    held = priced & frozen[leaf]
    models = scorer.expectation.models
    came = _equations(cells.values, models[leaf], priced & ~frozen[leaf], index[leaf], count)
    aside = _equations(cells.values, models[leaf], held, np.ones(len(leaf)), count)
    learned = came[[0, 5, 10, 15]].sum(axis=0) > 0
    alarmed = np.bincount(models[frozen], minlength=count) > 0
    decay = np.where(learned, 0.5 ** (1 / _PRICE_HALF_LIFE), 1.0)
    return {"prices": state.prices * decay + came, "prices_aside": np.where(alarmed, state.prices_aside + aside, 0.0)}


def _equations(values: Ints, model: Ints, use: Flags, index: Reals, count: int) -> Reals:
    tokens = values[use][:, [AT[name] for name in TOKENS]].astype(np.float64)
    cost = values[use, AT["cost"]] / index[use]
    pairs = [tokens[:, i] * tokens[:, j] for i in range(4) for j in range(4)] + [tokens[:, i] * cost for i in range(4)]
    return np.stack([np.bincount(model[use], weights=pair, minlength=count) for pair in pairs])


def _spreads(scorer: Scorer, frozen: Flags) -> dict[str, Any]:
    """Learn how much windows of a series vary beyond sampling, and keep the hour for the long window."""
    state = scorer.state
    spread, fresh = state.spread * 0.5 ** (1 / _SPREAD_HALF_LIFE), state.fresh.copy()
    if scorer.start // 60 % DRIFT == 0:
        spread[[NUMBER[name] for name in RESTLESS], 1:] += fresh[0]
        fresh = np.concatenate([fresh[1:], np.zeros_like(fresh[:1])])
    hours = np.concatenate([state.hours[1:], np.zeros_like(state.hours[:1])])
    for number, metric in enumerate(METRICS):
        keep = np.ones_like(frozen[number]) if metric.name in RESTLESS else ~frozen[number]
        came = [_between(scorer, number, window, keep) for window in SPREADS[:2]]
        last = scorer.windows(number, 60, keep)
        hours[-1, number] = np.stack([last.x[:, -1], last.e[:, -1], last.v[:, -1], last.n[:, -1]])
        total = hours[:, number].sum(axis=0)[..., None]
        came.append(_excess(scorer, number, SPREADS[2], Sums(*total)) / DRIFT)
        if metric.name in RESTLESS:
            spread[number, 0] += came[0]
            fresh[-1, RESTLESS.index(metric.name)] += np.stack(came[1:])
        else:
            spread[number] += np.stack(came)
    return {"spread": spread, "fresh": fresh, "hours": hours}


def _between(scorer: Scorer, number: int, window: int, keep: Flags) -> Reals:
    """Return what the hour's windows of one length, one after the other, add to a spread."""
    sums = scorer.windows(number, window, keep)
    every = slice(window - 1, None, window)
    return _excess(scorer, number, window, Sums(sums.x[:, every], sums.e[:, every], sums.v[:, every], sums.n[:, every]))


def _excess(scorer: Scorer, number: int, window: int, sums: Sums) -> Reals:
    metric = METRICS[number]
    deviation, variance, weight = sums.deviation(metric)
    tau2 = scorer.tau2[number, spread_place(window)][:, None]
    largest = 9 * (variance + np.maximum(tau2, metric.tau2) * weight)
    if metric.name in RESTLESS:
        largest = np.maximum(largest, _RESTLESS_MOST)
    use = sums.admitted(metric)
    excess = np.where(use, np.minimum(deviation**2, largest) - variance, 0.0)
    return np.stack([excess.sum(axis=1), np.where(use, weight, 0.0).sum(axis=1), use.sum(axis=1).astype(np.float64)])


def scores_of_past(grouping: Grouping, z: Reals, use: Flags) -> Reals:
    """Return the histogram by level of every tenth minute's scores."""
    picked = slice(_SCORED_EVERY - 1, None, _SCORED_EVERY)
    return histogram(grouping, z[:, picked], use[:, picked])


def histogram(grouping: Grouping, z: Reals, use: Flags) -> Reals:
    """Return how many scores of each level lie in each bucket."""
    bucket = np.minimum((np.maximum(z, 0.0) / BUCKET).astype(np.int64), BUCKETS - 1)
    code = grouping.level[:, None] * BUCKETS + bucket
    counts = np.bincount(code[use], minlength=len(LEVEL_NAMES) * BUCKETS)
    return counts.reshape(len(LEVEL_NAMES), BUCKETS).astype(np.float64)


def accepted(state: State, metric: int, leaves: Ints) -> State:
    """Return the state in which what came during an alarm is what is normal."""
    base, shadow = state.base.copy(), state.shadow.copy()
    base[metric][:, leaves] = shadow[metric][:, leaves]
    shadow[metric][:, leaves] = 0.0
    prices, hours = state.prices.copy(), state.hours.copy()
    touched = np.zeros(len(state.leaves))
    touched[leaves] = 1.0
    hours[:, metric][..., Grouping(state.leaves).sums(touched) > 0] = 0.0
    if metric == NUMBER["unit_price"]:
        models, _ = model_numbers(state.leaves)
        others = np.setdiff1d(np.flatnonzero(state.born >= 0), leaves)
        whole = np.setdiff1d(models[leaves], models[others])
        whole = whole[state.prices_aside[16:, whole].sum(axis=0) > 0]
        prices[:, whole] = state.prices_aside[:, whole]
        base[metric][:, np.isin(models, whole)] = 0.0
    return replace(state, base=base, shadow=shadow, prices=prices, hours=hours)
