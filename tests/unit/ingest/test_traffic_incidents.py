"""Incidents of generated traffic: the metric moves by what the truth says, where and when it says, and nowhere else."""

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

from spanledger_ingest.traffic import (
    HOUR_NS,
    KINDS,
    MAGNITUDES,
    SERVED,
    Incident,
    Kind,
    Scope,
    World,
    build_world,
    calls,
)

_MINUTE_NS: Final = HOUR_NS // 60
_SETTLING_NS: Final = 15 * _MINUTE_NS
"""A request that starts within an incident may make calls for some minutes more."""


@pytest.fixture(scope="module")
def calm() -> World:
    """A busy world without incidents."""
    return build_world(3, days=2, calls_per_day=40_000, incidents="none")


@pytest.fixture(scope="module")
def ordinary(calm: World) -> pa.Table:
    return calls(calm, 30, 46)


def disturbed(calm: World, kind: Kind, factor: float) -> World:
    """The same world with one incident, from 7:30 to 13:30 UTC of its second day."""
    onset = (calm.hours.start + 31) * HOUR_NS + 30 * _MINUTE_NS
    largest = max(calm.tenants, key=lambda tenant: tenant.requests_per_hour * (tenant.archetype.name == "interactive"))
    scopes: dict[Kind, Scope] = {
        "unit_price": Scope(model="claude-haiku-4-5"),
        "latency": Scope(provider="openai"),
        "error_burst": Scope(provider="anthropic"),
        "length_surge": Scope(use_case="support"),
        "cache_collapse": Scope(use_case="support"),
    }
    own = Scope(tenant_id=largest.id, use_case=largest.workloads[0].use_case.name)
    incident = Incident(
        id="it",
        kind=kind,
        magnitude="medium",
        factor=factor,
        scope=scopes.get(kind, own),
        onset_ns=onset,
        end_ns=onset + 6 * HOUR_NS,
        cause="a test",
        served="claude-sonnet-5" if kind == "unit_price" else None,
        max_tokens=_cut_at(factor) if kind == "length_surge" else None,
    )
    return replace(calm, incidents=(incident,))


def _cut_at(share: float) -> int:
    # Answers of the use case are lognormal with median 190 and sigma 0.7.
    return round(190 * math.exp(0.7 * {0.2: 0.8416}[share]))


def concerned(table: pa.Table, incident: Incident) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which calls are in the incident's scope and time, or may be its late consequences."""
    start = table["start_ns"].to_numpy()
    hit = (start >= incident.onset_ns) & (start < incident.end_ns + _SETTLING_NS)
    for name, value in incident.scope.as_json().items():
        hit &= np.array(table[name].to_pylist()) == value
    return hit


def within(table: pa.Table, incident: Incident) -> pa.Table:
    hit = concerned(table, incident) & (table["start_ns"].to_numpy() < incident.end_ns)
    return table.filter(pa.array(hit))


def values(table: pa.Table, column: str) -> list[float]:
    return [float(value) for value in table[column].to_pylist() if value is not None]


def calls_made(table: pa.Table) -> float:
    return table.num_rows


def dollars(table: pa.Table) -> float:
    return sum(values(table, "cost_usd"))


def seconds_per_answer(table: pa.Table) -> float:
    return sum(values(table.filter(pa.array(np.array(table["status"].to_pylist()) == "ok")), "duration_ms"))


def errors(table: pa.Table) -> float:
    return table["status"].to_pylist().count("error") / table.num_rows


def input_tokens(table: pa.Table) -> float:
    return sum(values(table, "input_tokens"))


def calls_per_trace(table: pa.Table) -> float:
    return table.num_rows / len(set(table["trace_id"].to_pylist()))


def cut_off(table: pa.Table) -> float:
    return table["finish_reason"].to_pylist().count("length") / table.num_rows


def cached_tokens(table: pa.Table) -> float:
    return sum(values(table, "cache_read_tokens"))


# By kind: the factor, what it moves, how the change is counted, and between which limits that lies.
MOVES: Final[dict[Kind, tuple[float, Callable[[pa.Table], float], str, float, float]]] = {
    "cost_spike": (5.0, calls_made, "ratio", 4.5, 5.5),
    "unit_price": (2.0, dollars, "ratio", 2.0, 2.0),
    "latency": (1.7, seconds_per_answer, "ratio", 1.68, 1.72),
    "error_burst": (0.15, errors, "difference", 0.10, 0.20),
    "token_drift": (1.7, input_tokens, "ratio", 1.25, 1.45),
    "traffic_zero": (0.0, calls_made, "ratio", 0.0, 0.0),
    "retry_storm": (3.0, calls_per_trace, "ratio", 2.8, 3.2),
    "length_surge": (0.20, cut_off, "value", 0.15, 0.25),
    "cache_collapse": (0.15, cached_tokens, "ratio", 0.10, 0.20),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_metric_moves_as_far_as_the_truth_says(calm: World, ordinary: pa.Table, kind: Kind) -> None:
    factor, metric, how, least, most = MOVES[kind]
    world = disturbed(calm, kind, factor)
    (incident,) = world.incidents
    usual = metric(within(ordinary, incident))
    hit = metric(within(calls(world, 30, 46), incident)) if kind != "traffic_zero" else _left(world, incident)
    change = {"ratio": hit / usual, "difference": hit - usual, "value": hit}[how]
    assert least - 1e-9 <= change <= most + 1e-9


def _left(world: World, incident: Incident) -> float:
    """Calls that are left when nothing new is asked: those of requests from before, in their last minutes."""
    table = within(calls(world, 30, 46), incident)
    return float((table["start_ns"].to_numpy() > incident.onset_ns + _SETTLING_NS).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_changes(calm: World, ordinary: pa.Table, kind: Kind) -> None:
    world = disturbed(calm, kind, MOVES[kind][0])
    (incident,) = world.incidents
    changed = calls(world, 30, 46)
    untouched = [
        table.filter(pa.array(~concerned(table, incident))).sort_by("span_id") for table in (ordinary, changed)
    ]
    assert untouched[0].num_rows > ordinary.num_rows / 2
    assert untouched[0].equals(untouched[1])
    assert not ordinary.equals(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_dollars_of_the_truth_are_the_difference(calm: World, ordinary: pa.Table, kind: Kind) -> None:
    world = disturbed(calm, kind, MOVES[kind][0])
    (entry,) = world.truth["incidents"]
    changed = calls(world, 30, 46)
    cost = [sum(value or Decimal(0) for value in table["cost_usd"].to_pylist()) for table in (ordinary, changed)]
    assert Decimal(entry["expected_impact_usd"]) == cost[1] - cost[0]
    assert entry["changed_calls"] == changed.num_rows - ordinary.num_rows
    assert set(entry["tenants"]).isdisjoint(world.truth["clean_tenants"])
    assert set(entry["tenants"]) | set(world.truth["clean_tenants"]) == {tenant.id for tenant in world.tenants}


def test_a_longer_prompt_has_a_new_version_and_the_same_prefix(calm: World, ordinary: pa.Table) -> None:
    shape = disturbed(calm, "cost_spike", 4.0).incidents[0]
    world = replace(calm, incidents=(replace(shape, cause="prompt_growth", version=99),))
    (incident,) = world.incidents
    grown, usual = within(calls(world, 30, 46), incident), within(ordinary, incident)
    assert input_tokens(grown) == 4 * input_tokens(usual)
    assert cached_tokens(grown) == cached_tokens(usual)
    assert set(grown["prompt_version"].to_pylist()) == {"v99"}
    kinds = [event["kind"] for event in world.truth["events"] if event.get("prompt_version") == "v99"]
    assert kinds == ["first_seen_prompt_version"]


@pytest.fixture(scope="module")
def long() -> World:
    return build_world(5, days=28, tenants=40, calls_per_day=20_000, incidents="full")


def test_a_full_plan_has_every_kind_in_the_second_half_with_quiet_between(long: World) -> None:
    middle = (long.start_ns + long.end_ns) // 2
    assert {incident.kind for incident in long.incidents} == set(KINDS)
    assert {incident.magnitude for incident in long.incidents} == set(MAGNITUDES)
    assert len(long.incidents) > 20
    assert all(incident.onset_ns >= middle - HOUR_NS for incident in long.incidents)
    for before, after in zip(long.incidents, long.incidents[1:], strict=False):
        assert after.onset_ns - before.end_ns >= 3 * HOUR_NS
    assert len({incident.id for incident in long.incidents}) == len(long.incidents)


def test_a_short_plan_has_most_kinds() -> None:
    world = build_world(6, days=14, calls_per_day=20_000, incidents="full")
    assert len({incident.kind for incident in world.incidents}) >= 8


def test_a_clean_world_is_the_same_without_its_incidents(long: World) -> None:
    clean = build_world(5, days=28, tenants=40, calls_per_day=20_000, incidents="none")
    assert clean.incidents == ()
    assert clean.life == long.life
    first = long.hours.index(long.incidents[0].onset_ns // HOUR_NS)
    assert calls(clean, first - 6, first).equals(calls(long, first - 6, first))


def test_what_is_no_incident_is_listed(long: World) -> None:
    kinds = {entry["kind"] for entry in long.truth["not_incidents"]}
    assert kinds == {"natural_burst", "deploy", "planned_price_change", "late_joiner", "churn"}
    assert all(3 <= e["factor"] <= 20 for e in long.truth["not_incidents"] if e["kind"] == "natural_burst")
    events = {event["kind"] for event in long.truth["events"]}
    assert {"served_model_changed", "first_seen_prompt_version"} <= events


def test_late_joiners_come_late_and_the_gone_are_gone(long: World) -> None:
    for tenant in long.tenants:
        if tenant.joined_ns or tenant.left_ns < long.end_ns:
            place = long.hours.index((tenant.joined_ns or tenant.left_ns) // HOUR_NS)
            before, after = calls(long, place - 24, place), calls(long, place, place + 24)
            away, here = (before, after) if tenant.joined_ns else (after, before)
            assert tenant.id not in away["tenant_id"].to_pylist()
            assert tenant.archetype.name == "sparse" or tenant.id in here["tenant_id"].to_pylist()


def test_another_model_answers_from_the_change_on(long: World) -> None:
    for change in long.life.served_changes:
        place = long.hours.index(change.at_ns // HOUR_NS)
        for table, after in ((calls(long, place - 6, place), False), (calls(long, place + 1, place + 6), True)):
            asked = np.array(table["model"].to_pylist()) == change.asked
            answered = set(table.filter(pa.array(asked))["response_model"].drop_null().to_pylist())
            priced = {incident.served for incident in long.incidents}
            assert (change.served in answered) == after
            assert len(answered - priced) == 1


def test_every_name_has_something_dearer_or_equal_behind_it() -> None:
    for served in SERVED:
        usual = next(other for other in SERVED if other.asked == served.asked)
        ratio = served.input_price / usual.input_price
        output_ratio = served.output_price / usual.output_price
        limits = {None: (1, 1), "small": (1.3, 2.1), "medium": (1.5, 2), "large": (3, 7.5)}[served.dearer]
        assert limits[0] <= ratio <= limits[1]
        assert limits[0] <= output_ratio <= limits[1]
