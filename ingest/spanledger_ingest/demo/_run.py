"""The demo from start to end, without a word printed: `cli` shows what it returns."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanledger_ingest.demo._checks import attempts
from spanledger_ingest.demo._child import HELPDESK, KIOSK, SHOPS, WORKSHOP, Surroundings
from spanledger_ingest.demo._config import COMPANY_BUDGET, LIVE_BUDGET, LIVE_SERVICES
from spanledger_ingest.demo._helpdesk_plan import ANSWERS
from spanledger_ingest.demo._http import Client, wait_for
from spanledger_ingest.demo._outcome import Outcome, Row
from spanledger_ingest.demo._read import Reader
from spanledger_ingest.demo._told import FOUND_RULES, REFUSED
from spanledger_ingest.demo._webhooks import Received, WebhookReceiver
from spanledger_ingest.demo.fake_provider import FakeProvider
from spanledger_ingest.traffic import Ledger, World, build_world, generate, truth

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0..1."""

_CHUNK_S: Final = 0.005
_TIMEOUT_S: Final = 60.0
"""What has not come about then fails a check."""
_UNAVAILABLE: Final = 503
_QUIET_CALLS: Final = 20
_UNJUDGED_S: Final = 300
"""The detector itself waits some minutes for late calls; the last of the back-fill is judged after the demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much traffic to show, and whose."""

    seed: int = 1
    days: int = 7
    tenants: int = 20
    calls_per_day: int = 3000


def run_demo(plan: Plan, url: str, spool: Path, receiver: WebhookReceiver, progress: Progress) -> Outcome:
    """Back-fill a service, let applications make their calls, and compare what was stored with the truth.

    Args:
        plan: How much traffic.
        url: A running service with an empty store.
        spool: Folder for the applications' spools.
        receiver: Gets the service's messages.
        progress: Told how far it is.

    Raises:
        DemoError: If the service refuses spans or stops answering, or an application fails.
    """
    world = build_world(
        plan.seed, end_ns=time.time_ns(), days=plan.days, tenants=plan.tenants, calls_per_day=plan.calls_per_day
    )
    with Client(url) as client, FakeProvider(chunk_s=_CHUNK_S, answers=ANSWERS) as provider:
        demo = _Demo(client, Surroundings(url, provider, spool), receiver, progress)
        outcome = demo.run(world)
    outcome.check()
    return outcome


class _Demo:
    def __init__(
        self, client: Client, surroundings: Surroundings, receiver: WebhookReceiver, progress: Progress
    ) -> None:
        self._client = client
        self._read = Reader(client)
        self._surroundings = surroundings
        self._provider = surroundings.provider
        self._receiver = receiver
        self._progress = progress
        self._seconds: dict[str, float] = {}
        self._began = time.monotonic()

    def run(self, world: World) -> Outcome:
        with self._part("sent", "sending back-fill"):
            outcome = Outcome(truth=self._backfill(world), seconds=self._seconds)
        with self._part("called", "live calls"):
            self._surroundings.run(SHOPS)
            self._surroundings.run(HELPDESK)
        with self._part("stored", "storing"):
            self._store(outcome)
        self._client.put("budgets/company", COMPANY_BUDGET)
        with self._part("capped", "a hard cap"):
            self._surroundings.run(WORKSHOP)
        with self._part("alerted", "an outage"):
            self._outage()
        with self._part("judged", "judging"):
            self._store(outcome, refused=1)
            self._judge(outcome)
        return outcome

    @contextmanager
    def _part(self, name: str, what: str) -> Iterator[None]:
        self._progress(what, 0)
        yield
        self._progress(what, 1)
        self._seconds[name] = time.monotonic() - self._began

    def _backfill(self, world: World) -> Row:
        ledger = Ledger()
        for done, hour in enumerate(generate(world), start=1):
            for body in hour.bodies:
                self._client.post_traces(body)
            ledger.merge(hour.ledger)
            self._progress("sending back-fill", done / len(world.hours))
        return truth(world, ledger)

    def _store(self, outcome: Outcome, refused: int = 0) -> None:
        """Wait until everything that was sent so far is stored; what is missing in the end fails a check."""
        due = outcome.truth["totals"]["calls"] + attempts(self._provider.requests) + refused

        def stored(rows: list[Row]) -> bool:
            calls: int = sum(row["calls"] for row in rows)
            self._progress("storing", min(calls / due, 1))
            return bool(calls >= due)

        outcome.tenants = wait_for(lambda: self._read.usage("tenant"), stored, _TIMEOUT_S)

    def _outage(self) -> None:
        """Let the provider fail until somebody is told, then let it recover until that is told."""
        with self._surroundings.running(KIOSK):
            calls = attempts(self._provider.requests) + _QUIET_CALLS
            wait_for(lambda: attempts(self._provider.requests), lambda made: made >= calls, _TIMEOUT_S)
            self._provider.outage = _UNAVAILABLE
            self._await_message("error_burst", "firing", service=KIOSK.service)
            self._provider.outage = None
            self._progress("an outage", 0.5)
            self._await_message("error_burst", "resolved", service=KIOSK.service)

    def _judge(self, outcome: Outcome) -> None:
        """Wait for the detector, the scores and the ledger of budgets, and read what they came to."""
        read, end = self._read, time.time() - _UNJUDGED_S
        outcome.served = self._provider.requests
        calls = read.live_calls()
        outcome.refused = [call for call in calls if call["error_type"] == REFUSED]
        outcome.live = [call for call in calls if call["error_type"] != REFUSED]
        counted = sum(call["service_name"] in LIVE_SERVICES for call in outcome.live)
        outcome.models, outcome.pairs = read.usage("model"), read.usage("tenant,model")
        wait_for(read.judged_until, lambda until: until >= end, _TIMEOUT_S)
        outcome.verdicts = wait_for(
            lambda: read.verdicts(outcome.served), lambda all_: all(one.judged for one in all_), _TIMEOUT_S
        )
        wait_for(read.counted_live, lambda calls: calls >= counted, _TIMEOUT_S)
        self._await_message(f"budget:{LIVE_BUDGET}", "firing", threshold="100")
        for rule in FOUND_RULES:
            self._await_message(rule, "firing", use_case=HELPDESK.service)
        outcome.found = read.findings(outcome.truth)
        outcome.budgets, outcome.budget_events = read.budgets(), read.budget_events()
        outcome.messages = self._receiver.received

    def _await_message(self, rule: str, kind: str, **labels: str) -> None:
        def is_it(message: Received) -> bool:
            return message.is_about(rule, kind, **labels)

        self._receiver.wait_for(is_it, _TIMEOUT_S)
