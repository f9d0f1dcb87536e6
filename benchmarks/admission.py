"""How long a question to admission takes over HTTP, at a steady rate.

    python -m benchmarks.admission [--rate 1000] [--seconds 10]

A service with one hard budget answers on loopback. Four processes ask on kept connections, each question at its time;
what is late because the one before was late counts as late.
"""

import argparse
import http.client
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from spanledger_ingest.service import build_service
from spanledger_ingest.settings import ServerConfig, Settings, StoreConfig

CALL = {"model": "gpt-4o", "provider": "openai", "input_tokens": 1000, "max_tokens": 500}
PROCESSES = 4
WARM = 2.0
"""Seconds that are not counted."""


def main() -> None:
    """Print the quantiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    addresses, results = context.Queue(), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        service = context.Process(target=serve, args=(folder, addresses), daemon=True)
        service.start()
        port = addresses.get(timeout=120)
        args = (port, options.rate / PROCESSES, options.seconds, results)
        askers = [context.Process(target=ask, args=args, daemon=True) for _ in range(PROCESSES)]
        for asker in askers:
            asker.start()
        times = np.concatenate([results.get(timeout=300) for _ in askers]) * 1000
        service.terminate()
        service.join()
    p50, p95, p99 = np.quantile(times, (0.5, 0.95, 0.99))
    sys.stdout.write(f"{len(times)} questions, {options.rate:g}/s: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms\n")


def serve(folder: str, addresses: Any) -> None:
    """Run a service until it is ended."""
    service = build_service(
        Settings(
            server=ServerConfig(port=0, grpc_port=0),
            store=StoreConfig(data=Path(folder), threads=1),
            budgets={"all": {"amount": 1_000_000, "mode": "hard"}},
        )
    )
    service.start()
    addresses.put(int(service.http_url.rsplit(":", 1)[1]))
    time.sleep(3600)


def ask(port: int, rate: float, seconds: float, results: Any) -> None:
    """Ask at a rate and put the seconds that answers took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps(CALL)
    found = []
    began = time.perf_counter()
    for number in range(int(rate * (seconds + WARM))):
        due = began + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        connection.request("POST", "/api/v1/budgets/admit", body, {"content-type": "application/json"})
        connection.getresponse().read()
        if due - began >= WARM:
            found.append(time.perf_counter() - due)
    results.put(np.array(found))


if __name__ == "__main__":
    main()
