"""The detector as a part of the service: its job, its metrics, and looking at stored time again."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from spanledger_analytics.detect import MINUTE_NS, Anomaly, Grouping, LedgerDetector, Options, State, Window
from spanledger_analytics.queries import Window as Stretch
from spanledger_ingest.api import Metric
from spanledger_ingest.detection._detection import Detection, options_of
from spanledger_ingest.detection._leaf_table import CallStore, read_cells
from spanledger_ingest.detection._planned import configured_changes, planned_changes
from spanledger_ingest.detection._rows import anomaly_row
from spanledger_ingest.detection._tables import DetectorTables
from spanledger_ingest.jobs import Job

__all__ = [
    "Detection",
    "DetectorTables",
    "anomaly_json",
    "configured_changes",
    "detection_jobs",
    "detection_metrics",
    "looked_again",
    "options_of",
    "planned_changes",
]

_EVERY_SECONDS: Final = 5.0
_DAY: Final = 24 * 60
_LEARNED_DAYS: Final = 35
"""So many days before a stretch are learned from."""


def detection_jobs(detection: Detection, *, enabled: bool) -> list[Job]:
    """Return the periodic work."""
    return [Job("detection", _EVERY_SECONDS, detection.step)] if enabled else []


def detection_metrics(detection: Detection) -> Iterator[Metric]:
    """Yield what is counted."""
    series = len(Grouping(detection.state.leaves).series)
    yield Metric.single("spanledger_detection_tick_seconds", "gauge", "CPU time of the last look.", detection.seconds)
    yield Metric.single("spanledger_detection_series", "gauge", "Series that are watched.", series)
    yield Metric.single(
        "spanledger_detection_lag_seconds", "gauge", "Age of the latest calls not judged.", detection.lag_seconds()
    )
    yield Metric.single(
        "spanledger_detection_judged_timestamp_seconds",
        "gauge",
        "Up to when calls are judged, since the epoch.",
        detection.end * 60,
    )
    yield Metric.single("spanledger_anomalies_total", "counter", "Findings published.", detection.findings)
    yield Metric.single(
        "spanledger_detection_late_minutes_total",
        "counter",
        "Minutes that calls came for after they had been learned.",
        detection.too_late,
    )


def looked_again(store: CallStore, options: Options, window: Stretch) -> Iterator[tuple[float, list[Anomaly]]]:
    """Judge stored time with what the weeks before it teach; yield the share done and what began in the window.

    What the service has found and learned is neither used nor changed.
    """
    bounds = store.call_bounds()
    if bounds is None:
        return
    start, end = window.from_ns // MINUTE_NS, min(window.to_ns, bounds[1] + MINUTE_NS) // MINUTE_NS
    first = max(bounds[0] // MINUTE_NS // 60 * 60, start // 60 * 60 - _LEARNED_DAYS * _DAY)
    detector, state = LedgerDetector(options), State()
    for day in range(first, end, _DAY):
        until = min(day + _DAY, end)
        part = Window(read_cells(store, max(day - 240, first), until), until)
        found: Iterable[Anomaly]
        state, found = detector.run(part, state)
        if until == end and state.until:
            found = [*found, *detector.detect(part, state)]
        latest = {(one.owner, one.id): one for one in found if one.started_ns >= window.from_ns}
        yield (until - first) / (end - first), list(latest.values())


def anomaly_json(one: Anomaly) -> dict[str, Any]:
    """Return a finding as plain JSON."""
    row = anomaly_row(one)
    del row["owner"]
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else str(value) if name.startswith("impact") else value
        for name, value in row.items()
    }
