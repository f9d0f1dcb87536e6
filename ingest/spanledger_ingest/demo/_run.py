"""The demo from start to end, without a word printed: `cli` shows what it returns."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spanledger_ingest.demo._checks import Check, attempts, backfill_checks, live_checks
from spanledger_ingest.demo._child import SERVICE_NAME, run_application
from spanledger_ingest.demo._http import Client, wait_for
from spanledger_ingest.demo.fake_provider import FakeProvider, ServedRequest
from spanledger_ingest.traffic import Ledger, World, build_world, generate, truth

Row = dict[str, Any]
Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0..1."""

_LIMIT = 1000
_CHUNK_S = 0.005
_STORE_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much traffic to show, and whose."""

    seed: int = 1
    days: int = 7
    tenants: int = 20
    calls_per_day: int = 3000


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What happened, and what the service says of it."""

    truth: Row
    tenants: list[Row] = field(default_factory=list)
    models: list[Row] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)
    """By tenant and model."""
    live: list[Row] = field(default_factory=list)
    """Stored calls of the application, oldest first."""
    served: list[ServedRequest] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """When each part was over, counted from the start."""

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)


def run_demo(plan: Plan, url: str, spool: Path, progress: Progress) -> Outcome:
    """Back-fill a service, let the application make its calls, and compare what was stored with the truth.

    Args:
        plan: How much traffic.
        url: A running service with an empty store.
        spool: Folder for the application's spool.
        progress: Told how far it is.

    Raises:
        DemoError: If the service refuses spans or stops answering, or the application fails.
    """
    started = time.monotonic()
    seconds: dict[str, float] = {}
    world = build_world(
        plan.seed, end_ns=time.time_ns(), days=plan.days, tenants=plan.tenants, calls_per_day=plan.calls_per_day
    )
    with Client(url) as client:
        outcome = Outcome(truth=_backfill(client, world, progress), seconds=seconds)
        seconds["sent"] = time.monotonic() - started
        outcome.served = _live(url, spool, progress)
        seconds["called"] = time.monotonic() - started
        _collect(client, outcome, progress)
        seconds["stored"] = time.monotonic() - started
    outcome.checks = [
        *backfill_checks(outcome.truth, outcome.pairs),
        *live_checks(outcome.served, outcome.live),
    ]
    return outcome


def _backfill(client: Client, world: World, progress: Progress) -> Row:
    ledger = Ledger()
    for done, hour in enumerate(generate(world), start=1):
        for body in hour.bodies:
            client.post_traces(body)
        ledger.merge(hour.ledger)
        progress("sending back-fill", done / len(world.hours))
    return truth(world, ledger)


def _live(url: str, spool: Path, progress: Progress) -> list[ServedRequest]:
    progress("live calls", 0)
    with FakeProvider(chunk_s=_CHUNK_S) as provider:
        run_application(url, provider, spool)
    progress("live calls", 1)
    return provider.requests


def _collect(client: Client, outcome: Outcome, progress: Progress) -> None:
    """Wait until everything is stored, then read it back; what is missing in the end fails a check."""
    live = attempts(outcome.served)
    due = outcome.truth["totals"]["calls"] + live

    def stored(rows: list[Row]) -> bool:
        calls: int = sum(row["calls"] for row in rows)
        progress("storing", min(calls / due, 1))
        return bool(calls >= due)

    outcome.tenants = wait_for(lambda: client.items("usage", by="tenant", limit=_LIMIT), stored, _STORE_TIMEOUT_S)
    outcome.models = client.items("usage", by="model", limit=_LIMIT)
    outcome.pairs = client.items("usage", by="tenant,model", limit=_LIMIT)
    calls = client.items("calls", service=SERVICE_NAME, billable="true", limit=_LIMIT)
    outcome.live = sorted(calls, key=lambda call: call["time"])
