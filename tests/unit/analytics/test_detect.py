"""The detector on small worlds made here: what it finds, what it leaves alone, and that it is a function."""

from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from spanledger_analytics.detect import (
    AT,
    MEASURES,
    Anomaly,
    Cells,
    Facets,
    Grouping,
    Leaf,
    LedgerDetector,
    Options,
    Planned,
    State,
    Window,
    merge,
)
from spanledger_analytics.testing import DetectorContract

START = 29_505_600  # a Monday, 0:00 UTC, in minutes
HOUR, DAY = 60, 24 * 60
LEAVES = tuple(
    Leaf("", tenant, model, provider, case, "eu")
    for tenant in ("acme", "globex", "initech")
    for model, provider in (("gpt", "openai"), ("claude", "anthropic"))
    for case in ("chat", "search")
)
FROM, UNTIL = START + 8 * DAY + 10 * HOUR, START + 8 * DAY + 13 * HOUR
END = START + 8 * DAY + 15 * HOUR


def world(seed: int = 1, end: int = END, calls: float = 2.0) -> tuple[Any, Any, Any]:
    """Minutes, leaves and values of calls that are the same all day: Poisson, 1 % errors, constant prices."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(calls, (end - START, len(LEAVES)))
    minute, leaf = np.nonzero(count)
    number = count[minute, leaf].astype(np.int64)
    values = np.zeros((len(minute), len(MEASURES)), np.int64)
    for name in ("calls", "answers", "timed", "priced"):
        values[:, AT[name]] = number
    values[:, AT["errors"]] = rng.binomial(number, 0.01)
    values[:, AT["cache_hits"]] = rng.binomial(number, 0.6)
    values[:, AT["user_0"]] = rng.binomial(number, 0.2)
    for name, mean, spread in (("log_input", 7000, 500), ("log_output", 5300, 600), ("log_time", 2500, 300)):
        values[:, AT[name]] = number * mean + np.rint(rng.normal(0, spread, len(number)) * np.sqrt(number))
        values[:, AT[f"{name}_2"]] = number * (mean**2 + spread**2)
    values[:, AT["priced_plain"]], values[:, AT["priced_output"]] = number * 1000, number * 200
    values[:, AT["cost"]] = number * (1000 * 2500 + 200 * 10_000)
    return minute + START, leaf, values


def cells(minute: Any, leaf: Any, values: Any, facets: Facets | None = None) -> Cells:
    return merge([Cells(LEAVES, minute, leaf, values, facets or Facets.empty())])


def during(minute: Any, leaf: Any, **where: str) -> Any:
    mine = [all(getattr(one, name) == value for name, value in where.items()) for one in LEAVES]
    return (minute >= FROM) & (minute < UNTIL) & np.array(mine)[leaf]


@cache
def learned() -> State:
    return LedgerDetector().fit(Window(cells(*world()), FROM - HOUR))


def found(made: Any, options: Options | None = None, end: int = END) -> list[Anomaly]:
    detector = LedgerDetector(options)
    state, closed = detector.run(Window(cells(*made), end // 60 * 60), learned())
    latest = {one.id: one for one in [*closed, *detector.detect(Window(cells(*made), end), state)]}
    return [one for one in latest.values() if one.metric != "names"]


def only(anomalies: list[Anomaly]) -> Anomaly:
    assert len(anomalies) == 1, [one.summary for one in anomalies]
    return anomalies[0]


def test_days_without_incidents_are_quiet() -> None:
    assert found(world()) == []


def test_errors_of_one_provider() -> None:
    minute, leaf, values = world()
    wrong = during(minute, leaf, provider="anthropic")
    values[wrong, AT["errors"]] = np.random.default_rng(2).binomial(values[wrong, AT["calls"]], 0.3)
    one = only(found((minute, leaf, values)))
    assert (one.kind, one.severity, one.status) == ("error_burst", "critical", "ended")
    assert {"provider": "anthropic"} in [dict(one.dimensions), *map(dict, one.ties)]
    assert one.started_ns // 60_000_000_000 in range(FROM - 2, FROM + 4)
    assert one.detected_ns // 60_000_000_000 <= FROM + 12
    assert abs((one.ended_ns or 0) // 60_000_000_000 - UNTIL) <= 15
    assert "rose from 1.0% to" in one.summary


def test_a_doubled_price_says_which_model_answers_now() -> None:
    minute, leaf, values = world()
    dearer = during(minute, leaf, model="gpt", tenant="acme")
    values[dearer, AT["cost"]] *= 2
    number = values[:, AT["calls"]]
    zeros = np.zeros(len(minute), np.int64)
    texts = tuple(np.where(dearer, "gpt-new", "gpt-old").tolist())
    one = only(found((minute, leaf, values, Facets(minute, leaf, zeros, texts, number))))
    assert one.kind == "unit_price"
    assert dict(one.dimensions) == {"tenant": "acme", "provider": "openai", "model": "gpt"}
    hours = (UNTIL - FROM) / 60
    dollars = values[dearer, AT["cost"]].sum() / 2 / 1e9
    assert one.impact_nano / 1e9 == pytest.approx(dollars, rel=0.03)
    assert one.impact_nano_per_hour / 1e9 == pytest.approx(dollars / hours, rel=0.1)
    assert one.summary.startswith("acme's cost per token on gpt rose 2.0x at ")
    assert "because the served model changed from gpt-old to gpt-new; +$" in one.summary


def test_longer_prompts_of_one_use_case() -> None:
    minute, leaf, values = world()
    longer = during(minute, leaf, tenant="globex", use_case="search")
    values[longer, AT["log_input"]] += 1100 * values[longer, AT["answers"]]
    values[longer, AT["priced_plain"]] *= 3
    values[longer, AT["cost"]] += values[longer, AT["calls"]] * 2000 * 2500
    one = only(found((minute, leaf, values)))
    assert (one.kind, dict(one.dimensions)) == ("cost_spike", {"tenant": "globex", "use_case": "search"})
    assert one.impact_nano > 0


def test_prompts_that_grow_do_not_excuse_themselves() -> None:
    end = FROM + 12 * HOUR
    minute, leaf, values = world(end=end)
    mine = (minute >= FROM) & np.array([(one.tenant, one.use_case) == ("globex", "search") for one in LEAVES])[leaf]
    steady = LedgerDetector().fit(Window(cells(minute, leaf, values), end), learned())
    more = 0.4 * (minute[mine] - FROM) / (end - FROM)
    values = values.copy()
    values[mine, AT["log_input"]] += np.rint(1000 * np.log1p(more)).astype(np.int64) * values[mine, AT["answers"]]
    detector = LedgerDetector()
    grown, late = detector.run(Window(cells(minute, leaf, values), end), learned())
    assert np.array_equal(steady.spread[:, 1:], grown.spread[:, 1:])
    assert not np.array_equal(steady.fresh, grown.fresh)
    one = only([one for one in late if one.metric != "names"])
    assert (one.metric, dict(one.dimensions)) == ("input_tokens", {"tenant": "globex", "use_case": "search"})


def test_hardly_any_cache_hits_are_not_missed() -> None:
    minute, leaf, values = world()
    values[:, AT["cache_hits"]] = np.random.default_rng(3).binomial(values[:, AT["answers"]], 0.03)
    detector = LedgerDetector()
    values[minute >= FROM, AT["cache_hits"]] = 0
    _, late = detector.run(Window(cells(minute, leaf, values).between(FROM - 3 * DAY, END), END))
    assert [one.summary for one in late if one.metric != "names"] == []


def test_one_user_who_sends_everything() -> None:
    minute, leaf, values = world()
    more = during(minute, leaf, tenant="acme", use_case="chat")
    extra = 4 * values[more, AT["calls"]]
    for name in MEASURES:
        if name not in {"errors", *(f"user_{bucket}" for bucket in range(8))}:
            values[more, AT[name]] *= 5
    values[more, AT["user_0"]] += extra
    one = only(found((minute, leaf, values)))
    assert (one.kind, one.metric) == ("cost_spike", "one_user")
    assert dict(one.dimensions) == {"tenant": "acme", "use_case": "chat"}


def test_more_of_everybody_is_life() -> None:
    usual, further = world(), world(seed=9, calls=8.0)
    more = during(*further[:2], tenant="acme")
    both = [np.concatenate([first, second[more]]) for first, second in zip(usual, further, strict=True)]
    assert found((both[0], both[1], both[2])) == []


def test_slower_answers_and_fewer_cache_hits_at_once_are_two_incidents() -> None:
    minute, leaf, values = world()
    slow = during(minute, leaf, provider="openai")
    values[slow, AT["log_time"]] += 500 * values[slow, AT["timed"]]
    cold = during(minute, leaf, tenant="initech", use_case="search", provider="anthropic")
    values[cold, AT["cache_hits"]] = 0
    values[cold, AT["cost"]] += values[cold, AT["calls"]] * 1_000_000
    values[cold, AT["priced_plain"]] += values[cold, AT["calls"]] * 400
    kinds = {one.kind: dict(one.dimensions) for one in found((minute, leaf, values))}
    assert set(kinds) == {"latency", "cache_collapse"}
    assert kinds["cache_collapse"]["tenant"] == "initech"


def test_a_tenant_that_stops_is_told_from_silence_of_all() -> None:
    minute, leaf, values = world()
    gone = during(minute, leaf, tenant="globex")
    one = only(found((minute[~gone], leaf[~gone], values[~gone])))
    assert (one.kind, dict(one.dimensions), one.observed) == ("traffic_zero", {"tenant": "globex"}, 0.0)
    silent = during(minute, leaf)
    one = only(found((minute[~silent], leaf[~silent], values[~silent])))
    assert (one.kind, one.dimensions, one.tenant) == ("no_telemetry", {}, None)


def test_silence_of_all_teaches_nothing() -> None:
    minute, leaf, values = world()
    silent = (minute >= FROM) & (minute < FROM + 5 * HOUR)
    made = cells(minute[~silent], leaf[~silent], values[~silent])
    before = LedgerDetector().fit(Window(made, FROM + HOUR), learned())
    after = LedgerDetector().fit(Window(made, FROM + 4 * HOUR), before)
    assert np.array_equal(before.profile, after.profile)
    assert np.array_equal(before.base, after.base)


def test_a_planned_change_is_no_alarm_and_is_learned() -> None:
    minute, leaf, values = world()
    dearer = (minute >= FROM) & (np.array([one.model == "gpt" for one in LEAVES])[leaf])
    values[dearer, AT["cost"]] *= 2
    plan = Planned(start=FROM, end=FROM + 30, label="new contract", dimensions={"model": "gpt"})
    one = only(found((minute, leaf, values), Options(planned=(plan,))))
    assert (one.severity, one.status) == ("info", "planned")
    assert "new contract" in one.summary
    other = replace(plan, dimensions={"model": "claude"})
    assert only(found((minute, leaf, values), Options(planned=(other,)))).severity != "info"
    foreign = replace(plan, owner="somebody else")
    assert only(found((minute, leaf, values), Options(planned=(foreign,)))).severity != "info"


def test_a_new_level_is_accepted_after_a_day() -> None:
    end = FROM + 40 * HOUR
    minute, leaf, values = world(end=end)
    wrong = (minute >= FROM) & np.array([one.provider == "openai" for one in LEAVES])[leaf]
    values[wrong, AT["log_time"]] += 500 * values[wrong, AT["timed"]]
    one = only(found((minute, leaf, values), end=end))
    assert one.status == "accepted"
    assert (one.ended_ns or 0) // 60_000_000_000 - FROM in range(24 * HOUR, 28 * HOUR)


def test_an_incident_keeps_its_id_and_grows() -> None:
    minute, leaf, values = world()
    wrong = during(minute, leaf, provider="anthropic")
    values[wrong, AT["errors"]] = values[wrong, AT["calls"]]
    seen = [only(found((minute, leaf, values), end=end)) for end in (FROM + 15, FROM + 62, FROM + 150, END)]
    assert len({one.id for one in seen}) == 1
    assert [one.status for one in seen] == ["open", "open", "open", "ended"]
    assert seen[0].started_ns == seen[-1].started_ns


def test_findings_are_the_same_from_saved_state_and_shuffled_cells() -> None:
    minute, leaf, values = world()
    wrong = during(minute, leaf, provider="anthropic")
    values[wrong, AT["errors"]] = values[wrong, AT["calls"]]
    detector = LedgerDetector()
    order = np.random.default_rng(5).permutation(len(minute))
    shuffled = cells(minute[order], leaf[order], values[order])
    state = detector.fit(Window(cells(minute, leaf, values), FROM + HOUR), learned())
    read = State.load(detector.fit(Window(shuffled, FROM + HOUR), State.load(learned().dump())).dump())
    assert read.dump() == state.dump()
    window = Window(cells(minute, leaf, values), FROM + 100)
    assert detector.detect(window, state) == detector.detect(Window(shuffled, FROM + 100), read)


def test_a_state_is_small_and_has_no_pickles() -> None:
    state = learned()
    data = state.dump()
    assert len(data) / len(Grouping(state.leaves).series) < 4096  # few series here, so the fixed part weighs
    assert State.load(data).dump() == data
    target = BytesIO()
    np.savez(target, allow_pickle=False, plain=np.frombuffer(b'{"version": 0}', np.uint8))
    with pytest.raises(ValueError, match="another version"):
        State.load(target.getvalue())


class TestContract(DetectorContract):
    def make(self) -> LedgerDetector:
        return LedgerDetector()

    def history(self) -> Window:
        end = START + 3 * DAY
        return Window(cells(*world(end=end)), end)
