"""Reads over REST what the demo shows and checks."""

from typing import Any, Final

from spanledger_ingest.demo._anomalies import Finding, findings
from spanledger_ingest.demo._child import APPLICATIONS, HELPDESK
from spanledger_ingest.demo._config import LIVE_BUDGET
from spanledger_ingest.demo._http import Client
from spanledger_ingest.demo._verdicts import Verdict, verdicts
from spanledger_ingest.demo.fake_provider import ServedRequest

Row = dict[str, Any]

_LIMIT: Final = 1000
_EVENTS: Final = "SELECT time, budget, tenant_id, kind, threshold, spent_usd FROM budget_events ORDER BY time"


class Reader:
    """Asks the service.

    Args:
        client: a connection to it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def usage(self, by: str) -> list[Row]:
        """Return usage by dimensions."""
        return self._client.items("usage", by=by, limit=_LIMIT)

    def live_calls(self) -> list[Row]:
        """Return the calls of the applications, oldest first."""
        calls = [
            call
            for application in APPLICATIONS
            for call in self._client.items("calls", service=application.service, billable="true", limit=_LIMIT)
        ]
        return sorted(calls, key=lambda call: str(call["time"]))

    def counted_live(self) -> int:
        """Return how many calls of the applications their budget has counted."""
        return sum(row["calls"] for row in self.budgets() if row["name"] == LIVE_BUDGET)

    def findings(self, truth: Row) -> list[Finding]:
        """Return the anomalies, each with the incident that explains it."""
        return findings(truth, self._client.items("anomalies", limit=_LIMIT))

    def verdicts(self, served: list[ServedRequest]) -> list[Verdict]:
        """Return what is said of the helpdesk's answers."""
        calls = self._client.items("calls", service=HELPDESK.service, billable="true", limit=_LIMIT)
        traces = {call["trace_id"] for call in calls}
        scores = {trace: self._client.items(f"traces/{trace}/scores") for trace in traces}
        return verdicts(served, calls, scores)

    def budgets(self) -> list[Row]:
        """Return how the budgets stand."""
        return self._client.items("budgets", limit=_LIMIT)

    def budget_events(self) -> list[Row]:
        """Return what was crossed."""
        return self._client.items("query", sql=_EVENTS)

    def judged_until(self) -> float:
        """Return up to when the detector has judged, in seconds since the epoch."""
        return self._client.metric("spanledger_detection_judged_timestamp_seconds")
