"""The benchmarks run; what they measure is not judged here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{module}", "--json", *arguments]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert finished.returncode in {0, 1}, finished.stderr  # 1: a goal was missed, as such small sizes must
    return json.loads(finished.stdout)


def test_ingest_benchmark_runs() -> None:
    report = run("ingest", "--spans", "2048", "--connections", "2")["spanledger"]
    assert report["spans"] == 2048
    assert report["refusals"] == 0
    assert report["queryable_per_s"] > 0
    assert 1_600 < report["payload_bytes_per_span"] < 1_900


def test_query_benchmark_runs() -> None:
    times = run("query", "--calls", "500", "1000", "--rounds", "1")
    assert list(times) == ["500", "1000"]
    assert all(set(windows) == {"24 h", "30 d"} for windows in times["1000"].values())


def test_commit_benchmark_runs() -> None:
    costs = run("commit", "--stored", "0", "20000", "--commits", "1")
    assert list(costs) == ["0", "20000"]


def test_panels_benchmark_runs() -> None:
    sizes = ("--calls", "2000", "--rounds", "1", "--batches", "2", "--viewers", "2", "--settle", "1")
    report = run("panels", *sizes)
    assert len(report["boards"]) == 8
    assert all(windows["7 d"]["rows"] > 0 for windows in report["boards"].values())
    assert report["viewers"]["boards_loaded"] >= 2
