"""What happened in a demo, and what the service says of it."""

from dataclasses import dataclass, field
from typing import Any

from spanledger_ingest.demo._anomalies import Finding, anomaly_checks
from spanledger_ingest.demo._checks import Check, backfill_checks, live_checks
from spanledger_ingest.demo._told import budget_checks, cap_check, message_checks
from spanledger_ingest.demo._verdicts import Verdict, verdict_checks
from spanledger_ingest.demo._webhooks import Received
from spanledger_ingest.demo.fake_provider import ServedRequest

Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The truth, and rows as the service returned them."""

    truth: Row
    """Of the back-fill."""
    served: list[ServedRequest] = field(default_factory=list)
    """The provider's books."""
    tenants: list[Row] = field(default_factory=list)
    models: list[Row] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)
    """By tenant and model."""
    live: list[Row] = field(default_factory=list)
    """Stored calls of the applications that reached the provider, oldest first."""
    refused: list[Row] = field(default_factory=list)
    """Those that a hard cap kept from it."""
    found: list[Finding] = field(default_factory=list)
    """Anomalies, and what was hidden."""
    verdicts: list[Verdict] = field(default_factory=list)
    """The helpdesk's answers."""
    budgets: list[Row] = field(default_factory=list)
    budget_events: list[Row] = field(default_factory=list)
    messages: list[Received] = field(default_factory=list)
    """What the receiver of webhooks got."""
    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """When each part was over, counted from the start."""

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    def live_of(self, service: str) -> list[Row]:
        """Return the calls of one application."""
        return [call for call in self.live if call["service_name"] == service]

    def check(self) -> None:
        """Compare everything that was stored, found and told with the truth."""
        self.checks = [
            *backfill_checks(self.truth, self.pairs),
            *live_checks(self.served, self.live),
            *budget_checks(self.budgets, self.budget_events, self.tenants, self.live),
            cap_check(self.live, self.refused),
            *message_checks(self.messages),
            *anomaly_checks(self.truth, self.found),
            *verdict_checks(self.verdicts),
        ]
