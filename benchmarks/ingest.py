"""How fast the service takes spans, on this machine, with the client beside it on the same cores.

    python -m benchmarks.ingest [--spans 300000] [--peer phoenix] [--peer mlflow] [--json]

Starts the real ``spanledger serve``, sends it OTLP requests of 512 spans (:mod:`benchmarks._payload`) over 16
connections with gzip from another process, and waits until a query counts every span. Peers get the first requests of
the same payload in the same run, uncompressed and fewer of them (they take minutes), each from a virtual environment
that this script makes; what counts is what stands in their own database. The exit status is 1 where a goal is missed.
"""

import argparse
import gzip
import http.client
import json
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import _payload, _peers
from benchmarks._process import Server, folder_bytes, running, wait_for
from benchmarks._sending import send

BASE_NS = 1_767_225_600 * 10**9
"""2026-01-01: the same requests whenever the benchmark runs."""
_DEADLINE = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run showed."""

    spans: int
    requests: int
    connections: int
    acknowledged_per_s: float
    queryable_per_s: float
    cpu_us_per_span: float
    ack_p50_ms: float
    ack_p99_ms: float
    refusals: int
    rss_idle_mib: float
    rss_peak_mib: float
    disk_bytes_per_span: float
    payload_bytes_per_span: float
    gzip_bytes_per_span: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, judge."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as scratch:
        folder = options.payload or Path(scratch) / "payload"
        batches = max(1, options.spans // _payload.SPANS_PER_BATCH)
        write_payload(folder, batches)
        report = measure(folder, batches, Path(scratch), options.connections)
        peers = [_peers.measure(name, folder, Path(scratch), options.peers) for name in options.peer]
    result = {"spanledger": asdict(report), "peers": [asdict(peer) for peer in peers]}
    print(json.dumps(result, indent=2) if options.json else _table(report, peers))
    return 0 if all(met for _, met in _goals(report, peers)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How fast the service takes spans.")
    parser.add_argument("--spans", type=int, default=300_000, help="spans to send (default 300000)")
    parser.add_argument("--connections", type=int, default=16, help="parallel connections (default 16)")
    parser.add_argument("--payload", type=Path, help="folder that keeps the generated requests for the next run")
    parser.add_argument(
        "--peer", action="append", default=[], choices=sorted(_peers.PEERS), help="also measure this one"
    )
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="folder of the peers' environments")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def write_payload(folder: Path, batches: int) -> None:
    """Write the requests that are not in the folder yet, plain and as gzip."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(batches) if not _path(folder, number, "pb.gz").exists()]
    with ProcessPoolExecutor() as pool:
        list(pool.map(_write, [folder] * len(missing), missing, chunksize=8))


def _write(folder: Path, number: int) -> None:
    body = _payload.request(number, BASE_NS)
    _path(folder, number, "pb").write_bytes(body)
    _path(folder, number, "pb.gz").write_bytes(gzip.compress(body, 6, mtime=0))


def _path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{number:06}.{suffix}"


def measure(folder: Path, batches: int, scratch: Path, connections: int) -> Report:
    """Measure the service from the first request to the query that counts the last span."""
    data = scratch / "data"
    spans = batches * _payload.SPANS_PER_BATCH
    command = [str(Path(sys.executable).parent / "spanledger"), "serve", "--data", str(data), "--port", "0"]
    with running([*command, "--grpc-port", "0", "--pg-port", "0"], scratch / "spanledger.log") as server:
        port = _port(server)
        idle, cpu = server.rss_mib(peak=False), server.cpu_seconds()
        started, sent = send(f"http://127.0.0.1:{port}/v1/traces", folder, batches, connections)
        if not wait_for(lambda: _stored(port) >= spans, _DEADLINE, 0.5):
            sys.exit(f"only {_stored(port)} of {spans} spans are stored, see {server.log}")
        seconds, cpu = time.monotonic() - started, server.cpu_seconds() - cpu
        stored, peak = _stored(port), server.rss_mib(peak=True)
        server.stop()
    if stored != spans:
        sys.exit(f"{spans} spans were sent and {stored} are stored")
    latencies = statistics.quantiles(sent["latencies_ms"], n=100, method="inclusive")
    return Report(
        spans=spans,
        requests=batches,
        connections=connections,
        acknowledged_per_s=spans / sent["seconds"],
        queryable_per_s=spans / seconds,
        cpu_us_per_span=cpu / spans * 1e6,
        ack_p50_ms=latencies[49],
        ack_p99_ms=latencies[98],
        refusals=sent["refusals"],
        rss_idle_mib=idle,
        rss_peak_mib=peak,
        disk_bytes_per_span=folder_bytes(data) / spans,
        payload_bytes_per_span=_mean_size(folder, batches, "pb"),
        gzip_bytes_per_span=_mean_size(folder, batches, "pb.gz"),
    )


def _port(server: Server) -> int:
    if server.process.stdout is None:
        sys.exit("the service has no output")
    line = server.process.stdout.readline()
    if not line.startswith("listening http"):
        sys.exit(f"the service did not start: {server.log.read_text()}")
    return int(line.rsplit(":", 1)[1])


def _stored(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    sql = urllib.parse.urlencode({"sql": "select count(*) as spans from spans"})
    connection.request("GET", f"/api/v1/query?{sql}")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return int(answer["items"][0]["spans"])


def _mean_size(folder: Path, batches: int, suffix: str) -> float:
    sizes = [_path(folder, number, suffix).stat().st_size for number in range(batches)]
    return sum(sizes) / batches / _payload.SPANS_PER_BATCH


def _goals(report: Report, peers: Sequence[_peers.PeerReport]) -> list[tuple[str, bool]]:
    """Return the goals with whether they are met. They are for 300,000 spans on two cores."""
    goals = [
        (f"{report.queryable_per_s:,.0f} queryable spans/s, goal 20,000", report.queryable_per_s >= 20_000),
        (f"acknowledged within {report.ack_p99_ms:.0f} ms (p99), goal 150", report.ack_p99_ms < 150),
        (f"{report.rss_peak_mib:.0f} MiB of memory at most, goal 1,144 (1.2 GB)", report.rss_peak_mib < 1144),
    ]
    for peer in peers:
        if peer.stored_per_s:
            ratio, goal = report.queryable_per_s / peer.stored_per_s, _peers.PEERS[peer.name].goal
            goals.append((f"{ratio:,.0f} times {peer.name}'s stored spans/s, goal {goal}", ratio >= goal))
    return goals


def _table(report: Report, peers: Sequence[_peers.PeerReport]) -> str:
    payload = (
        f"{report.spans:,} spans in {report.requests:,} requests of {_payload.SPANS_PER_BATCH}, "
        f"{report.connections} connections, {report.payload_bytes_per_span:,.0f} bytes a span, "
        f"{report.gzip_bytes_per_span:,.0f} as gzip"
    )
    head = (
        f"{'':<12} {'spans':>8} {'acked/s':>9} {'stored/s':>9} {'CPU us/span':>12} {'p50 ms':>7} {'p99 ms':>7} "
        f"{'RSS MiB':>12} {'disk B/span':>12}"
    )
    ours = (
        f"{'spanledger':<12} {report.spans:>8} {report.acknowledged_per_s:>9,.0f} {report.queryable_per_s:>9,.0f} "
        f"{report.cpu_us_per_span:>12.1f} {report.ack_p50_ms:>7.0f} {report.ack_p99_ms:>7.0f} "
        f"{report.rss_idle_mib:>5.0f}/{report.rss_peak_mib:>6.0f} {report.disk_bytes_per_span:>12.0f}"
    )
    goals = [f"{'met   ' if met else 'MISSED'}  {goal}" for goal, met in _goals(report, peers)]
    return "\n".join([payload, "", head, ours, *(peer.line() for peer in peers), "", *goals])


if __name__ == "__main__":
    sys.exit(main())
