"""The traffic generator: same bytes for a seed, true to its ledger, and shaped as it says."""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanledger_ingest.traffic import (
    DEFAULT_END_NS,
    HOUR_NS,
    MODELS,
    SERVED,
    Ledger,
    LoadError,
    Model,
    OutputError,
    Served,
    Usage,
    World,
    build_world,
    cli,
    generate,
    generate_hour,
    truth,
    write_traffic,
)
from spanledger_ingest.traffic import _wire as wire
from spanledger_ingest.traffic._random import Stream

# The bytes of a (seed, hour). If this changes, raise `VERSION` in traffic/_ledger.py: users compare runs by seed.
GOLDEN = {
    (1, 14): "5af2364c31c82f879cca7d3fa4c6dd2c98c10fbb5656f3ac7fad6cd47d80bc0e",
    (1, 30): "923f53d13bfa5e220de3a9990c1b51841bd9ebd1ef786a6b1ce953de28275d80",
    (2, 14): "0ab915638008cec8c33d50d0ee00763606a57c76a92f1e675a85c796161e7d2a",
}


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(1, end_ns=DEFAULT_END_NS, days=2, calls_per_day=2000)


def spans_of(bodies: list[bytes]) -> Iterator[Span]:
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    return [value_of(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def attributes_of(span: Span) -> dict[str, Any]:
    return {attribute.key: value_of(attribute.value) for attribute in span.attributes}


def model_calls(bodies: list[bytes]) -> Iterator[tuple[Span, dict[str, Any]]]:
    for span in spans_of(bodies):
        attributes = attributes_of(span)
        if attributes.get("gen_ai.operation.name") in {"chat", "generate_content"}:
            yield span, attributes


@pytest.mark.parametrize(("seed", "nth"), GOLDEN)
def test_the_bytes_of_a_seed_and_hour_never_change(seed: int, nth: int) -> None:
    world = build_world(seed, end_ns=DEFAULT_END_NS, days=2, calls_per_day=2000)
    digest = sha256(b"".join(generate_hour(world, world.hours[nth]).bodies)).hexdigest()
    assert digest == GOLDEN[seed, nth]


def test_an_hour_does_not_depend_on_the_hours_made_before_it(world: World) -> None:
    forwards = {hour.hour: hour.bodies for hour in generate(world)}
    backwards = {hour: generate_hour(world, hour).bodies for hour in reversed(world.hours)}
    assert forwards == backwards


def test_a_longer_period_has_the_same_last_day(world: World) -> None:
    longer = build_world(1, end_ns=DEFAULT_END_NS, days=5, calls_per_day=2000)
    last_day = world.hours[-24:]
    assert longer.hours[-24:] == last_day
    assert all(generate_hour(longer, hour).bodies == generate_hour(world, hour).bodies for hour in last_day)


def test_seeds_differ(world: World) -> None:
    other = build_world(2, end_ns=DEFAULT_END_NS, days=2, calls_per_day=2000)
    assert generate_hour(other, other.hours[14]).bodies != generate_hour(world, world.hours[14]).bodies


def test_the_ledger_is_what_the_spans_say(world: World) -> None:
    ledger, counted = Ledger(), Counter[tuple[str, str]]()
    names = {"input": "input_tokens", "output": "output_tokens", "cache_read.input": "cache_read_tokens"}
    names |= {"cache_write.input": "cache_write_tokens", "reasoning.output": "reasoning_tokens"}
    for hour in generate(world):
        ledger.merge(hour.ledger)
        for _span, attributes in model_calls(hour.bodies):
            tenant = attributes["tenant.id"]
            counted[tenant, "calls"] += 1
            counted[tenant, "errors"] += "error.type" in attributes
            for name, column in names.items():
                counted[tenant, column] += attributes.get(f"gen_ai.usage.{name}_tokens", 0)
    facts = truth(world, ledger)
    assert {(row["tenant_id"], key): row[key] for row in facts["tenants"] for key in ("calls", *names.values())} == {
        key: counted[key] for key in ((t.id, c) for t in world.tenants for c in ("calls", *names.values()))
    }
    assert sum(row["errors"] for row in facts["tenants"]) == sum(
        n for (_, key), n in counted.items() if key == "errors"
    )
    assert facts["totals"]["calls"] == sum(row["calls"] for row in facts["models"])
    assert sum(Decimal(row["cost_usd"]) for row in facts["models"]) == Decimal(facts["totals"]["cost_usd"])


def test_batches_hold_whole_traces_in_order_of_time() -> None:
    world = build_world(1, end_ns=DEFAULT_END_NS, days=1, calls_per_day=60_000)
    bodies = generate_hour(world, world.hours[12]).bodies
    assert len(bodies) > 3
    seen: set[bytes] = set()
    latest = 0
    for body in bodies:
        spans = list(spans_of([body]))
        roots = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
        assert len(spans) <= 512
        assert {span.trace_id for span in spans} == {root.trace_id for root in roots}
        assert not seen & {root.trace_id for root in roots}
        assert min(root.start_time_unix_nano for root in roots) >= latest
        latest = max(root.start_time_unix_nano for root in roots)
        seen |= {root.trace_id for root in roots}


def test_calls_lie_inside_their_request_and_the_period(world: World) -> None:
    for hour in generate(world):
        spans = list(spans_of(hour.bodies))
        roots = {span.span_id: span for span in spans if not span.parent_span_id}
        for span in spans:
            root = roots[span.parent_span_id or span.span_id]
            assert world.start_ns <= root.start_time_unix_nano <= span.start_time_unix_nano
            assert span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano <= world.end_ns
            assert span.trace_id == root.trace_id


def test_a_period_may_end_between_hours() -> None:
    end_ns = DEFAULT_END_NS + HOUR_NS // 3
    world = build_world(1, end_ns=end_ns, days=1, calls_per_day=2000)
    spans = [span for hour in generate(world) for span in spans_of(hour.bodies)]
    assert max(span.end_time_unix_nano for span in spans) <= end_ns
    assert min(span.start_time_unix_nano for span in spans) >= end_ns - 24 * HOUR_NS


def test_ids_and_response_ids_are_unique(world: World) -> None:
    spans = [(span, attributes_of(span)) for hour in generate(world) for span in spans_of(hour.bodies)]
    span_ids = [span.span_id for span, _ in spans]
    response_ids = [a["gen_ai.response.id"] for _, a in spans if "gen_ai.response.id" in a]
    assert len(set(span_ids)) == len(span_ids)
    assert len(set(response_ids)) == len(response_ids) > 0


def test_faults_are_retried_as_sibling_calls() -> None:
    world = build_world(1, end_ns=DEFAULT_END_NS, days=1, calls_per_day=20_000)
    calls = [call for hour in generate(world) for call in model_calls(hour.bodies)]
    faults = [(span, a) for span, a in calls if "error.type" in a]
    assert 0.003 <= len(faults) / len(calls) <= 0.015
    assert {"openai.RateLimitError", "anthropic.APITimeoutError", "500"} <= {a["error.type"] for _, a in faults}
    assert all("gen_ai.usage.input_tokens" not in a for _, a in faults)
    families = Counter(span.parent_span_id for span, _ in calls)
    assert sum(families[span.parent_span_id] > 1 for span, _ in faults) > 0.9 * len(faults)


def test_only_streams_have_a_time_to_first_chunk(world: World) -> None:
    calls = [call for hour in generate(world) for call in model_calls(hour.bodies)]
    answered = [(span, a) for span, a in calls if "error.type" not in a]
    streams = [(span, a) for span, a in answered if a.get("gen_ai.request.stream")]
    assert 0.2 < len(streams) / len(answered) < 0.9
    assert all(
        ("gen_ai.response.time_to_first_chunk" in a) == bool(a.get("gen_ai.request.stream")) for _, a in answered
    )
    for span, a in streams:
        duration_ns = span.end_time_unix_nano - span.start_time_unix_nano
        assert 0 < a["gen_ai.response.time_to_first_chunk"] * 1e9 <= duration_ns + 1


def test_every_model_provider_and_way_to_end_occurs() -> None:
    world = build_world(1, end_ns=DEFAULT_END_NS, days=1, calls_per_day=20_000)
    calls = [attributes for hour in generate(world) for _, attributes in model_calls(hour.bodies)]
    assert {a["gen_ai.request.model"] for a in calls} == {model.name for model in MODELS}
    assert {a["gen_ai.provider.name"] for a in calls} == {"openai", "anthropic", "gemini", "mistral_ai"}
    finishes = {a["gen_ai.response.finish_reasons"][0] for a in calls if "error.type" not in a}
    assert {"stop", "length", "tool_calls", "tool_call", "max_tokens", "content_filter"} <= finishes


def test_the_day_and_the_week_have_a_shape() -> None:
    world = build_world(1, end_ns=DEFAULT_END_NS, days=1)
    tenant = next(t for t in world.tenants if t.archetype.name == "interactive" and t.utc_offset_minutes == 60)
    wednesday = (DEFAULT_END_NS // HOUR_NS) - 24
    assert tenant.rate(wednesday + 9) > 10 * tenant.rate(wednesday + 1)
    assert tenant.rate(wednesday + 3 * 24 + 9) == pytest.approx(0.25 * tenant.rate(wednesday + 9))
    week = [tenant.rate(hour) for hour in range(wednesday, wednesday + 7 * 24)]
    assert sum(week) / len(week) == pytest.approx(tenant.requests_per_hour)


def test_volumes_follow_zipf() -> None:
    world = build_world(3, end_ns=DEFAULT_END_NS, days=7, tenants=30, calls_per_day=3000)
    ledger = Ledger()
    for hour in generate(world):
        ledger.merge(hour.ledger)
    calls = sorted((totals.calls for totals in ledger.tenants.values()), reverse=True)
    assert len(calls) == 30
    assert 0.2 < calls[0] / sum(calls) < 0.5
    assert sum(calls) == pytest.approx(21_000, rel=0.15)


def test_the_incident_costs_what_the_truth_says(world: World) -> None:
    (incident,) = world.incidents
    ledger, cost_without = Ledger(), 0
    for hour in generate(world):
        ledger.merge(hour.ledger)
    (entry,) = truth(world, ledger)["incidents"]
    for hour in generate(world.without(incident)):
        cost_without += hour.ledger.total.cost_nano_usd
    assert Decimal(entry["expected_impact_usd"]).scaleb(9) == ledger.total.cost_nano_usd - cost_without
    assert entry["scope"] == {"tenant_id": incident.scope.tenant_id, "use_case": incident.scope.use_case}
    assert entry["tenants"] == [incident.scope.tenant_id]


def test_the_incident_touches_nothing_outside_its_scope(world: World) -> None:
    (incident,) = world.incidents
    inside = outside = 0
    for hour in generate(world):
        for _, a in model_calls(hour.bodies):
            mine = a["tenant.id"] == incident.scope.tenant_id and a["spanledger.use_case"] == incident.scope.use_case
            hit = mine and a["gen_ai.prompt.version"] == f"v{incident.version}"
            assert not hit or hour.hour >= incident.onset_ns // HOUR_NS
            inside += hit
            outside += not hit
    assert inside > 20
    assert outside > inside


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.name))
def test_list_prices_are_those_of_genai_prices(model: Model) -> None:
    provider = {"gemini": "google", "mistral_ai": "mistral"}.get(model.provider.name, model.provider.name)
    read = 256 if model.cache_read_price is not None else 0
    written = 128 if model.cache_write_price is not None else 0
    usage = Usage(5000, 700, read, written)
    theirs = calc_price(
        PricedUsage(input_tokens=5000, output_tokens=700, cache_read_tokens=read, cache_write_tokens=written),
        model.snapshot,
        provider_id=provider,
    )
    assert Decimal(model.cost(usage)).scaleb(-9) == theirs.total_price


@pytest.mark.parametrize("served", SERVED, ids=lambda served: f"{served.asked}-{served.name}")
def test_so_are_those_of_what_answers_instead(served: Served) -> None:
    provider = next(model.provider.name for model in MODELS if model.name == served.asked)
    read = 256 if served.cache_read_price else 0
    written = 128 if served.cache_write_price else 0
    theirs = calc_price(
        PricedUsage(input_tokens=5000, output_tokens=700, cache_read_tokens=read, cache_write_tokens=written),
        served.name,
        provider_id={"gemini": "google", "mistral_ai": "mistral"}.get(provider, provider),
    )
    plain = (5000 - read - written) * served.input_price + 700 * served.output_price
    cost = plain + read * served.cache_read_price + written * served.cache_write_price
    assert Decimal(cost).scaleb(-9) == theirs.total_price


@pytest.mark.parametrize(
    ("days", "tenants", "calls"), [(0, 20, 5000), (7, 0, 5000), (7, 401, 5000), (7, 20, 0)], ids=repr
)
def test_a_world_refuses_impossible_numbers(days: int, tenants: int, calls: int) -> None:
    with pytest.raises(ValueError, match="not"):
        build_world(1, end_ns=DEFAULT_END_NS, days=days, tenants=tenants, calls_per_day=calls)


def test_the_written_folder_is_the_same_each_time(tmp_path: Path) -> None:
    shares: list[float] = []
    world = build_world(7, days=1, calls_per_day=500)
    first = write_traffic(world, tmp_path / "a", progress=shares.append)
    second = write_traffic(build_world(7, days=1, calls_per_day=500), tmp_path / "b")
    one, two = (sorted(folder.rglob("*.*")) for folder in (tmp_path / "a", tmp_path / "b"))
    assert [p.relative_to(tmp_path / "a") for p in one] == [p.relative_to(tmp_path / "b") for p in two]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    assert first == second
    assert shares == sorted(shares)
    assert shares[-1] == 1
    bodies = [path for path in one if path.suffix == ".binpb"]
    assert len(bodies) == first.files
    assert sha256(b"".join(path.read_bytes() for path in bodies)).hexdigest() == first.sha256
    assert json.loads((tmp_path / "a" / "truth.json").read_text()) == first.truth


def test_a_folder_in_use_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="name a new folder"):
        write_traffic(build_world(7, days=1), tmp_path)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(arguments)


def test_generate_prints_the_truth_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "traffic"
    assert cli.run(parse("--seed", "7", "--days", "1", "--calls-per-day", "300", "--out", str(out), "--json")) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((out / "truth.json").read_text())
    assert printed.err == ""


def test_generate_says_where_things_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "traffic"
    assert cli.run(parse("--days", "1", "--calls-per-day", "300", "--out", str(out))) == 0
    assert f"the truth about them is in {out / 'truth.json'}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("--days", "0"), ("--tenants", "401"), ("--days", "x")], ids=repr)
def test_generate_refuses_impossible_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(*arguments, "--out", str(tmp_path / "traffic"))
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


def test_generate_refuses_a_load_for_a_seasonal_world(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="--mode wild"):
        cli.run(parse("--load", str(tmp_path / "load.npz"), "--out", str(tmp_path / "traffic")))


@pytest.mark.parametrize(
    ("arguments", "incidents"), [((), 4), (("--clean",), 0), (("--incidents", "none"), 0), (("--incidents", "full"), 3)]
)
def test_generate_plans_incidents(tmp_path: Path, arguments: tuple[str, ...], incidents: int) -> None:
    out = tmp_path / "traffic"
    assert cli.run(parse("--days", "6", "--calls-per-day", "100", "--mode", "wild", *arguments, "--out", str(out))) == 0
    truth = json.loads((out / "truth.json").read_text())
    assert len(truth["incidents"]) >= incidents
    assert truth["mode"] == "wild"
    assert incidents or not truth["incidents"]


def test_generate_needs_a_place_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot write to"):
        cli.run(parse("--out", str(tmp_path / "file" / "traffic")))


@given(st.text(max_size=300), st.integers(0, 2**63 - 1), st.floats(allow_nan=False), st.booleans())
def test_attributes_are_protobuf(text: str, number: int, real: float, truth_value: bool) -> None:  # noqa: FBT001
    encoded = (
        wire.string("s", text)
        + wire.integer("i", number)
        + wire.double("d", real)
        + wire.boolean("b", value=truth_value)
        + wire.strings("a", text, "x")
    )
    span = Span.FromString(encoded)
    assert attributes_of(span) == {"s": text, "i": number, "d": real, "b": truth_value, "a": [text, "x"]}


@given(st.integers(), st.text(), st.integers(1, 2**40))
def test_draws_depend_on_the_name_alone(seed: int, name: str, limit: int) -> None:
    one, two = Stream(seed, name), Stream(seed, name)
    draws = [one.uniform() for _ in range(20)]
    assert draws == [two.uniform() for _ in range(20)]
    assert all(0 <= draw < 1 for draw in draws)
    assert 0 <= one.below(limit) < limit
    assert one.exponential(5.0) >= 0
    assert sorted(one.shuffled(range(9))) == list(range(9))
