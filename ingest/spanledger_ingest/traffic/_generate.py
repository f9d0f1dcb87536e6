"""From a world to OTLP request bodies, hour by hour, and to a folder of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Any

from spanledger_ingest.errors import IngestError
from spanledger_ingest.traffic._encode import batches, encode
from spanledger_ingest.traffic._ledger import Ledger, truth
from spanledger_ingest.traffic._plan import plan_hour
from spanledger_ingest.traffic._world import World, build_world

DEFAULT_END_NS = 1_790_812_800_000_000_000
"""2026-10-01T00:00:00Z, a fixed date so that a seed alone names the bytes."""


class OutputError(IngestError):
    """The folder for generated traffic cannot be used."""


@dataclass(frozen=True, slots=True)
class HourTraffic:
    """The export requests of one hour, in order of time, and what is true of them."""

    hour: int
    """Hours since the epoch."""
    bodies: list[bytes]
    ledger: Ledger


def generate_hour(world: World, hour: int) -> HourTraffic:
    """Make one hour of a world; needs no other hour to have been made."""
    requests = [request for tenant in world.tenants for request in plan_hour(world, tenant, hour)]
    requests.sort(key=attrgetter("start_ns", "trace_id"))
    ledger = Ledger()
    for request in requests:
        ledger.record(world, request)
    return HourTraffic(hour, [encode(batch) for batch in batches(requests)], ledger)


def generate(world: World) -> Iterator[HourTraffic]:
    """Make every hour of a world, in order."""
    return (generate_hour(world, hour) for hour in world.hours)


@dataclass(frozen=True, slots=True)
class Written:
    """What `write_traffic` wrote."""

    truth: dict[str, Any]
    files: int
    bytes: int
    sha256: str
    """Of all request bodies, one after the other."""


def write_traffic(
    seed: int,
    days: int,
    out: Path,
    *,
    end_ns: int = DEFAULT_END_NS,
    tenants: int = 20,
    calls_per_day: int = 5000,
    progress: Callable[[float], None] = lambda _share: None,
) -> Written:
    """Write a seed's traffic as OTLP/HTTP request bodies and its truth file.

    ``out/<date>/<hour>-<part>.binpb`` is the body of one ``POST /v1/traces``; names sort in order of time. The same
    arguments and generator version write the same bytes.

    Args:
        seed: Names the traffic.
        days: Length of the period that ends at ``end_ns``.
        out: A folder, made if missing; must be empty.
        end_ns: End of the period, ns since the epoch.
        tenants: How many tenants.
        calls_per_day: Model calls per day, on average.
        progress: Called with the share done, 0..1, after each hour.

    Raises:
        OutputError: If ``out`` is not empty or cannot be written to.
        ValueError: If a number is out of range.
    """
    world = build_world(seed, end_ns=end_ns, days=days, tenants=tenants, calls_per_day=calls_per_day)
    _prepare(out)
    ledger, digest, files, size = Ledger(), sha256(), 0, 0
    for done, hour in enumerate(generate(world), start=1):
        ledger.merge(hour.ledger)
        for part, body in enumerate(hour.bodies):
            _write(out, hour.hour, part, body)
            digest.update(body)
            files, size = files + 1, size + len(body)
        progress(done / len(world.hours))
    facts = {**truth(world, ledger), "files": files, "bytes": size, "sha256": digest.hexdigest()}
    (out / "truth.json").write_text(json.dumps(facts, indent=2) + "\n")
    return Written(facts, files, size, digest.hexdigest())


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        used = any(out.iterdir())
    except OSError as error:
        raise OutputError(f"cannot write to {str(out)!r}: {error.strerror}") from error
    if used:
        raise OutputError(f"{str(out)!r} is not empty; name a new folder")


def _write(out: Path, hour: int, part: int, body: bytes) -> None:
    at = datetime.fromtimestamp(hour * 3600, UTC)
    folder = out / f"{at:%Y-%m-%d}"
    folder.mkdir(exist_ok=True)
    (folder / f"{at:%H}-{part:04d}.binpb").write_bytes(body)
