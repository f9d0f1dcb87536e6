"""Does one tenant that sends far above its limit slow the others down?

    .venv/bin/python -m benchmarks.fairness [--rounds N] [--seconds S] [--json]

Eight quiet tenants send four requests of 64 spans a second each, all the time. A ninth is silent, sends at its limit,
or at twenty times its limit without any regard for what it is answered; the three take turns within each round, so that
whatever else the machine does meets them alike. What counts is the time from when a quiet request was due until it was
acknowledged. Clients and service share the machine.
"""

import argparse
import gzip
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks._payload import request as full_request
from benchmarks._process import running, wait_for
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_ingest.auth import KeyRing, StateDb

SPANS = 64
QUIET_TENANTS = 8
QUIET_PER_SECOND = 4.0
LIMIT_PER_SECOND = 10.0
"""Requests of the noisy tenant that its limit, in spans, has room for."""
NOISY_CONNECTIONS = 10
TIMES_ABOVE = 20
GOAL = 1.10
PHASES = {"silent": 0.0, "at its limit": 1.0, f"{TIMES_ABOVE}x its limit": float(TIMES_ABOVE)}


def body(number: int) -> bytes:
    """Return a compressed request of 64 spans, half of them model calls."""
    message = ExportTraceServiceRequest.FromString(full_request(number, time.time_ns()))
    for scope in message.resource_spans[0].scope_spans:
        del scope.spans[SPANS // 2 :]
    return gzip.compress(message.SerializeToString(), 1)


class Client:
    """One connection that sends at a fixed pace, whatever the answers.

    Args:
        port: of the service.
        key: of the tenant.
        bodies: sent in turn.
        per_second: pace; requests that are due while one is on its way are sent late, and that counts.
    """

    def __init__(self, port: int, key: str, bodies: Sequence[bytes], per_second: float) -> None:
        self.seconds: list[float] = []
        self.answers: Counter[int] = Counter()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
        }
        self._bodies = bodies
        self._pause = 1 / per_second

    def run(self, start: float, seconds: float) -> None:
        """Send from ``start`` (monotonic) on, for so long."""
        number, due = 0, start
        while due < start + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self._send(self._bodies[number % len(self._bodies)])
            self.seconds.append(time.monotonic() - due)
            number, due = number + 1, due + self._pause
        self._connection.close()

    def _send(self, content: bytes) -> None:
        try:
            self._connection.request("POST", "/v1/traces", content, self._headers)
            answer = self._connection.getresponse()
            answer.read()
            self.answers[answer.status] += 1
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self.answers[0] += 1


def drive(clients: Sequence[Client], seconds: float) -> None:
    """Let clients send side by side, evenly shifted."""
    start = time.monotonic() + 0.1
    shift = 1 / len(clients) / QUIET_PER_SECOND
    threads = [
        threading.Thread(target=client.run, args=(start + place * shift, seconds))
        for place, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def noisy(port: int, key: str, per_second: float, seconds: float) -> None:
    """Be the noisy tenant; print what it was answered."""
    bodies = [body(10_000 + number) for number in range(20)]
    pace = per_second / NOISY_CONNECTIONS
    clients = [Client(port, key, bodies, pace) for _ in range(NOISY_CONNECTIONS)]
    print("ready", flush=True)
    sys.stdin.readline()
    drive(clients, seconds)
    print(json.dumps(sum((client.answers for client in clients), Counter())))


@contextmanager
def neighbour(port: int, key: str, times: float, seconds: float) -> Iterator[Counter[str]]:
    """Have the noisy tenant in a process of its own while the context lasts; its answers are there afterwards."""
    answers: Counter[str] = Counter()
    if not times:
        yield answers
        return
    pace = str(times * LIMIT_PER_SECOND)
    command = [sys.executable, "-m", "benchmarks.fairness", "--noisy", str(port), pace, str(seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={"NOISY_KEY": key}) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        yield answers
        answers.update(json.loads(process.stdout.readline()))


def measure(port: int, keys: dict[str, str], rounds: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """Return for each phase, round by round, the quiet tenants' p50 and p95 in ms and what was answered."""
    bodies = [body(number) for number in range(40)]
    found: dict[str, list[dict[str, float]]] = {phase: [] for phase in PHASES}
    quiet = [key for name, key in keys.items() if name != "noisy"]
    for round_ in range(rounds + 1):
        for phase, times in PHASES.items():
            with neighbour(port, keys["noisy"], times, seconds) as answers:
                clients = [Client(port, key, bodies, QUIET_PER_SECOND) for key in quiet]
                drive(clients, seconds)
            if round_:  # the first one warms up
                found[phase].append(_summary(clients, answers))
    return found


def _summary(clients: Sequence[Client], answers: Counter[str]) -> dict[str, float]:
    times = sorted(1000 * taken for client in clients for taken in client.seconds)
    statuses = sum((client.answers for client in clients), Counter[int]())
    return {
        "p50_ms": statistics.median(times),
        "p95_ms": times[int(0.95 * len(times))],
        "quiet_refused": statuses.total() - statuses[200],
        "noisy_accepted": answers["200"],
        "noisy_refused": answers.total() - answers["200"],
    }


def report(found: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return medians over the rounds, and the median ratio of p95 to the silent phase of the same round."""
    table = {}
    for phase, rounds in found.items():
        table[phase] = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        pairs = zip(rounds, found["silent"], strict=True)
        table[phase]["p95_ratio"] = statistics.median(one["p95_ms"] / silent["p95_ms"] for one, silent in pairs)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if the goal is missed."""
    options = _parser().parse_args(arguments)
    if options.noisy:
        import os  # noqa: PLC0415 - only the noisy process reads its key from there

        port, pace, seconds = options.noisy
        noisy(int(port), os.environ["NOISY_KEY"], float(pace), float(seconds))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        found = _with_service(Path(scratch), options.rounds, options.seconds)
    table = report(found)
    print(json.dumps({"phases": table, "rounds": found}, indent=2) if options.json else _text(table))
    return 0 if table[f"{TIMES_ABOVE}x its limit"]["p95_ratio"] <= GOAL else 1


def _with_service(scratch: Path, rounds: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    data, config = scratch / "data", scratch / "spanledger.toml"
    items = SPANS * LIMIT_PER_SECOND
    config.write_text(f'[[limits.tenant]]\nname = "noisy"\nitems_per_second = {items}\nburst_seconds = 1\n')
    with closing(StateDb(data)) as state:
        ring = KeyRing(state)
        names = ["noisy", *(f"quiet-{number}" for number in range(QUIET_TENANTS))]
        keys = {name: ring.create([name], "ingest", actor="benchmark")[1].reveal() for name in names}
    program = str(Path(sys.executable).parent / "spanledger")
    command = [program, "serve", "--data", str(data), "--config", str(config), "--port", "0", "--grpc-port", "0"]
    with running(command, scratch / "log") as server:
        if server.process.stdout is None:
            raise RuntimeError("no pipe")
        port = int(server.process.stdout.readline().rsplit(":", 1)[1])
        wait_for(lambda: _ready(port), 60)
        return measure(port, keys, rounds, seconds)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/readyz")
    status = connection.getresponse().status
    connection.close()
    return status == 200


def _text(table: dict[str, dict[str, float]]) -> str:
    lines = ["| noisy tenant | its requests taken / refused | others' p50 ms | p95 ms | p95 against silent |"]
    lines.append("|---|---|---|---|---|")
    for phase, row in table.items():
        counts = f"{row['noisy_accepted']:.0f} / {row['noisy_refused']:.0f}"
        times = f"{row['p50_ms']:.1f} | {row['p95_ms']:.1f}"
        lines.append(f"| {phase} | {counts} | {times} | {row['p95_ratio']:.2f} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds measured, each with all three (default 5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each of the three (default 8)")
    parser.add_argument("--json", action="store_true", help="print every round")
    parser.add_argument("--noisy", nargs=3, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
