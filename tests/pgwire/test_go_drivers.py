"""The drivers that Grafana uses, lib/pq and pgx, against the running service."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

Site = Any
SOURCE = Path(__file__).with_name("go")


@functools.cache
def probe() -> Path:
    """The program, built once per source and machine."""
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum")))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger-tests"
    program = cache / f"pgprobe-{digest.hexdigest()[:16]}"
    if program.is_file():
        return program
    if shutil.which("go") is None:
        wanted = os.environ.get("SPANLEDGER_REQUIRE_TOOLS") == "1" and not os.environ.get("SPANLEDGER_WITHOUT_GO")
        assert not wanted, "Go is missing: nothing can be said about Grafana's drivers"
        pytest.skip("Go is missing")
    cache.mkdir(parents=True, exist_ok=True)
    made = program.with_name(f"{program.name}.{os.getpid()}")
    env = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", str(made), "."], cwd=SOURCE, env=env, check=True)
    made.replace(program)
    return program


@pytest.mark.timeout(300)  # a cold build fetches and compiles
@pytest.mark.parametrize("driver", ["pq", "pgx"])
@pytest.mark.parametrize("user", ["acme", "all"])
def test_grafanas_driver(site: Site, driver: str, user: str) -> None:
    url = f"postgres://{user}:{site.keys[user]}@127.0.0.1:{site.port}/spanledger?sslmode=disable"
    done = subprocess.run([str(probe()), driver, url], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (row,) = said["grouped"]
    assert float(row[0]) == 1772539200
    assert row[1:3] == ["gpt-5-mini", "0.020000000"]
    assert said["columns"] == [["time", "timestamp with time zone"], ["trace_id", "text"]]
    assert "there is no table" in said["error"]
    assert said["cancelled"] is True
    if driver == "pgx":
        assert said["tag"] == "SELECT 1"
        assert row[3] == "f"
        assert row[4].startswith("2026-03-03 12:00:")
        assert said["bound"] == [42, "0.020000000"]
