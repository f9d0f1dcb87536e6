"""The peers of the ingest benchmark: how they are installed, started, fed and counted.

A peer's answer 200 is no proof that a span is stored, so what counts is what stands in its own SQLite file.
"""

import http.client
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import _payload
from benchmarks._process import Server, folder_bytes, running, wait_for
from benchmarks._sending import send

_START_SECONDS: Final = 180.0
_STORE_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server that takes OTLP/HTTP and keeps spans in SQLite."""

    requirement: str
    goal: int
    """How many times its stored spans/s ours must be."""
    batches: int
    connections: int
    command: Callable[[Path, Path, int], list[str]]
    """From its environment's ``bin``, its data folder and its port."""
    environment: Callable[[Path, int], dict[str, str]]
    database: str
    headers: tuple[str, ...] = ()


PEERS: Final = {
    "phoenix": Peer(
        requirement="arize-phoenix==20.26.1",
        goal=200,
        batches=20,
        connections=2,
        command=lambda binaries, _data, _port: [str(binaries / "phoenix"), "serve"],
        environment=lambda data, port: {
            "PHOENIX_WORKING_DIR": str(data),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        database="phoenix.db",
    ),
    "mlflow": Peer(
        requirement="mlflow==3.17.2",
        goal=50,
        batches=16,
        connections=1,
        command=lambda binaries, data, port: [
            *(str(binaries / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{data / 'mlflow.db'}"),
            *("--artifacts-destination", str(data / "artifacts")),
        ],
        environment=lambda _data, _port: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        database="mlflow.db",
        headers=("x-mlflow-experiment-id=0",),
    ),
}
"""Numbers of requests and connections are those with which each was fastest and lost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """What a peer's run showed; ``skipped`` says why there was none."""

    name: str
    requirement: str
    skipped: str = ""
    spans: int = 0
    stored: int = 0
    acknowledged_per_s: float = 0.0
    stored_per_s: float = 0.0
    cpu_us_per_span: float = 0.0
    refusals: int = 0
    rss_idle_mib: float = 0.0
    rss_peak_mib: float = 0.0
    disk_bytes_per_span: float = 0.0

    def line(self) -> str:
        """Return the row of the table."""
        if self.skipped:
            return f"{self.name:<12} skipped: {self.skipped}"
        return (
            f"{self.name:<12} {self.stored:>8} {self.acknowledged_per_s:>9,.0f} {self.stored_per_s:>9,.0f} "
            f"{self.cpu_us_per_span:>12,.0f} {'':>7} {'':>7} {self.rss_idle_mib:>5.0f}/{self.rss_peak_mib:>6.0f} "
            f"{self.disk_bytes_per_span:>12,.0f}"
        )


def measure(name: str, folder: Path, scratch: Path, environments: Path) -> PeerReport:
    """Measure a peer from the first request until its database holds every span, or no more come."""
    peer = PEERS[name]
    reason = _install(peer, environments / name)
    if reason:
        return PeerReport(name=name, requirement=peer.requirement, skipped=reason)
    data = scratch / name
    data.mkdir()
    port = free_port()
    command = peer.command(environments / name / "bin", data, port)
    with running(command, scratch / f"{name}.log", peer.environment(data, port)) as server:
        if not wait_for(lambda: _answers(port), _START_SECONDS):
            reason = f"it did not start, see its last words: {server.log.read_text()[-300:]!r}"
            return PeerReport(name=name, requirement=peer.requirement, skipped=reason)
        return _run(name, peer, server, folder, data, port)


def _run(name: str, peer: Peer, server: Server, folder: Path, data: Path, port: int) -> PeerReport:
    batches = min(peer.batches, len(list(folder.glob("*.pb"))))
    spans = batches * _payload.SPANS_PER_BATCH
    database = data / peer.database
    extra = ["--plain", *(f"--header={header}" for header in peer.headers)]
    idle, cpu, before = server.rss_mib(peak=False), server.cpu_seconds(), _count(database)
    started, sent = send(f"http://127.0.0.1:{port}/v1/traces", folder, batches, peer.connections, extra)
    wait_for(lambda: _count(database) - before >= spans, _STORE_SECONDS, 0.5)
    stored, seconds = _count(database) - before, time.monotonic() - started
    return PeerReport(
        name=name,
        requirement=peer.requirement,
        spans=spans,
        stored=stored,
        acknowledged_per_s=spans / sent["seconds"],
        stored_per_s=stored / seconds,
        cpu_us_per_span=(server.cpu_seconds() - cpu) / max(1, stored) * 1e6,
        refusals=sent["refusals"],
        rss_idle_mib=idle,
        rss_peak_mib=server.rss_mib(peak=True),
        disk_bytes_per_span=folder_bytes(data) / max(1, stored),
    )


def _install(peer: Peer, environment: Path) -> str:
    """Make the peer's environment unless it is there; return why that is impossible."""
    done = environment / "installed"
    if done.exists() and done.read_text() == peer.requirement:
        return ""
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--only-binary", ":all:", peer.requirement]
    for command in ([sys.executable, "-m", "venv", str(environment)], pip):
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            return f"{peer.requirement} cannot be installed: {finished.stderr.strip()[-200:]}"
    done.write_text(peer.requirement)
    return ""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _count(database: Path) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)
    try:
        return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])
    except sqlite3.OperationalError:  # no file or no table yet
        return 0
    finally:
        connection.close()
