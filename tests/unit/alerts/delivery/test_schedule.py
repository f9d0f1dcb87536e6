"""When a message is tried again."""

import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_alerts.delivery import Circuit, Schedule, judge, parse_retry_after

T0 = 1_790_000_000 * 10**9


@given(seed=st.integers(), failures=st.integers(1, 10_000))
def test_a_wait_is_anything_up_to_a_bound_that_doubles_to_an_hour(seed: int, failures: int) -> None:
    wait = Schedule(random.Random(seed)).wait_ns(failures) / 1e9  # noqa: S311 - repeatable
    assert 0 <= wait <= min(3600, 5 * 2 ** min(failures - 1, 20))


@given(seed=st.integers(), asked=st.floats(0.5, 86_400), failures=st.integers(1, 50))
def test_a7_retry_after_is_honoured_within_a_tenth(seed: int, asked: float, failures: int) -> None:
    wait = Schedule(random.Random(seed)).wait_ns(failures, asked) / 1e9  # noqa: S311 - repeatable
    assert asked <= wait + 1e-9
    assert wait <= 1.1 * asked + 1e-9


def test_a2_a_thousand_messages_that_failed_together_come_back_spread_out() -> None:
    schedule = Schedule(random.Random(1))  # noqa: S311 - repeatable
    waits = [schedule.wait_ns(9) / 1e9 for _ in range(1000)]
    parts = [sum(part * 128 <= wait < (part + 1) * 128 for wait in waits) for part in range(10)]
    assert sum(parts) == 1000
    assert max(parts) <= 2 * 1000 / 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("99999999999999999999", 86_400),
        (formatdate(T0 / 1e9 + 90, usegmt=True), 90),
        (formatdate(T0 / 1e9 - 90, usegmt=True), 0),
        (formatdate(T0 / 1e9 + 10**6, usegmt=True), 86_400),
        ("Thu, 01 Jan 1970 00:00:00", 0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\u0663", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, T0) == seconds


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (204, "ok"), (299, "ok"), (410, "gone")]
    + [(status, "retry") for status in (408, 425, 429, 500, 502, 503, 504, 599)]
    + [(status, "refused") for status in (301, 302, 307, 308, 400, 401, 403, 404, 413, 422)],
)
def test_what_a_status_means(status: int, outcome: str) -> None:
    assert judge(status, now_ns=T0).outcome == outcome


def test_only_those_who_are_to_be_tried_again_have_a_wait() -> None:
    assert judge(429, "30", now_ns=T0).retry_after == 30
    assert judge(400, "30", now_ns=T0).retry_after is None


@given(seed=st.integers(), failures=st.integers(5, 400))
def test_a_circuit_opens_after_five_failures_lets_one_try_through_and_closes_with_the_first_success(
    seed: int, failures: int
) -> None:
    circuit = Circuit(Schedule(random.Random(seed)))  # noqa: S311 - repeatable
    for _ in range(4):
        circuit.note(judge(503, now_ns=T0), T0)
    assert circuit.free(T0, 0) == 4
    for _ in range(failures - 4):
        circuit.note(judge(503, now_ns=T0), T0)
    assert circuit.is_open
    assert T0 <= circuit.closed_until_ns <= T0 + 300 * 10**9
    assert circuit.free(circuit.closed_until_ns - 1, 0) == 0
    assert circuit.free(circuit.closed_until_ns, 0) == 1
    assert circuit.free(circuit.closed_until_ns, 1) == 0
    circuit.note(judge(204, now_ns=T0), T0)
    assert circuit.free(T0, 0) == 4


def test_a_receiver_that_asks_to_wait_is_left_alone_altogether() -> None:
    circuit = Circuit(Schedule())
    circuit.note(judge(429, "60", now_ns=T0), T0)
    assert circuit.free(T0 + 59 * 10**9, 0) == 0
    assert circuit.free(T0 + 60 * 10**9, 0) == 4
