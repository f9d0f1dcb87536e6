"""Everything about the judge that the service runs."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from spanledger_alerts.database import Database
from spanledger_ingest.api import Metric
from spanledger_ingest.jobs import Job
from spanledger_ingest.judging._purse import Purse
from spanledger_ingest.judging._setup import JudgeSetup, PriceOf
from spanledger_ingest.judging._worker import JudgedStore, Worker
from spanledger_ingest.scoring import Judged

_LOOK_SECONDS: Final = 5.0


class Judging:
    """The judge's worker, if one is wanted.

    Args:
        setup: what it is told and may cost; ``None`` for no judge.
        store: where answers and scores are.
        database: where it is kept what was spent.
        price: what tokens cost.
        record: keeps an OTLP request of an owner.
        emit: is told what was judged.
    """

    def __init__(
        self,
        setup: JudgeSetup | None,
        store: JudgedStore,
        database: Database,
        price: PriceOf,
        record: Callable[[str, bytes], None],
        emit: Callable[[Sequence[Judged]], None],
    ) -> None:
        self._worker: Worker | None = None
        if setup is not None:
            self._purse = Purse(database, setup.usd_per_day, time.time_ns)
            self._worker = Worker(setup, store, self._purse, price, record, emit)

    def jobs(self) -> list[Job]:
        """Return the periodic work."""
        return [] if self._worker is None else [Job("judge", _LOOK_SECONDS, self._worker.step)]

    def metrics(self) -> Iterator[Metric]:
        """Yield what is counted; nothing where there is no judge."""
        if self._worker is None:
            return
        stats = self._worker.stats
        verdicts = [({"label": label}, number) for label, number in list(stats.verdicts.items())]
        failures = [({"reason": reason}, number) for reason, number in list(stats.failures.items())]
        yield Metric("spanledger_judge_verdicts_total", "counter", "Answers the judge judged, by label.", verdicts)
        yield Metric("spanledger_judge_failures_total", "counter", "Calls without an answer, by reason.", failures)
        yield Metric.single(
            "spanledger_judge_over_budget_total", "counter", "Times the day's budget stopped it.", stats.over_budget
        )
        yield Metric.single(
            "spanledger_judge_spent_usd", "gauge", "Spent or held today (UTC).", float(self._purse.spent())
        )
