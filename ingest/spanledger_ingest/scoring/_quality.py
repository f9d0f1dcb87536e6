"""Everything about quality scores that the service runs: made in one place, from the settings."""

from collections.abc import Callable, Iterator
from typing import Final

from spanledger_alerts.database import Database
from spanledger_analytics.scorers import installed_scorers
from spanledger_ingest.api import Metric
from spanledger_ingest.jobs import Job
from spanledger_ingest.normalise import OWN_SCORES
from spanledger_ingest.scoring._calibrations import Calibrations
from spanledger_ingest.scoring._events import Events
from spanledger_ingest.scoring._scoring import Follower, Judge, Scoring
from spanledger_ingest.settings import ContentConfig, ScoringConfig
from spanledger_ingest.store import DuckDBStore

_BUSY_SECONDS: Final = 5.0
"""A writer that is so far behind gets the processor."""
_LOOK_SECONDS: Final = 2.0
_LOOK_AGAIN_SECONDS: Final = 30.0
_CALIBRATE_SECONDS: Final = 600.0


class Quality:
    """The worker that scores stored calls, and what it counts.

    Args:
        store: where calls, text and scores are.
        database: where calibrations are kept.
        config: the section ``[scoring]``.
        content: the section ``[content]``.
        writer_lag: seconds that the writer is behind.
    """

    def __init__(
        self,
        store: DuckDBStore,
        database: Database,
        config: ScoringConfig,
        content: ContentConfig,
        writer_lag: Callable[[], float],
    ) -> None:
        self._enabled = config.enabled
        self.calibrations = Calibrations(store, database)
        self.judge = Judge(installed_scorers(), self.calibrations)
        self.events = Events(store, config.events, config.events_per_minute)
        self.judge_events = Events(store, config.events, config.events_per_minute, scope=f"{OWN_SCORES}.judge")
        self.scoring = Scoring(store, self.judge, masked=content.policy == "masked", emit=self.events.emit)

        def busy() -> bool:
            return writer_lag() > _BUSY_SECONDS

        self._soon = Follower("scores", self.scoring, config.quiet_seconds, busy)
        self._late = Follower("late_scores", self.scoring, config.late_seconds, busy)

    def jobs(self) -> list[Job]:
        """Return the periodic work."""
        if not self._enabled:
            return []
        return [
            Job(self._soon.job, _LOOK_SECONDS, self._soon.step),
            Job(self._late.job, _LOOK_AGAIN_SECONDS, self._late.step),
            Job("calibrations", _CALIBRATE_SECONDS, self.calibrations.step),
        ]

    def metrics(self) -> Iterator[Metric]:
        """Yield what is counted."""
        stats = self.judge.stats
        scores = [({"score": name, "label": label}, number) for (name, label), number in list(stats.scores.items())]
        failures = [({"score": name}, number) for name, number in list(stats.failures.items())]
        yield Metric.single("spanledger_scoring_lag_seconds", "gauge", "How long scoring is overdue.", self._soon.lag)
        yield Metric.single("spanledger_scored_calls_total", "counter", "Calls judged.", stats.calls)
        yield Metric("spanledger_scores_total", "counter", "Scores given, by name and label.", scores)
        yield Metric("spanledger_scorer_failures_total", "counter", "Scorers that raised, by first name.", failures)
        yield Metric.single("spanledger_scoring_seconds_total", "counter", "CPU time spent judging.", stats.seconds)
        yield Metric("spanledger_score_events_total", "counter", "Events of scores.", self._events())
        yield Metric.single(
            "spanledger_scoring_deferred_total", "counter", "Steps that made way for a late writer.", stats.deferred
        )

    def _events(self) -> list[tuple[dict[str, str], float]]:
        both = (self.events, self.judge_events)
        return [
            ({"outcome": "written"}, sum(events.written for events in both)),
            ({"outcome": "over_limit"}, sum(events.dropped for events in both)),
        ]
