"""The pipeline: what is acknowledged is on the disk, and what is on the disk gets into the store once."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_analytics import rows
from spanledger_analytics.errors import StoreUnavailableError
from spanledger_analytics.records import Batch, Call, Content
from spanledger_ingest.journal import JournalConfig
from spanledger_ingest.otlp import Limits
from spanledger_ingest.pipeline import Outcome, Steps, WriterConfig

Traces = Callable[..., bytes]
StartRig = Callable[..., Any]


def test_accepted_spans_reach_the_store_with_their_owner_and_the_journal_position(rig: Any, traces: Traces) -> None:
    assert rig.accept(traces(3), owner="acme").kind == "success"
    store = rig.stored()
    assert {key[0] for key in store.spans} == {"acme"}
    assert len(store.spans) == len(store.calls) == 3
    assert store.position == rig.journal.end == rig.journal.stored


def test_requests_share_a_transaction(rig: Any, traces: Traces) -> None:
    for seed in range(20):
        rig.accept(traces(2, seed=seed))
    store = rig.stored()
    assert len(store.spans) == 40
    assert len([batch for batch in store.batches if batch.spans]) == 1


def test_a_full_group_does_not_wait_for_company(start_rig: StartRig, traces: Traces) -> None:
    stored = threading.Event()
    rig = start_rig(writer=WriterConfig(commit_seconds=3600, commit_items=4))
    rig.store.fail = lambda _batch: stored.set()
    rig.accept(traces(4))
    assert stored.wait(30)


def test_an_acknowledged_request_is_in_the_journal_before_the_answer(start_rig: StartRig, traces: Traces) -> None:
    rig = start_rig(run=False)
    body = traces(2)
    assert rig.accept(body, owner="acme").kind == "success"
    assert [(entry.received.owner, entry.received.body) for entry in rig.journal.replay(0)] == [("acme", body)]


def test_what_was_acknowledged_and_not_stored_is_stored_after_a_restart(start_rig: StartRig, traces: Traces) -> None:
    dead = start_rig(run=False)
    for seed in range(5):
        dead.accept(gzip.compress(traces(2, seed=seed)), content_encoding="gzip")
    dead.journal.close()
    rig = start_rig(store=dead.store)
    assert rig.writer.wait_until_ready(30)
    assert len(rig.store.spans) == 10
    assert rig.writer.stats.replayed_requests == 5
    assert rig.store.position == rig.journal.stored


def test_replay_begins_where_the_store_ends(start_rig: StartRig, traces: Traces) -> None:
    first = start_rig()
    first.accept(traces(2, seed=1))
    first.stored()
    first.close()
    second = start_rig(store=first.store, run=False)
    second.accept(traces(2, seed=2))
    second.journal.close()
    third = start_rig(store=first.store)
    assert third.writer.wait_until_ready(30)
    assert third.writer.stats.replayed_requests == 1
    assert len(third.store.spans) == 4


def test_requests_that_arrive_during_the_replay_are_stored_once(start_rig: StartRig) -> None:
    dead = start_rig(run=False)
    dead.accept(_log_request(1), signal="logs")
    dead.journal.close()
    rig = start_rig(store=dead.store, run=False)
    rig.accept(_log_request(2), signal="logs")  # journaled before the replay looks: part of it, and enqueued as well
    rig.writer.start()
    rig.accept(_log_request(3), signal="logs")
    assert sorted(record.body for record in rig.stored().every("logs")) == [1, 2, 3]


def _log_request(number: int) -> bytes:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.int_value = number
    return request.SerializeToString()


def test_log_records_without_a_time_get_that_of_their_arrival_also_after_a_restart(start_rig: StartRig) -> None:
    dead = start_rig(run=False)
    dead.accept(_log_request(1), signal="logs")
    dead.journal.close()
    rig = start_rig(store=dead.store)
    assert rig.writer.wait_until_ready(30)
    assert [record.time_ns for record in rig.store.every("logs")] == [1_790_000_000 * 10**9]


def test_metrics_take_the_same_road(rig: Any) -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="gen_ai.client.token.usage")
    metric.gauge.data_points.add(as_int=3, time_unix_nano=1_790_000_000 * 10**9)
    assert rig.accept(request.SerializeToString(), signal="metrics").kind == "success"
    assert [point.value for point in rig.stored().every("metrics")] == [3.0]


@pytest.mark.parametrize("ends", [(1, 3, 2), (3, 1, 2), (1, 2, 3), (3, 3, 3)])
def test_a_repeated_span_is_written_once_per_batch_and_the_later_end_wins(
    rig: Any, traces: Traces, ends: tuple[int, ...]
) -> None:
    for seconds in ends:
        rig.accept(traces(2, seconds=seconds))
    store = rig.stored()
    assert [len(batch.spans) for batch in store.batches if batch.spans] == [2]
    assert {span.end_ns - span.start_ns for span in store.spans.values()} == {3 * 10**9}
    assert {call.own.end_ns - call.own.start_ns for call in store.calls.values()} == {3 * 10**9}


def test_facts_that_end_later_are_settled_even_if_they_were_stored_before(rig: Any, traces: Traces) -> None:
    for seconds in (3, 1):
        rig.accept(traces(1, seconds=seconds))
        store = rig.stored()
    assert [call.own.end_ns - call.own.start_ns for batch in store.batches for call in batch.calls] == [3 * 10**9] * 2


def test_calls_are_settled_again_with_what_is_stored_of_their_traces_if_there_is_news(rig: Any, traces: Traces) -> None:
    for seconds in (1, 2, 2):
        rig.accept(traces(1, seconds=seconds))
        store = rig.stored()
    assert len(store.related_asked) == 3
    assert [len(batch.calls) for batch in store.batches if batch.spans] == [1, 1, 0]


def test_bad_spans_are_named_and_the_good_ones_kept(rig: Any, traces: Traces) -> None:
    outcome = rig.accept(traces(3, bad=2))
    assert (outcome.kind, outcome.rejected) == ("partial", 2)
    assert "span_id" in outcome.message
    store = rig.stored()
    assert len(store.spans) == 3
    assert [(letter.service_name, letter.signal) for letter in store.every("rejections")] == [("shop", "traces")] * 2


def test_an_empty_request_is_a_success_and_needs_no_journal(rig: Any) -> None:
    assert rig.accept(b"").kind == "success"
    assert rig.journal.end == 0


@pytest.mark.parametrize(
    ("body", "options", "kind"),
    [
        (b"\xff\xff\xff", {}, "bad_data"),
        (b"[]", {"encoding": "json"}, "bad_data"),
        (b"not gzip", {"content_encoding": "gzip"}, "bad_data"),
        (gzip.compress(gzip.compress(b"", mtime=0), mtime=0), {"content_encoding": "gzip"}, "bad_data"),
        (gzip.compress(bytes(2000), mtime=0), {"content_encoding": "gzip"}, "too_large"),
        (bytes(2000), {}, "too_large"),
        (b"", {"content_encoding": "br"}, "unsupported"),
        (b"", {"content_encoding": "gzip, gzip"}, "unsupported"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_leaves_a_dead_letter(
    start_rig: StartRig, body: bytes, options: dict[str, str], kind: str
) -> None:
    rig = start_rig(limits=Limits(max_body_bytes=1000))
    outcome = rig.accept(body, **options)
    assert outcome.kind == kind
    assert outcome.retry_after is None
    assert rig.journal.end == 0
    assert len(rig.stored().every("rejections")) == 1


def test_an_unexpected_failure_is_never_a_success_and_worth_a_retry(
    rig: Any, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.journal, "append", lambda *_: 1 / 0)
    outcome = rig.accept(traces(1))
    assert outcome.kind == "overloaded"
    assert 1 <= outcome.retry_after <= 2


def test_a_full_disk_is_an_overload_and_not_a_loss(start_rig: StartRig, traces: Traces) -> None:
    rig = start_rig(journal=JournalConfig(min_free_bytes=2**62))
    outcome = rig.accept(traces(1))
    assert outcome.kind == "overloaded"
    assert 1 <= outcome.retry_after <= 2
    assert rig.stored().spans == {}


def test_a_backlog_beyond_its_bound_is_an_overload(start_rig: StartRig, traces: Traces) -> None:
    rig = start_rig(run=False, journal=JournalConfig(max_backlog_bytes=1000))
    outcomes = [rig.accept(traces(5, seed=seed)).kind for seed in range(4)]
    assert outcomes == ["success", "success", "overloaded", "overloaded"]
    rig.writer.start()
    assert len(rig.stored().spans) == 10
    assert rig.accept(traces(5, seed=9)).kind == "success"


def test_bodies_in_flight_are_bounded(start_rig: StartRig) -> None:
    rig = start_rig(max_in_flight_bytes=100)
    assert rig.intake.reserve(80) is None
    refused = rig.intake.reserve(30)
    assert isinstance(refused, Outcome)
    assert refused.kind == "overloaded"
    rig.intake.release(80)
    assert rig.intake.reserve(100) is None


def test_what_does_not_fit_in_memory_is_read_again_from_the_journal(start_rig: StartRig, traces: Traces) -> None:
    config = WriterConfig(commit_seconds=30, memory_bytes=1)
    rig = start_rig(run=False, writer=config)
    for seed in range(4):
        rig.accept(gzip.compress(traces(3, seed=seed)), content_encoding="gzip", owner="acme")
    rig.writer.start()
    store = rig.stored()
    assert rig.writer.stats.spilled_requests == 4
    assert len(store.spans) == 12
    assert {key[0] for key in store.spans} == {"acme"}


def test_a_span_that_cannot_be_normalised_costs_only_itself(rig: Any, traces: Traces) -> None:
    rig.accept(traces(2, seed=1))
    rig.accept(traces(1, seed=2, name="cannot normalise"))
    store = rig.stored()
    assert len(store.spans) == 2
    assert [letter.reason for letter in store.every("rejections")] == ["processing failed: ValueError"]


@pytest.mark.parametrize("where", ["price", "settle", "append"])
def test_the_item_that_breaks_a_batch_is_found_and_becomes_a_dead_letter(
    start_rig: StartRig, traces: Traces, steps: Steps, where: str
) -> None:
    def price(call: Call) -> Call:
        if where == "price" and call.facts.span_id == poison:
            raise ZeroDivisionError
        return call

    def settle(facts: Any, parents: Any) -> Any:
        facts = list(facts)
        if where == "settle" and any(one.span_id == poison for one in facts):
            raise RecursionError
        return steps.settle(facts, parents)

    def fail(batch: Batch) -> None:
        if where == "append" and poison in rows.span_table(batch.spans)["span_id"].to_pylist():
            raise OverflowError

    from spanledger_ingest.otlp import decode

    poison = decode("traces", traces(9), "protobuf", "").spans[5].span_id
    rig = start_rig(steps=replace(steps, price=price, settle=settle))
    rig.store.fail = fail
    rig.accept(traces(9))
    rig.accept(traces(4, seed=2))
    store = rig.stored()
    assert len(store.spans) == 12
    assert poison not in {key[2] for key in store.spans}
    assert len(store.every("rejections")) == 1
    assert store.position == rig.journal.end
    assert rig.accept(traces(1, seed=3)).kind == "success"
    assert len(rig.stored().spans) == 13


def test_a_failing_store_is_tried_again_until_it_works(rig: Any, traces: Traces) -> None:
    attempts = []

    def fail(batch: Batch) -> None:
        attempts.append(batch)
        if len(attempts) < 6:
            raise StoreUnavailableError("disk full") if len(attempts) % 2 else OSError("gone")

    rig.store.fail = fail
    assert rig.accept(traces(2)).kind == "success"
    store = rig.stored()
    assert len(store.spans) == 2
    assert store.every("rejections") == []
    assert rig.writer.stats.store_failures >= 3


def test_data_is_kept_in_the_journal_when_the_store_never_recovers(start_rig: StartRig, traces: Traces) -> None:
    def fail(_batch: Batch) -> None:
        raise StoreUnavailableError("disk full")

    rig = start_rig()
    rig.store.fail = fail
    rig.accept(traces(3))
    rig.intake.close()
    assert not rig.writer.stop(0.05)
    rig.journal.close()
    rig.store.fail = lambda _batch: None
    again = start_rig(store=rig.store)
    assert again.writer.wait_until_ready(30)
    assert len(again.store.spans) == 3


def test_stopping_stores_what_is_pending(start_rig: StartRig, traces: Traces) -> None:
    rig = start_rig()
    rig.accept(traces(3))
    assert rig.close()
    assert len(rig.store.spans) == 3
    assert rig.accept(traces(1, seed=5)).kind == "overloaded"


def test_content_is_stored_only_as_the_policy_says(start_rig: StartRig, traces: Traces, steps: Steps) -> None:
    def mask(content: Content) -> Content | None:
        return replace(content, text="***") if content.text == "chat" else None

    rig = start_rig(steps=replace(steps, keep_content=mask))
    rig.accept(traces(2))
    rig.accept(traces(2, seed=1, name="secret"))
    assert [content.text for content in rig.stored().every("contents")] == ["***"] * 2


def test_who_sends_is_decided_before_the_body_is_read(start_rig: StartRig) -> None:
    def authenticate(headers: Any) -> str | Outcome:
        return "acme" if headers.get("authorization") == "Bearer k" else Outcome("unauthenticated", "who are you?")

    rig = start_rig(authenticate=authenticate)
    assert rig.intake.admit({"authorization": "Bearer k"}, "traces") == "acme"
    refused = rig.intake.admit({}, "traces")
    assert isinstance(refused, Outcome)
    assert refused.kind == "unauthenticated"


def test_a_broken_credential_check_lets_nobody_in_and_loses_nothing(start_rig: StartRig) -> None:
    def authenticate(_headers: Any) -> str | Outcome:
        raise OSError("key database is gone")

    refused = start_rig(authenticate=authenticate).intake.admit({}, "traces")
    assert isinstance(refused, Outcome)
    assert refused.kind == "overloaded"


def test_stats_tell_what_happened(rig: Any, traces: Traces) -> None:
    rig.accept(traces(3, bad=1))
    rig.accept(b"\xff\xff")
    rig.stored()
    stats = rig.intake.stats()
    assert stats.requests == {("traces", "partial"): 1, ("traces", "bad_data"): 1}
    assert stats.accepted_items == {"traces": 3}
    assert stats.rejected_items == {("traces", "span_id must be 8 bytes and not zero"): 1}
    assert (stats.writer.stored_spans, stats.writer.dead_letters) == (3, 2)
    assert (stats.backlog_bytes, stats.lag_seconds, stats.ready) == (0, 0.0, True)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sends=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    kill_after=st.integers(0, 12),
    failures=st.sets(st.integers(0, 20), max_size=6),
)
def test_whatever_the_order_of_repeats_failures_and_restarts_every_span_is_stored_once(
    start_rig: StartRig,
    traces: Traces,
    tmp_path_factory: pytest.TempPathFactory,
    new_store: Callable[[], Any],
    sends: list[int],
    kill_after: int,
    failures: set[int],
) -> None:
    directory = tmp_path_factory.mktemp("pipeline")
    store = new_store()
    attempts = iter(range(10_000))

    def fail(_batch: Batch) -> None:
        if next(attempts) in failures:
            raise StoreUnavailableError("now and then")

    store.fail = fail
    rig = start_rig(store=store, directory=directory, run=kill_after % 2 == 0)
    for number, seed in enumerate(sends):
        if number == kill_after:  # the writer's work is thrown away at an arbitrary point; the journal stays
            rig.writer.stop(0)
            rig.journal.close()
            rig = start_rig(store=store, directory=directory)
        assert rig.accept(traces(2, seed=seed)).kind == "success"
    if rig.writer._thread.ident is None:
        rig.writer.start()
    rig.stored()
    expected = {span for seed in sends for span in _ids(traces(2, seed=seed))}
    assert {key[2] for key in store.spans} == expected
    assert len(store.spans) == len(expected)
    assert store.position == rig.journal.end
    rig.close()


def _ids(body: bytes) -> list[str]:
    from spanledger_ingest.otlp import decode

    return [span.span_id for span in decode("traces", body, "protobuf", "").spans]
