"""No personal data in logs: canaries of every kind go through every door, and are found in the content store alone.

Eight kinds of data, 30 of each, are sent as prompts, answers, passages and log events, in broken requests, in
addresses, headers and SQL that fail, into handlers that raise, scorers that quote and webhooks that fail. Then every
byte of logs, output, metrics and files is searched for them in six encodings, and every table for them as text.
"""

import base64
import gzip
import json
import logging
import re
import socket
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import duckdb
import grpc
import psycopg
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger._pii import find
from spanledger_analytics import schema
from spanledger_analytics.evaluation import Evidence
from spanledger_analytics.scorers import default_scorers
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import (
    AlertingConfig,
    ContentConfig,
    ScoringConfig,
    ServerConfig,
    Settings,
    StoreConfig,
)
from spanledger_ingest.store import DuckDBStore

EACH = 30
T0 = 1_790_000_000 * 10**9
Policy = Literal["none", "masked", "full"]


def _luhn(body: str) -> str:
    doubled = [int(char) * 2 - 9 * (int(char) > 4) for char in body[-1::-2]]
    return body + str(-(sum(doubled) + sum(int(char) for char in body[-2::-2])) % 10)


def _iban(account: str) -> str:
    return f"DE{98 - int(account + '131400') % 97:02d}{account}"


def canaries() -> dict[str, list[str]]:
    numbers = range(EACH)
    return {
        "email": [f"kanari{n:03d}x@canary-mail.example" for n in numbers],
        "card": [_luhn(f"45390{n:03d}7712365") for n in numbers],
        "iban": [_iban(f"37040044{n:03d}7312019") for n in numbers],
        "ssn": [f"4{n:02d}-73-9{n:03d}" for n in numbers],
        "phone": [f"+49 30 7731{n:04d}" for n in numbers],
        "ip": [f"93.184.{n + 11}.{n + 101}" for n in numbers],
        "secret": [f"sk-proj-kanari{n:03d}QmZyT7pLw4Xv" for n in numbers],
        "word": [f"zqxjkvbw{n:03d}prompt" for n in numbers],
    }


CANARIES = canaries()
EVERY = [canary for kind in CANARIES.values() for canary in kind]


def forms(canary: str) -> Iterator[bytes]:
    """Yield the spellings: raw, in JSON, in an address, hex, and base64 at each offset."""
    raw = canary.encode()
    yield raw
    yield json.dumps(canary).strip('"').encode()
    yield quote(canary, safe="").encode()
    yield raw.hex().encode()
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + raw)
        yield whole[4 if offset else 0 : len(whole) // 4 * 4 - 4]


_ANY = re.compile(b"|".join(re.escape(form) for form in sorted({f for one in EVERY for f in forms(one)})))


def leaks(place: str, content: bytes) -> list[str]:
    """Return what is found in the content, and in what is gzipped inside it."""
    found = [f"{place}: {match.group()!r}" for match in _ANY.finditer(content)]
    for match in re.finditer(rb"\x1f\x8b\x08", content):
        with suppress(zlib.error):
            inner = zlib.decompressobj(31).decompress(content[match.start() :], 16 * 2**20)
            found += [f"{place}, gzipped: {one.group()!r}" for one in _ANY.finditer(inner)]
    return found


def request_of(number: int) -> bytes:
    """Return a call whose question, answer and passage hold a canary of each kind."""
    said = " ".join(kind[number] for kind in CANARIES.values())
    message = ExportTraceServiceRequest()
    span = (
        message.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=number.to_bytes(16, "big", signed=False) if number else b"\1" * 16,
            span_id=(number + 1).to_bytes(8, "big"),
            name="chat gpt-4o",
            kind=3,
        )
    )
    span.start_time_unix_nano, span.end_time_unix_nano = T0, T0 + 10**9
    parts = [{"type": "text", "content": f"my card {said}"}]
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}]),
        "gen_ai.retrieval.documents": json.dumps([{"id": "1", "content": f"passage {said}"}]),
    }
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    event = span.events.add(name="exception", time_unix_nano=T0)
    event.attributes.add(key="exception.message").value.string_value = said
    return message.SerializeToString()


def log_of(number: int) -> bytes:
    message = ExportLogsServiceRequest()
    log = (
        message.resource_logs.add()
        .scope_logs.add()
        .log_records.add(time_unix_nano=T0, event_name="gen_ai.user.message", trace_id=b"\1" * 16, span_id=b"\2" * 8)
    )
    log.body.kvlist_value.values.add(key="content").value.string_value = " ".join(k[number] for k in CANARIES.values())
    return message.SerializeToString()


def ask(url: str, body: bytes | None = None, **headers: str) -> int:
    request = urllib.request.Request(url, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()})  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


PROTOBUF = "application/x-protobuf"


class Quoting:
    """A scorer that fails with the text in its message."""

    names = ("quoting",)
    version = "1"

    def score(self, evidence: Evidence) -> Sequence[Any]:
        raise RuntimeError(evidence.output)


class Gossip:
    """A receiver of webhooks that fails, and says so with everything it should not."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        gossip = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                gossip.got.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(500, CANARIES["word"][3])
                self.send_header("X-Why", CANARIES["email"][3])
                self.end_headers()
                self.wfile.write("\n".join(EVERY).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def gossip() -> Iterator[Gossip]:
    opened = Gossip()
    yield opened
    opened.close()


def receivers_of(port: int) -> dict[str, dict[str, Any]]:
    """Return receivers whose addresses and headers are secrets: one answers with an error, one is not there."""
    local: dict[str, Any] = {"allow": ["127.0.0.0/8"], "allow_http": True, "shape": "alertmanager"}
    headers = {"Authorization": f"Bearer {CANARIES['secret'][1]}"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = int(free.getsockname()[1])
    return {
        "gossip": {
            **local, "url": f"http://127.0.0.1:{port}/{CANARIES['word'][1]}", "ports": [port], "headers": headers,
        },
        "nobody": {
            **local, "url": f"http://127.0.0.1:{nobody}/?to={CANARIES['secret'][2]}", "ports": [nobody],
        },
    }  # fmt: skip


def send_everything(service: Service) -> set[int]:
    """Send the canaries through every door; return the status codes met."""
    url, met = service.http_url, set()
    ports = dict(line.split(" ", 1) for line in service.listeners())
    for number in range(EACH):
        said = " ".join(kind[number] for kind in CANARIES.values())
        met.add(ask(f"{url}/v1/traces", request_of(number), content_type=PROTOBUF))
        met.add(ask(f"{url}/v1/logs", log_of(number), content_type=PROTOBUF))
        met.add(ask(f"{url}/v1/traces", said.encode(), content_type=PROTOBUF))
        met.add(ask(f"{url}/v1/traces", b'{"resourceSpans": "' + said.encode(), content_type="application/json"))
        met.add(
            ask(f"{url}/v1/traces", gzip.compress(said.encode())[:-4], content_type=PROTOBUF, content_encoding="gzip")
        )
        met.add(ask(f"{url}/{quote(said, safe='')}"))
        met.add(ask(f"{url}/api/v1/calls?tenant={quote(said)}", authorization="Bearer " + said.replace("\n", " ")))
        met.add(ask(f"{url}/api/v1/calls?{quote(said, safe='')}=1", referer=quote(said), user_agent=quote(said)))
        for sql in ("SELECT * FROM '{}'", "SELECT CAST('{}' AS INTEGER)", "SELEKT '{}'"):
            met.add(ask(f"{url}/api/v1/query?sql={quote(sql.format(said))}"))
    with grpc.insecure_channel(ports["grpc"]) as channel:
        export: Any = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        for canary in EVERY:
            with suppress(grpc.RpcError):
                export(canary.encode(), timeout=10)
    host, port = ports["pg"].split(":")
    with psycopg.connect(host=host, port=int(port), user="all", dbname="x", autocommit=True) as connection:
        for canary in EVERY:
            with suppress(psycopg.Error):
                connection.execute(f"SELECT CAST('{canary}' AS INTEGER)".encode())
    return met


def raise_everywhere(service: Service, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a handler, the writer and jobs fail on an exception that quotes, as those of databases do."""

    def failing(*_: object, **__: object) -> None:
        raise duckdb.ConversionException(" ".join(EVERY))

    with monkeypatch.context() as patch:
        for method in ("calls", "append", "changes"):
            patch.setattr(DuckDBStore, method, failing)
        ask(f"{service.http_url}/v1/traces", request_of(EACH - 1), content_type=PROTOBUF)
        wait(lambda: b'job_failures_total{job="scores"} 0' not in metrics(service))
        wait(lambda: b"spanledger_store_failures_total 0" not in metrics(service))
        return ask(f"{service.http_url}/api/v1/calls")


def wait(done: Any) -> None:
    until = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def tables(data: Path) -> Iterator[tuple[str, bytes]]:
    with duckdb.connect(str(data / "spanledger.duckdb"), read_only=True) as connection:
        for table in schema.TABLES:
            rows = connection.sql(f'SELECT * FROM priv."{table.name}"').to_arrow_table()  # noqa: S608 - a constant
            yield table.name, repr(rows.to_pylist()).encode()


@pytest.mark.parametrize("policy", ["none", "masked", "full"])
def test_personal_data_is_in_the_content_store_alone(
    policy: Policy,
    tmp_path: Path,
    gossip: Gossip,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tmp_path / "data"
    settings = Settings(
        server=ServerConfig(port=0, grpc_port=0),
        store=StoreConfig(data=data, threads=1),
        content=ContentConfig(policy=policy),
        scoring=ScoringConfig(quiet_seconds=0.0, late_seconds=0.0),
        alerting=AlertingConfig(group_wait="0s", group_interval="0s"),
        rules={"broken": {"metric": "rejected", "threshold": 1, "window": "1h", "every": "1s", "by": ["reason"]}},
        receivers=receivers_of(gossip.port),
    )
    with monkeypatch.context() as patch:
        scorers = (Quoting(), *default_scorers())
        patch.setattr("spanledger_ingest.scoring._quality.installed_scorers", lambda: scorers)
        service = build_service(settings)
    with caplog.at_level(logging.DEBUG):
        service.start()
        try:
            met = send_everything(service)
            assert {200, 400, 404} <= met
            assert raise_everywhere(service, monkeypatch) == 500
            wait(lambda: service.intake.stats().lag_seconds == 0)
            wait(lambda: gossip.got and failures_of(metrics(service)) > 1)
            if policy != "none":
                wait(lambda: b'scorer_failures_total{score="quoting"}' in metrics(service))
            shown = metrics(service)
        finally:
            service.stop()
    captured = capfd.readouterr()
    found = [*leaks("log", caplog.text.encode()), *leaks("output", (captured.out + captured.err).encode())]
    found += leaks("metrics", shown)
    kept = {name: bool(leaks(name, rows)) for name, rows in tables(data)}
    assert {name for name, held in kept.items() if held} == (set() if policy == "none" else {"span_content"})
    if policy == "masked":
        text = dict(tables(data))["span_content"]
        assert all(f"[{kind}]".encode() in text for kind in CANARIES if kind != "word")
        assert set(_ANY.findall(text)) <= {form for word in CANARIES["word"] for form in forms(word)}
    found += [leak for body in gossip.got for leak in leaks("webhook", body)]
    for file in data.rglob("*"):
        # The journal is what clients sent, as they sent it, until it is safe in the database.
        if file.is_file() and not file.name.startswith("spanledger.duckdb") and file.parent.name != "journal":
            found += leaks(str(file), file.read_bytes())
    assert found == []


def failures_of(shown: bytes) -> float:
    """Return how many attempts to deliver failed."""
    return sum(
        float(line.split()[-1]) for line in shown.splitlines() if line.startswith(b"spanledger_delivery_failures")
    )


def metrics(service: Service) -> bytes:
    with urllib.request.urlopen(service.http_url + "/metrics", timeout=20) as answer:  # noqa: S310 - our own address
        return bytes(answer.read())


def test_there_are_enough_canaries_and_they_are_what_they_look_like() -> None:
    assert len(EVERY) == len(set(EVERY)) >= 200
    for kind, of_kind in CANARIES.items():
        if kind != "word":
            assert {hit.kind for canary in of_kind for hit in find(f"({canary})")} == {kind}


@pytest.mark.parametrize("kind", CANARIES)
def test_the_search_finds_what_was_planted(kind: str) -> None:
    for canary in CANARIES[kind]:
        for planted in forms(canary):
            assert leaks("here", b"before " + planted + b" after")
        assert leaks("here", b"\0\1" + gzip.compress(canary.encode()) + b"rest")
        assert leaks("here", base64.b64encode(b"xx" + canary.encode() + b"yy"))
    assert not leaks("here", b"nothing of the kind")


def test_a_planted_leak_in_a_log_is_caught(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("spanledger_ingest").info("could not store %s", EVERY[7])
    assert leaks("log", caplog.text.encode())
