"""Starting the client process of the ingest benchmark."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def send(
    url: str, folder: Path, batches: int, connections: int, extra: Sequence[str] = ()
) -> tuple[float, dict[str, Any]]:
    """Send the first requests from a process of its own; return when it began (monotonic) and what it reports."""
    command = [sys.executable, "-m", "benchmarks._load", "--url", url, "--connections", str(connections), *extra]
    command += [str(folder), "0", str(batches)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        if client.stdin is None or client.stdout is None or client.stdout.readline() != "ready\n":
            sys.exit("the client did not start")
        started = time.monotonic()
        client.stdin.write("go\n")
        client.stdin.flush()
        line = client.stdout.readline()
    return started, json.loads(line)
