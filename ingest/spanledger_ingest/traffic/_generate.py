"""From a world to OTLP request bodies, hour by hour, and to a folder of them."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from spanledger_ingest.errors import IngestError
from spanledger_ingest.traffic._calls import traffic
from spanledger_ingest.traffic._encode import batches, encode
from spanledger_ingest.traffic._faults import delivered
from spanledger_ingest.traffic._ledger import Ledger, truth
from spanledger_ingest.traffic._requests import Request, requests
from spanledger_ingest.traffic._world import World


class OutputError(IngestError):
    """The folder for generated traffic cannot be used."""


@dataclass(frozen=True, slots=True)
class HourTraffic:
    """The export requests that arrive in one hour, in order of arrival, and what is true of those that start in it."""

    hour: int
    """Hours since the epoch."""
    bodies: list[bytes]
    ledger: Ledger


def generate_hour(world: World, hour: int) -> HourTraffic:
    """Make one hour of a world; needs no other hour to have been made."""
    ledger = Ledger()
    made = traffic(world, range(hour, hour + 1))
    if made is not None:
        ledger.record(world, made)
    if world.faults:
        arriving: Iterable[Request] = delivered(world, hour, made)
    else:
        arriving = () if made is None else requests(world, made)
    return HourTraffic(hour, [encode(batch) for batch in batches(arriving)], ledger)


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


def write_traffic(world: World, out: Path, *, progress: Callable[[float], None] = lambda _share: None) -> Written:
    """Write a world's traffic as OTLP/HTTP request bodies and its truth file.

    ``out/<date>/<hour>-<part>.binpb`` is the body of one ``POST /v1/traces``; names sort in order of time. The same
    world and generator version write the same bytes.

    Args:
        world: What to write.
        out: A folder, made if missing; must be empty.
        progress: Called with the share done, 0..1, after each hour.

    Raises:
        OutputError: If ``out`` is not empty or cannot be written to.
    """
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
