"""The client of the ingest benchmark, a process of its own: reads requests into memory, then sends them all.

    python -m benchmarks._load --url URL --connections 16 FOLDER FIRST COUNT

Prints ``ready`` when it has read the requests, starts at the first line on its standard input, and ends with one line
of JSON: seconds, the latency of every acknowledgement in ms, and how many answers were refusals (sent again after the
``Retry-After`` that they name).
"""

import argparse
import http.client
import json
import sys
import threading
import time
import urllib.parse
from collections import deque
from pathlib import Path
from typing import Any


class Sender:
    """Connections that take requests from one queue until it is empty."""

    def __init__(self, url: str, headers: dict[str, str], bodies: list[bytes]) -> None:
        self._target = urllib.parse.urlsplit(url)
        self._headers = headers
        self._bodies = deque(bodies)
        self.latencies: list[float] = []
        self.refusals = 0

    def run(self, connections: int) -> float:
        """Send everything; return the seconds from the first byte to the last acknowledgement."""
        threads = [threading.Thread(target=self._send_until_empty) for _ in range(connections)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started

    def _send_until_empty(self) -> None:
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=300)
        while True:
            try:
                body = self._bodies.popleft()
            except IndexError:
                break
            started = time.perf_counter()
            while (wait := self._send(connection, body)) is not None:
                self.refusals += 1
                time.sleep(wait)
            self.latencies.append((time.perf_counter() - started) * 1000)
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, body: bytes) -> float | None:
        """Send one request; return ``None`` if it was acknowledged, else the seconds to wait."""
        connection.request("POST", self._target.path, body, self._headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status == 200:
            return None
        if response.status not in {429, 502, 503, 504}:
            sys.exit(f"refused for good: {response.status} {answer[:500]!r}")
        return float(response.headers.get("retry-after") or 1.0)


def main() -> None:
    """Read, wait for the word, send, report."""
    options = _parser().parse_args()
    suffix = "pb" if options.plain else "pb.gz"
    places = range(options.first, options.first + options.count)
    bodies = [(options.folder / f"{number:06}.{suffix}").read_bytes() for number in places]
    headers = {"content-type": "application/x-protobuf", **dict(pair.split("=", 1) for pair in options.header)}
    if not options.plain:
        headers["content-encoding"] = "gzip"
    sender = Sender(options.url, headers, bodies)
    print("ready", flush=True)
    sys.stdin.readline()
    report: dict[str, Any] = {"seconds": sender.run(options.connections)}
    report |= {"latencies_ms": sender.latencies, "refusals": sender.refusals}
    print(json.dumps(report), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Send prepared OTLP requests.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--plain", action="store_true", help="send the requests uncompressed")
    parser.add_argument("folder", type=Path)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    return parser


if __name__ == "__main__":
    main()
