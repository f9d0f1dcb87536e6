"""Days per signal and tenant become exact deletions."""

from typing import Any

import pytest

from spanledger_ingest.retention import STEP_ROWS, Policy, Retention
from spanledger_ingest.settings import RetentionConfig, SettingsError
from spanledger_ingest.store import Expiry

DAY = 86_400 * 10**9
NOW = 20_000 * DAY


class Forgetful:
    """Has so many expired rows per table."""

    def __init__(self, **rows: int) -> None:
        self.rows = rows
        self.asked: list[Expiry] = []

    def expire(self, expiry: Expiry, limit: int) -> int:
        self.asked.append(expiry)
        gone = min(limit, self.rows.get(expiry.table, 0)) if expiry.tenant is None else 0
        self.rows[expiry.table] = self.rows.get(expiry.table, 0) - gone
        return gone


def test_every_tenant_has_its_days_or_the_default() -> None:
    acme = {"name": "acme", "content_days": 7, "spans_days": 0, "calls_days": 0}
    policy = Policy(RetentionConfig(spans_days=90, tenant=[acme]))
    assert (policy.days("content_days", "acme"), policy.days("content_days", "zeta")) == (7, 30)
    expiries = list(policy.expiries(NOW))
    assert Expiry(table="span_content", before_ns=NOW - 7 * DAY, tenant="acme") in expiries
    assert Expiry(table="span_content", before_ns=NOW - 30 * DAY, exempt=("acme",)) in expiries
    assert [e for e in expiries if e.table == "spans"] == [
        Expiry(table="spans", before_ns=NOW - 90 * DAY, exempt=("acme",))
    ]
    assert {expiry.table for expiry in expiries} == {
        *("span_content", "spans", "llm_calls", "logs", "metrics", "scores", "rejections")
    }


@pytest.mark.parametrize(
    ("tenant", "message"),
    [
        ({"name": "a", "content_day": 1}, r"tenant 1: no such setting 'content_day'; known is content_days"),
        ({"name": "a", "logs_days": -1}, r"logs_days is -1, which is not a whole number"),
        ({"name": "a", "logs_days": "7"}, r"'7', which is not a whole number"),
        ({"name": "a", "logs_days": True}, r"True, which is not a whole number"),
        ({"name": "a", "spans_days": 0}, r"tenant 1: calls_days is 400 and spans_days for ever"),
        ({"logs_days": 1}, r"tenant 1: name is None"),
    ],
)
def test_what_cannot_be_meant_is_refused(tenant: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Policy(RetentionConfig(tenant=[tenant]))


def test_calls_outlive_spans() -> None:
    with pytest.raises(SettingsError, match=r"retention: calls_days is 90 and spans_days 91: .*at least as"):
        Policy(RetentionConfig(spans_days=91, calls_days=90))


def test_steps_are_bounded_and_a_pass_ends() -> None:
    store = Forgetful(span_content=2 * STEP_ROWS + 5, logs=STEP_ROWS)
    times = iter([NOW, NOW + DAY])
    retention = Retention(store, Policy(RetentionConfig()), lambda: next(times))
    steps = 1
    while retention.step():
        steps += 1
    assert steps == 7 + 2 + 1 + 1
    assert {expiry.before_ns for expiry in store.asked if expiry.table == "span_content"} == {NOW - 30 * DAY}
    assert retention.deleted["span_content"] == 2 * STEP_ROWS + 5
    assert retention.deleted["logs"] == STEP_ROWS
    assert retention.deleted["spans"] == 0
    assert retention.step(), "the next pass begins"
    assert store.asked[-1].before_ns == NOW + DAY - 30 * DAY


def test_nothing_expires_where_everything_is_kept() -> None:
    keys = ("spans", "calls", "content", "logs", "metrics", "scores", "rejected")
    config = RetentionConfig(**{f"{key}_days": 0 for key in keys})  # type: ignore[arg-type]
    policy = Policy(config)
    assert list(policy.expiries(NOW)) == []
