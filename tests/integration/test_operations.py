"""The service under the hands of those who run it: metrics, backup and restore, compaction, retention."""

import json
import math
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_ingest.cli import main
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ContentConfig, RetentionConfig, ServerConfig, Settings, StoreConfig

SPANS = 10
DAY = 86_400 * 10**9
TABLES = ("spans", "llm_calls")


def request(number: int, *, days_ago: int = 0, spans: int = SPANS) -> bytes:
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    start = time.time_ns() - days_ago * DAY
    for index in range(spans):
        digest = sha256(f"{number} {index}".encode()).digest()
        span = scope.spans.add(trace_id=digest[:16], span_id=digest[16:24], name="chat gpt-4o", kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + 10**9
        texts = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.model": "gpt-4o"}
        texts["gen_ai.response.id"] = digest.hex()
        for key, value in texts.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 10
        span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 1
    return message.SerializeToString()


def post(url: str, body: bytes, content_type: str = "application/x-protobuf") -> None:
    asked = urllib.request.Request(url, body, {"content-type": content_type})  # noqa: S310 - our own address
    urllib.request.urlopen(asked, timeout=30).close()  # noqa: S310 - same


def send(service: Service, body: bytes) -> None:
    post(service.http_url + "/v1/traces", body)


@contextmanager
def serving(data: Path, **sections: Any) -> Iterator[Service]:
    service = build_service(
        Settings(server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=data), **sections)
    )
    service.start()
    try:
        yield service
    finally:
        service.stop()


def get(service: Service, path: str) -> Any:
    with urllib.request.urlopen(service.http_url + path, timeout=30) as answer:  # noqa: S310 - our own address
        return answer.read().decode()


def counts(service: Service) -> dict[str, int]:
    service.writer.wait_until_stored()
    sql = "+union+all+".join(f"select+'{table}'+as+t,count(*)+as+n+from+{table}" for table in TABLES)
    return {row["t"]: row["n"] for row in json.loads(get(service, f"/api/v1/query?sql={sql}"))["items"]}


SAMPLE = re.compile(
    r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? '
    r"(?P<value>[+-]?(?:[0-9.]+(?:e[+-]?[0-9]+)?|Inf)|NaN)\Z"
)
Samples = dict[tuple[str, str], float]


def parse(text: str) -> tuple[dict[str, str], Samples]:
    """Read the text format 0.0.4 strictly: HELP, TYPE, then the samples of the family, each family and sample once."""
    kinds: dict[str, str] = {}
    samples: Samples = {}
    family = helped = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, helped, meaning = line.split(" ", 3)
            assert meaning.strip()
            assert helped not in kinds
        elif line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family == helped
            kinds[family] = kind
        else:
            match = SAMPLE.match(line)
            assert match, line
            suffixes = ("_bucket", "_sum", "_count") if kinds[family] == "histogram" else ("",)
            assert match["name"] in {family + suffix for suffix in suffixes}, line
            key = match["name"], match["labels"] or ""
            assert key not in samples
            samples[key] = float(match["value"])
    return kinds, samples


def test_metrics_follow_the_text_format_and_the_conventions(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        send(service, request(1))
        bad = ExportTraceServiceRequest()
        bad.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes(16), span_id=b"12345678")
        send(service, bad.SerializeToString())
        service.writer.wait_until_stored()
        kinds, samples = parse(get(service, "/metrics"))
    for name, kind in kinds.items():
        assert name.startswith(("spanledger_", "process_")), name
        assert name.endswith("_total") == (kind == "counter"), name
    assert samples["spanledger_stored_rows_total", 'kind="spans"'] == SPANS
    reason = 'signal="traces",reason="trace_id must be 16 bytes and not zero"'
    assert samples["spanledger_rejected_items_total", reason] == 1
    buckets = [value for (name, _), value in samples.items() if name == "spanledger_commit_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert (
        samples["spanledger_commit_seconds_bucket", 'le="+Inf"'] == samples["spanledger_commit_seconds_count", ""] > 0
    )
    assert samples["spanledger_commit_seconds_sum", ""] > 0
    assert samples["process_resident_memory_bytes", ""] > 10**7
    assert samples["process_cpu_seconds_total", ""] > 0
    assert samples["spanledger_store_bytes", ""] > 0
    assert samples["spanledger_job_lag_seconds", 'job="retention"'] < 60
    assert ("spanledger_retention_deleted_rows_total", 'table="spans"') in samples
    assert all(math.isfinite(value) for value in samples.values())


def test_documented_metrics_are_the_metrics(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `((?:spanledger|process)_\w+)", page, re.MULTILINE))
    conditional = set(re.findall(r"^\| `((?:spanledger|process)_\w+).*\(only ", page, re.MULTILINE))
    with serving(tmp_path) as service:
        kinds, _ = parse(get(service, "/metrics"))
    assert set(kinds) <= documented
    assert documented - set(kinds) <= conditional


def test_retention_runs_in_the_service_and_calls_outlive_spans(tmp_path: Path) -> None:
    with serving(tmp_path, retention=RetentionConfig(interval_minutes=0)) as service:
        for days_ago in (0, 50, 100, 500):
            send(service, request(days_ago, days_ago=days_ago))
        assert counts(service) == {"spans": 4 * SPANS, "llm_calls": 4 * SPANS}
    with serving(tmp_path, retention=RetentionConfig(spans_days=60, interval_minutes=60)) as service:
        deadline = time.monotonic() + 60
        while counts(service) != {"spans": 2 * SPANS, "llm_calls": 3 * SPANS}:
            assert time.monotonic() < deadline, "retention did not run"
            time.sleep(0.05)  # between polls; nothing is measured


def cli(*words: str) -> int:
    return main(list(words))


def test_backup_under_load_restores_to_the_same_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = threading.Event()
    stop = threading.Event()
    number = 0

    def load(service: Service) -> None:
        nonlocal number
        while not stop.is_set():
            send(service, request(number))
            number += 1
            if number == 30:
                sent.set()

    with serving(tmp_path / "data") as service:
        client = threading.Thread(target=load, args=(service,))
        client.start()
        assert sent.wait(60)
        service.writer.wait_until_stored()
        assert cli("backup", "--out", str(tmp_path / "backup"), "--url", service.http_url, "--json") == 0
        stop.set()
        client.join()
        assert counts(service) == {"spans": number * SPANS, "llm_calls": number * SPANS}
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["rows"]["spans"] == manifest["rows"]["llm_calls"] >= 30 * SPANS
    assert (manifest["rows"]["spans"] % SPANS, manifest["journal_position"] > 0) == (0, True)

    assert cli("restore", "--from", str(tmp_path / "backup"), "--data", str(tmp_path / "new")) == 0
    with serving(tmp_path / "new") as service:
        assert counts(service) == {table: manifest["rows"][table] for table in TABLES}
        for again in range(number):  # clients that repeat everything add exactly what the backup lacks
            send(service, request(again))
        assert counts(service) == {"spans": number * SPANS, "llm_calls": number * SPANS}


def test_restore_beside_the_journal_of_a_killed_service_brings_everything_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with serving(data) as service:
        for number in range(5):
            send(service, request(number))
        service.writer.wait_until_stored()
        assert cli("backup", "--out", str(tmp_path / "backup"), "--url", service.http_url) == 0
    kill_while_sending(data)
    (data / "spanledger.duckdb").unlink()
    (data / "spanledger.duckdb.wal").unlink(missing_ok=True)
    assert cli("restore", "--from", str(tmp_path / "backup"), "--data", str(data)) == 1
    assert "say --keep-journal" in capsys.readouterr().err
    assert cli("restore", "--from", str(tmp_path / "backup"), "--data", str(data), "--keep-journal") == 0
    with serving(data) as service:
        assert service.writer.wait_until_ready(60)
        assert counts(service) == {"spans": 8 * SPANS, "llm_calls": 8 * SPANS}


def kill_while_sending(data: Path) -> None:
    """Start a service, have three requests acknowledged, and kill it before it stores them."""
    program = str(Path(sys.executable).parent / "spanledger")
    command = [program, "serve", "--data", str(data), "--port", "0", "--grpc-port", "0"]
    config = data.with_name("lazy.toml")
    config.write_text("[ingest]\ncommit_seconds = 3600\n")
    with subprocess.Popen(
        [*command, "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url = "http://" + process.stdout.readline().split()[-1]
        for number in range(5, 8):
            post(url + "/v1/traces", request(number))
        process.kill()


def test_backup_of_a_stopped_service_and_what_restore_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    with serving(data) as service:
        send(service, request(1))
        assert cli("backup", "--data", str(data), "--out", str(backup)) == 1
        assert "in use by process" in capsys.readouterr().err
    backup.rmdir()
    assert cli("backup", "--data", str(data), "--out", str(backup)) == 0
    assert f"{SPANS} spans" in capsys.readouterr().out

    def refused(source: Path, target: Path) -> str:
        assert cli("restore", "--from", str(source), "--data", str(target)) == 1
        return capsys.readouterr().err

    assert cli("backup", "--data", str(data), "--out", str(backup)) == 1
    assert "is not empty" in capsys.readouterr().err
    assert "has spanledger.duckdb" in refused(backup, data)
    assert "no complete backup" in refused(tmp_path, tmp_path / "new")
    database = backup / "spanledger.duckdb"
    content = bytearray(database.read_bytes())
    content[len(content) // 2] ^= 1
    database.write_bytes(content)
    assert "is not what was backed up" in refused(backup, tmp_path / "new")
    assert not (tmp_path / "new" / "spanledger.duckdb").exists()
    content[len(content) // 2] ^= 1
    database.write_bytes(content)
    (backup / "manifest.json").write_text(
        (backup / "manifest.json").read_text().replace('_version": 1', '_version": 9')
    )
    assert re.search(r"schema version 9, this spanledger knows 1: restore it with", refused(backup, tmp_path / "new"))


def test_budgets_alerts_and_keys_come_back_with_a_backup_and_nobody_gets_in_with_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, backup, new = tmp_path / "data", tmp_path / "backup", tmp_path / "new"
    definition = {"amount": 50, "use_case": "support", "allow_unseen": True}
    with serving(data) as service:
        asked = urllib.request.Request(  # noqa: S310 - our own address
            f"{service.http_url}/api/v1/budgets/shop",
            json.dumps(definition).encode(),
            {"content-type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(asked, timeout=30).close()  # noqa: S310 - same
        assert cli("backup", "--out", str(backup), "--url", service.http_url) == 0
    assert cli("backup", "--out", str(tmp_path / "stopped"), "--data", str(data)) == 0
    for folder in (backup, tmp_path / "stopped"):
        assert {file.name for file in folder.iterdir()} == {"spanledger.duckdb", "state.db", "manifest.json"}
        assert all(file.stat().st_mode & 0o077 == 0 for file in folder.glob("s*.d*b"))
    assert cli("restore", "--from", str(backup), "--data", str(new)) == 0
    with serving(new) as service:
        (found,) = json.loads(get(service, "/api/v1/budgets"))["items"]
        assert (found["name"], found["definition"]) == ("shop", definition)
    state = bytearray((backup / "state.db").read_bytes())
    state[len(state) // 2] ^= 1
    (backup / "state.db").write_bytes(state)
    capsys.readouterr()
    assert cli("restore", "--from", str(backup), "--data", str(tmp_path / "other")) == 1
    assert "state.db is not what was backed up" in capsys.readouterr().err


def test_backup_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("backup", "--out", str(tmp_path / "b"), "--url", "http://127.0.0.1:9") == 1
    assert "no Spanledger service answers" in capsys.readouterr().err
    assert cli("compact", "--data", str(tmp_path / "nothing")) == 1
    assert "has no spanledger.duckdb" in capsys.readouterr().err


def test_compaction_through_the_service_and_with_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path, content=ContentConfig(policy="full")) as service:
        for number in range(3):
            send(service, request(number))
        service.writer.wait_until_stored()
        assert cli("compact", "--url", service.http_url) == 0
        assert "bytes given back" in capsys.readouterr().out
        send(service, request(3))
        assert counts(service)["spans"] == 4 * SPANS
    assert cli("compact", "--data", str(tmp_path), "--json") == 0
    assert "freed_bytes" in json.loads(capsys.readouterr().out)
    with serving(tmp_path) as service:
        assert counts(service)["spans"] == 4 * SPANS


def test_a_page_of_another_site_cannot_start_a_backup(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        for path in ("backup", "backup/state", "compact"):
            with pytest.raises(HTTPError) as refusal:
                post(f"{service.http_url}/api/v1/admin/{path}", b"", "application/x-www-form-urlencoded")
            assert refusal.value.code == 415
            refusal.value.close()
