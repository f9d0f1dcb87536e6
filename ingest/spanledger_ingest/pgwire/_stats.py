"""Counts of the PostgreSQL wire."""

from collections import Counter
from collections.abc import Iterator

from spanledger_ingest.api import Metric
from spanledger_ingest.pgwire._errors import CANCELLED


class WireStats:
    """What happened so far; written on the event loop, read by anybody."""

    def __init__(self) -> None:
        self.open = 0
        self.connections = 0
        self.answered = 0
        self.errors = 0
        self.cancelled = 0
        self.refused: Counter[str] = Counter()
        """Connections that were turned away, by SQLSTATE."""

    def failed(self, code: str) -> None:
        """Count a statement without an answer."""
        if code == CANCELLED:
            self.cancelled += 1
        else:
            self.errors += 1

    def metrics(self) -> Iterator[Metric]:
        """Yield the counts."""
        yield Metric.single("spanledger_pg_connections", "gauge", "PostgreSQL clients that are connected.", self.open)
        yield Metric.single(
            "spanledger_pg_connections_total", "counter", "PostgreSQL clients that logged in.", self.connections
        )
        outcomes = {"ok": self.answered, "error": self.errors, "cancelled": self.cancelled}
        yield Metric(
            "spanledger_pg_statements_total",
            "counter",
            "Statements over the PostgreSQL wire.",
            [({"outcome": outcome}, number) for outcome, number in outcomes.items()],
        )
        refused = [({"code": code}, number) for code, number in self.refused.items()]
        yield Metric("spanledger_pg_refused_total", "counter", "PostgreSQL clients turned away, by SQLSTATE.", refused)
