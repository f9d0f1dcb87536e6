"""G7: a server whose clock jumps loses nothing and stops nothing: what waits, waits by the monotonic clock."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Server, Tools


pytestmark = pytest.mark.timeout(1800)  # for the full length on a busy machine


def set_clock(file: Path, hours: float) -> None:
    new = file.with_suffix(".new")
    new.write_text(f"{hours * 3600:+.0f}\n")
    new.replace(file)


def log_without_time(text: str) -> bytes:
    request = ExportLogsServiceRequest()
    record: Any = request.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = text
    return request.SerializeToString()


@pytest.mark.slow
def test_g7_clock_jumps_lose_nothing_and_stop_nothing(
    new_server: "Callable[..., Server]", libfaketime: str, tmp_path: Path, tools: "Tools"
) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    server = new_server(
        LD_PRELOAD=libfaketime,
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        TZ="Europe/Berlin",
    )
    server.start()
    load = tools.load(server)
    load.start()
    jumps = [1, 0, -1, 0, 24 * 120, -24 * 120, 0]  # the long ones cross the changes of summer time
    for number, hours in enumerate(jumps):
        set_clock(clock, hours)
        load.wait_for(20)
        stored = server.metrics()['spanledger_stored_rows_total{kind="spans"}']
        tools.wait_until(
            lambda stored=stored: server.metrics()['spanledger_stored_rows_total{kind="spans"}'] > stored,  # type: ignore[misc]
            f"commits after the clock went to {hours:+} h",
        )
        assert 0 <= server.metrics()["spanledger_lag_seconds"] < 60
        assert server.post(log_without_time(f"jump {number}"), path="/v1/logs").status == 200
    load.stop()
    assert set(load.statuses) == {200}
    figures = load.check()
    rows = server.query("SELECT time FROM logs ORDER BY time")
    assert len(rows) == len(jumps)
    days = (rows[-1]["time"][:7], rows[0]["time"][:7])
    assert days[0] != days[1], "libfaketime did not work"
    server.kill()
    set_clock(clock, -1)
    server.start()
    load.check()
    tools.report("G7", jumps=len(jumps), **figures)
