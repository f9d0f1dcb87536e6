"""How rules and alerts are doing, for ``/metrics``; and what rules see of the service."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from spanledger_alerts.rules import Reading
from spanledger_ingest.alerting._alerting import Alerting
from spanledger_ingest.alerting._runner import RuleStats
from spanledger_ingest.api._prometheus import Metric
from spanledger_ingest.jobs import JobStats
from spanledger_ingest.pipeline import Stats


class JobsStats(Protocol):
    """Whoever runs jobs."""

    def stats(self) -> Iterator[tuple[str, JobStats]]:
        """Yield the name and the counts of every job."""
        ...


def service_readings(stats: Callable[[], Stats], jobs: JobsStats) -> Callable[[], Iterable[Reading]]:
    """Return what reads off the intake and the jobs how the service is doing."""

    def readings() -> Iterator[Reading]:
        yield Reading("ingest_lag_seconds", stats().lag_seconds)
        for name, found in jobs.stats():
            yield Reading("job_lag_seconds", found.lag, {"job": name})

    return readings


def alert_metrics(alerting: Alerting) -> Iterator[Metric]:
    """Yield the metrics of rules and alerts."""
    found = alerting.runner.stats()

    def by_rule(name: str, help_: str, value: Callable[[RuleStats], float]) -> Metric:
        samples = [({"rule": rule}, value(one)) for rule, one in found.items()]
        return Metric(f"spanledger_{name}", "counter", help_, samples)

    yield by_rule("rule_evaluations_total", "Evaluations of rules.", lambda one: one.evaluations)
    yield by_rule("rule_failures_total", "Evaluations that failed.", lambda one: one.failures)
    yield by_rule("rule_seconds_total", "Time spent on evaluation.", lambda one: one.seconds)
    states = [({"rule": rule, "state": state}, number) for (rule, state), number in alerting.engine.counts().items()]
    yield Metric("spanledger_alerts", "gauge", "Alerts that are pending, firing or without data.", states)
    dropped = [({"rule": rule}, number) for rule, number in list(alerting.engine.dropped.items())]
    yield Metric("spanledger_alerts_dropped", "gauge", "Sets of labels beyond what a rule may have.", dropped)
