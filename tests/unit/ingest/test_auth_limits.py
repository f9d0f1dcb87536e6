"""Limits per tenant: how much comes through, who is held back, and for how long."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # no stubs that fit types-grpcio
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # as above
from hypothesis import given
from hypothesis import strategies as st

from spanledger_ingest import tenancy
from spanledger_ingest.auth import Limiter, RatesOf, StateDb
from spanledger_ingest.auth._limits import Bucket
from spanledger_ingest.settings import MIB, LimitsConfig, SettingsError, load_settings

DAY = 86_400


class Clocks:
    now = 1000.0
    wall = 20_000.0 * DAY


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDb]:
    with closing(StateDb(tmp_path)) as opened:
        yield opened


NewLimiter = Callable[..., Limiter]


@pytest.fixture
def limiter(state: StateDb, clocks: Clocks) -> NewLimiter:
    def make(**config: Any) -> Limiter:
        off = {"requests_per_second": 0.0, "items_per_second": 0.0, "mib_per_second": 0.0, "burst_seconds": 1.0}
        rates = RatesOf(LimitsConfig(**(off | config)))
        return Limiter(rates, state, monotonic=lambda: clocks.now, wall=lambda: clocks.wall)

    return make


def let_in(limiter: Limiter, owner: str = "acme", signal: Any = "traces", **cost: Any) -> bool:
    if limiter.refusal(owner, signal) is not None:
        return False
    limiter.charge(owner, signal, **cost)
    return True


@given(
    rate=st.floats(0.1, 1e6),
    burst=st.floats(0.1, 100),
    steps=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1000)), max_size=200),
)
def test_what_comes_through_is_at_most_the_burst_the_rate_and_one_request(
    rate: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    bucket, now, taken, largest = Bucket(rate, burst, 0.0), 0.0, 0.0, 0.0
    for pause, amount in steps:
        now += pause
        if not bucket.wait(now):
            bucket.take(amount)
            taken, largest = taken + amount, max(largest, amount)
    assert taken <= (rate * burst + rate * now + largest) * (1 + 1e-9)


@given(rate=st.floats(0.1, 1e6), debt=st.floats(0.001, 1e6))
def test_the_wait_that_is_told_is_the_wait_that_it_takes(rate: float, debt: float) -> None:
    bucket = Bucket(rate, 1.0, 0.0)
    bucket.take(rate + debt)
    wait = bucket.wait(0.0)
    assert wait < 0.01 or bucket.wait(wait * 0.98) > 0
    assert bucket.wait(wait * 1.02 + 0.001) == 0


@pytest.mark.parametrize(
    ("config", "cost", "what"),
    [
        ({"requests_per_second": 2.0}, {}, "requests"),
        ({"items_per_second": 200.0}, {"items": 100}, "items"),
        ({"mib_per_second": 2.0}, {"size": MIB}, "bytes"),
    ],
)
def test_each_limit_holds_back_its_tenant_and_signal_alone(
    limiter: NewLimiter, clocks: Clocks, config: dict[str, float], cost: dict[str, Any], what: str
) -> None:
    limits = limiter(**config)
    assert [let_in(limits, **cost) for _ in range(3)] == [True, True, False]
    refused = limits.refusal("acme", "traces")
    assert refused is not None
    assert (refused.kind, refused.retry_after) == ("rate_limited", 1)
    assert what in refused.message
    assert let_in(limits, "zeta", **cost)
    assert let_in(limits, "acme", "logs", **cost)
    clocks.now += 0.4
    assert let_in(limits, **cost)
    clocks.wall -= 3600  # a clock that is put back or forth neither locks out nor opens
    assert not let_in(limits, **cost)
    clocks.wall += 7200
    assert not let_in(limits, **cost)


def test_one_large_request_passes_and_its_debt_is_waited_off(limiter: NewLimiter, clocks: Clocks) -> None:
    limits = limiter(items_per_second=10.0)
    assert let_in(limits, items=1010)
    clocks.now += 99
    refused = limits.refusal("acme", "traces")
    assert refused is not None
    assert refused.retry_after == 1
    clocks.now -= 50
    later = limits.refusal("acme", "traces")
    assert later is not None
    assert later.retry_after in (1, 2)
    clocks.now += 60
    assert let_in(limits)


def test_a_quota_ends_with_the_day_and_survives_a_restart(limiter: NewLimiter, clocks: Clocks) -> None:
    limits = limiter(items_per_day=100.0)
    assert let_in(limits, items=79)
    assert limits.near() == []
    assert let_in(limits, items=1, signal="logs")
    assert limits.near() == [("acme", "items", 0.8)]
    limits.save()
    again = limiter(items_per_day=100.0)
    assert let_in(again, items=20)
    assert not let_in(again)
    again.save()
    again.save()
    assert not let_in(limiter(items_per_day=100.0))
    assert let_in(again, "zeta")
    clocks.wall += DAY
    assert let_in(again)
    clocks.wall -= DAY
    assert again.near() == []


def test_the_soft_limit_is_told_once(limiter: NewLimiter, caplog: pytest.LogCaptureFixture) -> None:
    limits = limiter(mib_per_day=1.0)
    for _ in range(9):
        let_in(limits, size=MIB // 10)
    assert limits.refusal("acme", "traces") is None
    assert limits.refusal("acme", "traces") is None
    assert [record.message for record in caplog.records] == ["tenant acme has used 89 % of its bytes for the day"]


def test_tenants_and_gateways_can_have_their_own(limiter: NewLimiter) -> None:
    own = [{"name": "acme", "requests_per_second": 5}, {"name": "*", "requests_per_second": 2}]
    limits = limiter(requests_per_second=1.0, tenant=own)
    gateway = tenancy.gateway(["acme", "zeta"])
    for owner, count in (("acme", 5), ("zeta", 1), (gateway, 2)):
        assert sum(let_in(limits, owner) for _ in range(10)) == count
    assert all(let_in(limits, "") for _ in range(10)), "no credential, no tenant, no limit"
    unlimited = limiter(requests_per_second=1.0)
    assert all(let_in(unlimited, gateway) for _ in range(10))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"requests_per_second": 1}, "name is needed"),
        ({"name": "\n"}, "name is needed"),
        ({"name": "a", "request_per_second": 1}, "did you mean 'requests_per_second'"),
        ({"name": "a", "items_per_day": -1}, "zero or more"),
        ({"name": "a", "items_per_day": "many"}, "zero or more"),
    ],
)
def test_a_wrong_table_is_told_what_is_wrong(table: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        RatesOf(LimitsConfig(tenant=[table]))


def test_the_file_and_the_environment_can_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "spanledger.toml"
    file.write_text('[limits]\nitems_per_day = 10\n[[limits.tenant]]\nname = "acme"\nitems_per_day = 20\n')
    monkeypatch.setenv("SPANLEDGER_LIMITS_REQUESTS_PER_SECOND", "3.5")
    rates = RatesOf(load_settings(file).limits)
    assert (rates("acme").items_per_day, rates("zeta").items_per_day, rates("acme").requests) == (20, 10, 3.5)


def test_refusals_over_http_and_grpc_say_when_to_come_back(
    limiter: NewLimiter, start_rig: Callable[..., Any], listen: Callable[..., Any], traces: Callable[..., bytes]
) -> None:
    limits = limiter(items_per_second=4.0)
    rig = start_rig(authenticate=lambda _headers: "acme", limiter=limits)
    served = listen(rig.intake)
    request = urllib.request.Request(
        f"http://127.0.0.1:{served.port}/v1/traces",
        data=traces(5),
        headers={"content-type": "application/x-protobuf"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)  # noqa: S310 - as above
    with refused.value:
        assert (refused.value.code, refused.value.headers["retry-after"]) == (429, "1")
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(method, lambda sent: sent, lambda got: got)(traces(1), timeout=20)
    error: Any = caught.value
    trailers = dict(error.trailing_metadata())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]).retry_delay.seconds == 1
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)
    assert len(rig.stored().spans) == 5
    assert rig.intake.stats().requests["traces", "rate_limited"] == 2


def test_silence_saves_up_no_more_than_a_burst(limiter: NewLimiter, clocks: Clocks) -> None:
    limits = limiter(requests_per_second=2.0, burst_seconds=3.0)
    for pause in (0.0, 3600.0, 86_400.0):
        clocks.now += pause
        assert sum(let_in(limits) for _ in range(100)) == 6
