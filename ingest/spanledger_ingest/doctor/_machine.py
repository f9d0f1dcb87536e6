"""The machine: ports, clock, and what was installed on it."""

import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

from spanledger_ingest.doctor._finding import Finding, fail, ok, warn
from spanledger_ingest.settings import Settings

_OLD_PRICES_DAYS: Final = 90
_JUMP_SECONDS: Final = 0.5
_AHEAD_SECONDS: Final = 300.0
_LISTENING: Final = "0A"
_PROC: Final = Path("/proc")


def ports(settings: Settings, process: int | None) -> Iterator[Finding]:
    """Find out whether the ports are free, or who has them; ``process`` is the service that runs on the data."""
    server = settings.server
    for name, port in (("port", server.port), ("grpc_port", server.grpc_port), ("pg_port", server.wire_port)):
        if port == 0:
            yield ok("ports", f"server.{name} is any free port")
        elif _is_free(server.host, port):
            yield ok("ports", f"server.{name} {port} is free")
        else:
            yield _taken(name, port, process)


def _taken(name: str, port: int, process: int | None) -> Finding:
    holder = _holder(port)
    if process is not None and holder == process:
        return ok("ports", f"server.{name} {port} is the running service's")
    who = f"process {holder} ({_command(holder)})" if holder else "another process"
    return fail("ports", f"server.{name} {port} is taken by {who}", f"stop it, or set server.{name} to another")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError):
        return False
    return True


def _holder(port: int) -> int | None:
    """Return the process that listens on a port, as far as /proc shows it to this user."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listeners(_PROC / "net" / table, port)}
    for descriptor in _PROC.glob("[0-9]*/fd/*") if inodes else ():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        found = re.fullmatch(r"socket:\[(\d+)\]", target)
        if found and found[1] in inodes:
            return int(descriptor.parts[2])
    return None


def _listeners(table: Path, port: int) -> Iterator[str]:
    if table.exists():
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                yield columns[9]


def _command(process: int) -> str:
    try:
        return (_PROC / str(process) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "unknown"


def prices(today: date | None = None) -> Iterator[Finding]:
    """Look at the age of the price list."""
    made = _price_list_date()
    age = ((today or datetime.now(UTC).date()) - made).days
    if age > _OLD_PRICES_DAYS:
        mend = "pip install --upgrade spanledger, or add [[prices.override]] for models of late"
        yield warn("prices", f"the price list is of {made}, {age} days old", mend)
    else:
        yield ok("prices", f"the price list is of {made}")


def _price_list_date() -> date:
    found = json.loads(files("spanledger.pricing").joinpath("prices.json").read_text(encoding="utf-8"))
    return date.fromisoformat(found["date"])


def clock(newest_ns: int | None, drift: float) -> Iterator[Finding]:
    """Compare the clock with what cannot be later or earlier.

    Args:
        newest_ns: when the newest span began, by the clock of who sent it.
        drift: seconds by which the clock moved against the monotonic one during the examination.
    """
    mend = "let the machine keep time: timedatectl set-ntp true"
    now = time.time()
    made = datetime.combine(_price_list_date(), datetime.min.time(), UTC).timestamp()
    if now < made:
        yield fail("clock", f"it is before this release was made: {datetime.fromtimestamp(now, UTC):%F %T} UTC", mend)
    elif abs(drift) > _JUMP_SECONDS:
        yield warn("clock", f"it jumped by {drift:+.1f} s just now", mend)
    elif newest_ns is not None and newest_ns / 1e9 - now > _AHEAD_SECONDS:
        ahead = newest_ns / 1e9 - now
        yield warn("clock", f"the newest span begins {ahead:,.0f} s in the future", f"{mend}, here and at its sender")
    else:
        age = "" if newest_ns is None else f"; the newest span began {max(0, now - newest_ns / 1e9):,.0f} s ago"
        yield ok("clock", f"{datetime.fromtimestamp(now, UTC):%F %T} UTC{age}")
