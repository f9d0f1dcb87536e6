"""The doctor sees what is wrong, says how to mend it, and changes nothing."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from spanledger_analytics.records import Batch
from spanledger_analytics.testing import SECOND, T0, a_span
from spanledger_ingest.cli import main
from spanledger_ingest.doctor import Finding, _application, _machine, _service, examine
from spanledger_ingest.journal import Journal, Received
from spanledger_ingest.service import build_service
from spanledger_ingest.settings import ServerConfig, Settings, StoreConfig
from spanledger_ingest.store import DatabaseConfig, DuckDBStore


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with ports that nobody has, and a data directory of its own."""
    path = tmp_path / "spanledger.toml"
    path.write_text(f"[server]\nport = 0\ngrpc_port = 0\n[store]\ndata = '{tmp_path / 'data'}'\n")
    (tmp_path / "data").mkdir(mode=0o700)
    return path


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", "http://127.0.0.1:9")


def of(config: Path, check: str, **more: str) -> list[Finding]:
    found = list(examine(config=config, url="http://127.0.0.1:9", **more))  # type: ignore[arg-type]
    assert all(bool(finding.mend) == (finding.state != "ok") for finding in found)
    return [finding for finding in found if finding.check == check]


def states(config: Path, check: str) -> str:
    return " ".join(finding.state for finding in of(config, check))


def test_a_wrong_configuration_is_told_and_the_rest_is_still_looked_at(config: Path) -> None:
    for text, message in (
        ("[sevrer]\n", "did you mean 'server'"),
        ("[retention]\nspans_days = 500\n", "calls_days is 400"),
        ("[[prices.override]]\nmodel = 'x'\n", "no price"),
    ):
        config.write_text(text)
        (finding,) = of(config, "configuration")
        assert finding.state == "fail"
        assert message in finding.text
    assert states(config, "prices") in {"ok", "warn"}


def test_data_directory(config: Path) -> None:
    data = config.with_name("data")
    assert states(config, "data") == "ok"
    data.chmod(0o755)
    assert of(config, "data")[0].mend == f"chmod 700 {data}"
    assert of(config, "use")[0].text == "no service has used it yet"
    assert list(data.iterdir()) == [], "the doctor changes nothing"
    data.rmdir()
    assert states(config, "data") == "warn"
    assert not data.exists()


def test_little_space_and_none(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((10, "fail"), (500, "warn"), (5000, "ok")):
        disk = type("Disk", (), {"f_bavail": free, "f_frsize": 2**20})
        monkeypatch.setattr(os, "statvfs", lambda _, disk=disk: disk)
        assert states(config, "disk space") == state


@pytest.fixture
def stored(config: Path) -> Path:
    data = config.with_name("data")
    with closing(DuckDBStore(data / "spanledger.duckdb", DatabaseConfig(threads=1))) as store:
        store.append(Batch(spans=[a_span(n) for n in range(50)]))
    return data


def test_database_of_a_stopped_service(config: Path, stored: Path) -> None:
    assert of(config, "store")[0].text == "version 1, 50 rows read"
    assert "the newest span began" in of(config, "clock")[0].text
    (stored / "spanledger.duckdb").write_bytes(b"not a database" * 1000)
    (finding,) = of(config, "store")
    assert (finding.state, "not a sound database" in finding.text) == ("fail", True)


def test_journal_of_a_stopped_service(config: Path) -> None:
    directory = config.with_name("data") / "journal"
    with closing(Journal(directory)) as journal:
        for number in range(3):
            body = b"x" * (number + 1)
            journal.append(Received(signal="traces", encoding="protobuf", received_ns=1, body=body)).result(30)
    assert of(config, "journal")[0].text == "3 requests, 0 MiB, wait to be stored"
    (segment,) = directory.glob("*.journal")
    content = bytearray(segment.read_bytes())
    content[60] ^= 1
    segment.write_bytes(content)
    assert states(config, "journal") == "warn ok"


def test_ports_that_are_taken(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config.write_text(config.read_text().replace("grpc_port = 0", f"grpc_port = {port}"))
        free, taken, _ = of(config, "ports")
    assert (free.state, taken.state) == ("ok", "fail")
    assert f"is taken by process {os.getpid()}" in taken.text
    assert of(config, "ports")[1].text == f"server.grpc_port {port} is free"


def test_a_running_service(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = config.with_name("data")
    service = build_service(Settings(server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=data)))
    service.start()
    try:
        assert service.writer.wait_until_ready(60)
        code = main(["doctor", "--config", str(config), "--url", service.http_url, "--json"])
        found = {item["check"]: item for item in json.loads(capsys.readouterr().out)}
        assert (code, found["service"]["state"], found["lag"]["state"], found["jobs"]["state"]) == (0, "ok", "ok", "ok")
        assert found["use"]["text"] == f"a service runs on it, process {os.getpid()}"
        assert "store" not in found, "it is in use"
        grpc = int(dict(line.split(" ", 1) for line in service.listeners())["grpc"].rpartition(":")[2])
        config.write_text(config.read_text().replace("grpc_port = 0", f"grpc_port = {grpc}"))
        assert states(config, "ports") == "ok ok ok"
        assert states(config, "service") == "warn", "it does not listen where we asked"
    finally:
        service.stop()
    assert main(["doctor", "--config", str(config), "--url", "http://127.0.0.1:9"]) == 1
    assert "fail  service          nothing answers" in capsys.readouterr().out


def test_a_service_that_is_behind() -> None:
    worst = {"spanledger_lag_seconds": 61.0, "spanledger_store_failures_total": 2.0, "spanledger_job_lag_seconds": 9e9}
    assert [(f.check, f.state) for f in _service._judge(worst)] == [
        ("lag", "warn"),
        ("store", "warn"),
        ("jobs", "warn"),
    ]


def test_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def state(newest_ns: int | None = None, drift: float = 0.0) -> str:
        (finding,) = _machine.clock(newest_ns, drift)
        return finding.state

    now = int(time.time() * 1e9)
    assert [state(), state(now), state(T0), state(now + 600 * SECOND), state(drift=-3.0)] == [
        *("ok", "ok", "ok", "warn", "warn")
    ]
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    assert state() == "fail"


def test_age_of_the_prices() -> None:
    assert [f.state for f in _machine.prices(date(2100, 1, 1))] == ["warn"]
    assert [f.state for f in _machine.prices(_machine._price_list_date())] == ["ok"]


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_application(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[Finding]:
        return list(_application.findings())

    assert found()[0].state == "warn"
    assert any(f.text.startswith("openai ") and "is seen by" in f.text for f in found())
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", listening)
    assert found()[0] == Finding("application", "ok", f"{listening} can be reached")
    monkeypatch.setattr("spanledger_ingest.doctor._application._fitting", lambda *_: iter(()))
    assert any(f.mend == "pip install 'spanledger[openai]'" for f in found())
    monkeypatch.setenv("SPANLEDGER_DISABLED", "1")
    assert [f.mend for f in found()] == ["unset it to record"]
