"""The service's own metrics beyond those of its intake."""

import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from spanledger_analytics.errors import StoreError
from spanledger_ingest.api import Metric
from spanledger_ingest.auth import Authenticator, Limiter
from spanledger_ingest.jobs import JobGroups, JobStats
from spanledger_ingest.retention import Retention
from spanledger_ingest.store import DuckDBStore

_STATM: Final = Path("/proc/self/statm")
_OPEN_FILES: Final = Path("/proc/self/fd")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_STARTED: Final = time.time()


def service_metrics(
    store: DuckDBStore,
    jobs: JobGroups,
    retention: Retention,
    authenticator: Authenticator,
    limiter: Limiter,
    more: Callable[[], Iterable[Metric]] = tuple,
) -> Callable[[], Iterable[Metric]]:
    """Return what yields the metrics of these parts, and of the process."""

    def metrics() -> Iterator[Metric]:
        yield from _store_metrics(store)
        yield from _job_metrics(jobs)
        deleted = [({"table": table}, number) for table, number in retention.deleted.items()]
        yield Metric("spanledger_retention_deleted_rows_total", "counter", "Rows deleted for their age.", deleted)
        yield from _tenant_metrics(authenticator, limiter)
        yield from more()
        yield from _process_metrics()

    return metrics


def _store_metrics(store: DuckDBStore) -> Iterator[Metric]:
    yield Metric.single(
        "spanledger_store_reopened_total", "counter", "Times the database gave up and was reopened.", store.reopened
    )
    yield Metric.single(
        "spanledger_store_quarantined_total", "counter", "Database logs that were set aside.", store.quarantined
    )
    try:
        size, unused = store.sizes()
    except StoreError:
        return  # being reopened: a scrape without these two is better than none
    yield Metric.single("spanledger_store_bytes", "gauge", "Size of the database file.", size)
    yield Metric.single("spanledger_store_unused_bytes", "gauge", "Part of it that waits for new rows.", unused)


def _job_metrics(jobs: JobGroups) -> Iterator[Metric]:
    found = list(jobs.stats())

    def by_job(name: str, kind: Literal["counter", "gauge"], help_: str, value: Callable[[JobStats], float]) -> Metric:
        return Metric(f"spanledger_job_{name}", kind, help_, [({"job": job}, value(stats)) for job, stats in found])

    yield by_job("runs_total", "counter", "Finished runs.", lambda stats: stats.runs)
    yield by_job("failures_total", "counter", "Failed steps; they are tried again.", lambda stats: stats.failures)
    yield by_job("seconds_total", "counter", "Time spent.", lambda stats: stats.seconds)
    yield by_job("lag_seconds", "gauge", "How long a run has been due and is not finished.", lambda stats: stats.lag)
    yield by_job(
        "last_success_timestamp_seconds",
        "gauge",
        "When a run finished last, 0 for never.",
        lambda stats: stats.finished_ns / 1e9,
    )


def _tenant_metrics(authenticator: Authenticator, limiter: Limiter) -> Iterator[Metric]:
    refused = [({"reason": reason}, number) for reason, number in authenticator.failures.items()]
    yield Metric("spanledger_auth_failures_total", "counter", "Credentials refused.", refused)
    near = [({"tenant": tenant, "quota": quota}, ratio) for tenant, quota, ratio in limiter.near()]
    yield Metric("spanledger_quota_used_ratio", "gauge", "Used part of a day's quota, from 0.8 on.", near)


def _process_metrics() -> Iterator[Metric]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield Metric.single(
        "process_cpu_seconds_total", "counter", "CPU time of the process.", used.ru_utime + used.ru_stime
    )
    yield Metric.single("process_resident_memory_bytes", "gauge", "Memory of the process.", _resident_bytes(used))
    yield Metric.single("process_start_time_seconds", "gauge", "When the process began.", _STARTED)
    if _OPEN_FILES.is_dir():
        number = sum(1 for _ in _OPEN_FILES.iterdir())
        yield Metric.single("process_open_fds", "gauge", "Open files and sockets.", number)


def _resident_bytes(used: resource.struct_rusage) -> int:
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # the most so far, where there is no /proc
