"""Admission of a running service: over HTTP, by tenants, until the ledger has the call; and processes that die."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_ingest.auth import KeyRing, StateDb
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ServerConfig, Settings, StoreConfig

SECOND = 10**9
CALL = {"model": "gpt-4o", "provider": "openai", "input_tokens": 100_000, "max_tokens": 25_000}
"""At most 0.50 USD: 0.25 in, 0.25 out."""


class Site:
    def __init__(self, service: Service, data: Path) -> None:
        self.service, self.data = service, data
        self.keys: dict[str, str] = {}

    def make(self, tenant: str, role: Any) -> None:
        with closing(StateDb(self.data)) as state:
            self.keys[tenant] = KeyRing(state).create([tenant], role, name=tenant, actor="test")[1].reveal()
        self.service._authenticator.refresh()

    def call(self, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
        return post(self.service.http_url, path, body, None if key is None else self.keys[key])


def post(url: str, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method="POST")  # noqa: S310 - our own address
    kind = "application/x-protobuf" if isinstance(body, bytes) else "application/json"
    request.add_header("Content-Type", kind)
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@contextmanager
def serving(data: Path, **settings: Any) -> Iterator[Site]:
    whole = {"server": ServerConfig(port=0, grpc_port=0), "store": StoreConfig(data=data, threads=1), **settings}
    service = build_service(Settings(**whole))
    service.start()
    try:
        yield Site(service, data)
    finally:
        service.stop()


def hard(amount: Any, **more: Any) -> dict[str, Any]:
    return {"amount": amount, "mode": "hard", "allow_unseen": True, **more}


def a_span(number: int, input_tokens: int, output_tokens: int) -> bytes:
    message = ExportTraceServiceRequest()
    ids = number.to_bytes(16, "big")
    span = message.resource_spans.add().scope_spans.add().spans.add(trace_id=ids, span_id=ids[8:], name="chat", kind=3)
    span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns(), time.time_ns() + SECOND
    texts = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = input_tokens
    span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = output_tokens
    return message.SerializeToString()


def test_from_the_question_until_the_ledger_has_it(tmp_path: Path) -> None:
    with serving(tmp_path, budgets={"all": hard(1)}) as site:
        ids = {"trace_id": f"{7:032x}", "span_id": f"{7:016x}"}
        status, first = site.call("/api/v1/budgets/admit", {**CALL, **ids})
        assert (status, first["decision"], first["budget"]) == (200, "allow", "all")
        assert first["reserved_usd"] == "0.500000000"
        assert site.call("/api/v1/budgets/admit", CALL)[1]["decision"] == "allow"
        refused = site.call("/api/v1/budgets/admit", CALL)[1]
        assert (refused["decision"], refused["reservation"]) == ("deny", None)
        assert refused["reset"].endswith("-01T00:00:00Z")
        settled = {"reservation": first["reservation"], "usage": {"input": 40_000, "output": 10_000}}
        assert site.call("/api/v1/budgets/settle", {"items": [settled]})[1]["unknown"] == []
        clamped = site.call("/api/v1/budgets/admit", CALL)[1]
        assert (clamped["decision"], clamped["max_tokens"]) == ("clamp", 5_000)
        assert site.call("/api/v1/budgets/release", {"reservations": [clamped["reservation"]]})[1] == {"released": 1}
        site.call("/v1/traces", a_span(7, 40_000, 10_000))
        until = time.monotonic() + 30
        while site.call("/api/v1/budgets/settle", {"items": [settled]})[1]["unknown"] != [first["reservation"]]:
            assert time.monotonic() < until
            time.sleep(0.05)  # between looks: the span is stored and counted within seconds
        assert site.call("/api/v1/budgets/admit", CALL)[1]["max_tokens"] == 5_000, "counted once, not twice"


def test_a_call_without_a_limit_gets_one_and_one_without_a_price_is_not_capped(tmp_path: Path) -> None:
    with serving(tmp_path, budgets={"all": hard(100)}) as site:
        answer = site.call("/api/v1/budgets/admit", {**CALL, "max_tokens": None})[1]
        assert (answer["decision"], answer["max_tokens"]) == ("clamp", 16_384)
        unknown = site.call("/api/v1/budgets/admit", {"model": "my-own"})[1]
        assert (unknown["decision"], unknown["reservation"]) == ("allow", None)


def test_tenants_have_their_own_and_touch_nobody_elses(tmp_path: Path) -> None:
    with serving(tmp_path, budgets={"each": hard("0.5", each="tenant")}) as site:
        site.make("acme", "ingest")
        site.make("zeta", "ingest")
        site.make("reader", "product")
        held = site.call("/api/v1/budgets/admit", {**CALL, "tenant": "zeta"}, "acme")[1]
        assert held["decision"] == "allow"
        assert site.call("/api/v1/budgets/admit", CALL, "acme")[1]["decision"] == "deny"
        assert site.call("/api/v1/budgets/release", {"reservations": [held["reservation"]]}, "zeta")[1]["released"] == 0
        assert site.call("/api/v1/budgets/admit", CALL, "zeta")[1]["decision"] == "allow"
        assert site.call("/api/v1/budgets/admit", CALL, "reader")[0] == 403
        assert site.call("/api/v1/budgets/admit", CALL)[0] == 401
        assert site.call("/api/v1/budgets/admit", {**CALL, "modell": "x"}, "acme")[0] == 422


def test_a_slice_over_http(tmp_path: Path) -> None:
    small = {**CALL, "input_tokens": 1000, "max_tokens": 100}
    with serving(tmp_path, budgets={"all": hard(1000)}) as site:
        for _ in range(20):
            site.call("/api/v1/budgets/admit", small)
        piece = site.call("/api/v1/budgets/lease", small)[1]["lease"]
        assert 0 < float(piece["amount_usd"]) <= 10
        item = {"reservation": piece["id"], "cost_usd": "0.001", "span_id": "a1", "trace_id": "b1"}
        left = site.call("/api/v1/budgets/settle", {"items": [item]})[1]["leases"][piece["id"]]
        assert float(left) == float(piece["amount_usd"]) - 0.001
        site.call("/api/v1/budgets/settle", {"items": [{"reservation": piece["id"], "keep_usd": "0"}]})
        again = site.call("/api/v1/budgets/settle", {"items": [item]})[1]
        assert again["leases"].get(piece["id"], "0.000000000") == "0.000000000"


def service_process(data: str) -> None:
    whole = {"server": ServerConfig(port=0, grpc_port=0), "store": StoreConfig(data=Path(data), threads=1)}
    service = build_service(Settings(budgets={"all": hard(1)}, **whole))  # type: ignore[arg-type] # made from a dict
    service.start()
    print(service.http_url, flush=True)  # noqa: T201 - for the test
    sys.stdin.read()  # until it is killed, or the test is gone


def start(*command: str) -> "subprocess.Popen[str]":
    script = __file__ if command[0] == "service" else str(Path(__file__).with_name("admission_application.py"))
    args = [sys.executable, script, *command[1:]]
    return subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def bills(folder: Path) -> list[float]:
    return [float(line) for path in folder.glob("bill-*") for line in path.read_text("ascii").splitlines()]


def life(folder: Path, number: int, asks: int) -> str:
    """Run a service and eight applications; kill it while they ask, or when they have ended; return its last word."""
    with start("service", str(folder)) as service:
        assert service.stdout is not None
        url = service.stdout.readline().strip()
        names = [f"{number}-{place}" for place in range(8)]
        workers = [start("application", url, name, str(folder / f"bill-{name}"), str(asks)) for name in names]
        if number == 0:
            workers[0].wait()
            service.kill()
        for worker in workers:
            with worker:
                worker.communicate()
        word = "" if number == 0 else str(post(url, "/api/v1/budgets/admit", CALL)[1]["decision"])
        service.kill()
    return word


def test_eight_processes_that_are_killed_never_spend_more_than_the_cap(tmp_path: Path) -> None:
    """The service is killed, too; SPANLEDGER_FULL=1 asks a million times."""
    asks = 62_500 if os.environ.get("SPANLEDGER_FULL") else 60
    words = []
    for number in range(3):
        words.append(life(tmp_path, number, asks if number else 20))
        assert sum(bills(tmp_path)) <= 1.0
    assert set(words) <= {"", "deny", "clamp"}, "the cap was reached"
    assert sum(bills(tmp_path)) > 0.25, "and its room was used"


if __name__ == "__main__":
    service_process(sys.argv[1])
