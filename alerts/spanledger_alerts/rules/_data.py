"""What the rules ask for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from spanledger_analytics.rule_metrics import AnomalyQuery, MetricQuery, SilenceQuery


@dataclass(frozen=True, slots=True)
class Reading:
    """A number that the service reads off itself."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class RuleData(Protocol):
    """Answers what rules ask; raises ``AnalyticsError`` when it cannot."""

    def rule_metric(self, query: MetricQuery) -> pa.Table:
        """Return ``metric_shape`` rows."""
        ...

    def rule_silence(self, query: SilenceQuery) -> pa.Table:
        """Return ``SILENCE_SHAPE`` rows."""
        ...

    def rule_anomalies(self, query: AnomalyQuery) -> pa.Table:
        """Return ``ANOMALY_SHAPE`` rows."""
        ...

    def readings(self) -> Iterable[Reading]:
        """Return what the service reads off itself now."""
        ...
