"""The composition root: every part of the service is made and wired here, and nowhere else."""

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import NamedTuple

from fastapi import FastAPI

from spanledger_analytics.detect import Planned
from spanledger_analytics.forecast import SpendForecaster
from spanledger_analytics.records import Content
from spanledger_ingest.alerting import Alerting, Configured, alert_jobs, alert_metrics, configured, service_readings
from spanledger_ingest.api import Metric, add_routes, build_app, delivery_routes
from spanledger_ingest.api.admission import admission_routes
from spanledger_ingest.api.alerts import alert_routes
from spanledger_ingest.api.anomalies import anomaly_routes
from spanledger_ingest.api.budgets import budget_routes
from spanledger_ingest.api.scores import score_routes
from spanledger_ingest.api.silences import silence_routes
from spanledger_ingest.api.state import state_routes
from spanledger_ingest.auth import (
    Audit,
    Authenticator,
    KeyRing,
    Limiter,
    RatesOf,
    StateDb,
    api_door,
    ingest_door,
    is_loopback,
    verifier_of,
)
from spanledger_ingest.budgets import Admission, BudgetArea, Known, admission_jobs, budget_jobs, configured_budgets
from spanledger_ingest.content import keep_content
from spanledger_ingest.delivery import Delivery, Receivers
from spanledger_ingest.detection.area import (
    Detection,
    DetectorTables,
    configured_changes,
    detection_jobs,
    detection_metrics,
    planned_changes,
)
from spanledger_ingest.errors import PortError
from spanledger_ingest.front import Front
from spanledger_ingest.jobs import Job, JobGroups, Jobs
from spanledger_ingest.journal import DataDirLock, Journal, JournalConfig
from spanledger_ingest.judging import Judging, judge_setup
from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.otlp import Limits
from spanledger_ingest.page import Pages
from spanledger_ingest.pgwire import PgServer
from spanledger_ingest.pipeline import (
    Helper,
    Intake,
    Preparation,
    Steps,
    Writer,
    WriterConfig,
    read_again,
    read_request,
)
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.receiver.grpc import GrpcReceiver
from spanledger_ingest.receiver.http import otlp_routes
from spanledger_ingest.reprice import Repricing
from spanledger_ingest.retention import Policy, retention_jobs
from spanledger_ingest.scoring import Quality
from spanledger_ingest.settings import MIB, Settings
from spanledger_ingest.settle import Neighbours, settle
from spanledger_ingest.store import DatabaseConfig, DuckDBStore
from spanledger_ingest.telemetry import service_metrics
from spanledger_ingest.tls import Tls

_log = logging.getLogger(__name__)

_DRAIN_SECONDS = 10.0
_MOST_LAG_SECONDS = 3.0
"""Behind which scores and anomalies wait: they may lag, spans may not."""


class Service:
    """The running service. Consumers start before producers and stop after them; both calls are idempotent."""

    def __init__(
        self,
        front: Front,
        intake: Intake,
        writer: Writer,
        authenticator: Authenticator,
        jobs: JobGroups,
        delivery: Delivery,
        release: Callable[[], None],
    ) -> None:
        self.intake = intake
        self.writer = writer
        self._front = front
        self._authenticator = authenticator
        self._jobs = jobs
        self._delivery = delivery
        self._release = release
        self._running = False

    def start(self) -> None:
        """Replay the journal, then listen.

        Raises:
            PortError: a port cannot be had; nothing is left running.
        """
        self._authenticator.start()
        self.writer.start()
        try:
            self._front.start()
        except PortError:
            self._close()
            raise
        self._delivery.start()
        self._jobs.start()
        self._running = True
        _log.info("the page is at %s/", self.http_url)
        if not self._authenticator.required:
            _log.info("no API key exists: whoever is on this machine may send and read everything")

    def stop(self) -> None:
        """Take nothing new, store what was acknowledged, release the data directory."""
        if self._running:
            self._running = False
            self._front.stop()
            self._close()

    def _close(self) -> None:
        self.intake.close()
        self._jobs.stop(_DRAIN_SECONDS)
        self._delivery.stop()
        if not self.writer.stop(_DRAIN_SECONDS):
            _log.warning("stopped before everything was stored; the journal keeps the rest for the next start")
        self._release()

    @property
    def http_url(self) -> str:
        """Where OTLP/HTTP and the REST API are."""
        return f"{self._front.scheme}://{self._front.address(self._front.http_port)}"

    def listeners(self) -> list[str]:
        """Return a ``protocol host:port`` line for each port."""
        front = self._front
        ports = {front.scheme: front.http_port, "grpc": front.grpc_port, "pg": front.pg_port}
        return [f"{protocol} {front.address(port)}" for protocol, port in ports.items()]


def build_service(settings: Settings) -> Service:
    """Make the service and open its data; nothing listens yet.

    Raises:
        IngestError: the settings, the data directory or its content cannot be used; the message says what to do.
        StoreError: the database cannot be opened.
    """
    prices = PriceBook.build(settings.prices.override)
    _refuse_what_cannot_be_meant(settings, prices)
    receivers = Receivers(settings)
    rules = configured(settings, receivers.by_name)
    tls = Tls.of(settings.tls)
    with ExitStack() as opened:  # closed in the opposite order: now if something fails, else by the service
        ground = _open(settings, prices, opened)
        writer, intake = _ingest(ground)
        areas = _areas(ground, receivers, rules, writer, intake)
        chores, retention = retention_jobs(ground.store, settings.retention)
        jobs = _jobs(areas, chores, ground, writer)
        areas.alerting.watch(service_readings(intake.stats, jobs))
        audit = Audit(ground.state)
        pg = _pg_server(ground, audit, tls)
        opened.callback(pg.close)
        metrics = service_metrics(
            ground.store, jobs, retention, ground.authenticator, ground.limiter, _all_of(pg.metrics, *areas.metrics())
        )
        pages = Pages(ground.store, ground.authenticator, ground.state, prices.explain)
        opened.callback(pages.close)
        opened.callback(areas.admission.desk.close)
        app = _app(ground, areas, intake, audit, metrics)
        add_routes(app, pages.router)
        front = _front(ground, app, intake, tls, pg)
        release = opened.pop_all().close
    return Service(front, intake, writer, ground.authenticator, jobs, areas.delivery, release)


class _Ground(NamedTuple):
    """What everything else stands on: the data, opened, and what knows who may come in."""

    settings: Settings
    prices: PriceBook
    state: StateDb
    limiter: Limiter
    authenticator: Authenticator
    store: DuckDBStore
    journal: Journal


def _open(settings: Settings, prices: PriceBook, opened: ExitStack) -> _Ground:
    opened.callback(DataDirLock(settings.store.data).close)
    state = StateDb(settings.store.data)
    opened.callback(state.close)
    limiter = Limiter(RatesOf(settings.limits), state)
    tokens = verifier_of(settings.auth.issuer)
    authenticator = Authenticator(KeyRing(state), tokens, required=settings.auth.required, chores=limiter.save)
    opened.callback(authenticator.stop)
    _refuse_open_doors(settings, authenticator)
    store = _open_store(settings, prices)
    opened.callback(store.close)
    journal = _open_journal(settings, store)
    opened.callback(journal.close)
    return _Ground(settings, prices, state, limiter, authenticator, store, journal)


def _ingest(ground: _Ground) -> tuple[Writer, Intake]:
    settings = ground.settings
    limits = Limits(max_body_bytes=settings.ingest.max_body_mib * MIB, max_items=settings.ingest.max_items)
    writer = Writer(
        ground.store,
        ground.journal,
        _steps(settings, ground.prices),
        decode=partial(read_request, limits=limits),
        config=WriterConfig(commit_seconds=settings.ingest.commit_seconds),
        helper=_helper(settings, limits),
    )
    door = ingest_door(ground.authenticator)
    return writer, Intake(ground.journal, writer, authenticate=door, limits=limits, limiter=ground.limiter)


class _Areas(NamedTuple):
    """What is made of the stored calls."""

    delivery: Delivery
    alerting: Alerting
    quality: Quality
    detection: Detection
    budgets: BudgetArea
    admission: Admission
    judging: Judging

    def metrics(self) -> tuple[Callable[[], Iterable[Metric]], ...]:
        return (
            partial(alert_metrics, self.alerting),
            self.delivery.metrics,
            self.quality.metrics,
            self.judging.metrics,
            self.budgets.metrics,
            self.admission.metrics,
            partial(detection_metrics, self.detection),
        )


def _areas(ground: _Ground, receivers: Receivers, rules: Configured, writer: Writer, intake: Intake) -> _Areas:
    settings, prices, state, store = ground.settings, ground.prices, ground.state, ground.store
    delivery = Delivery(receivers, state, store)
    alerting = Alerting(rules, store, state, delivery.outbox.enqueue)
    quality = Quality(store, state, settings.scoring, settings.content, lambda: writer.lag_seconds)
    setup = judge_setup(settings.judge, prices.amount)
    return _Areas(
        delivery=delivery,
        alerting=alerting,
        quality=quality,
        detection=_detection(settings, store, state, alerting),
        budgets=_budgets(settings, prices, state, store, alerting),
        admission=Admission(state, store, prices),
        judging=Judging(setup, store, state, prices.amount, intake.keep, quality.judge_events.emit),
    )


def _jobs(areas: _Areas, chores: list[Job], ground: _Ground, writer: Writer) -> JobGroups:
    """Put what must be prompt, what may lag and what waits for others on threads of their own."""
    detection = detection_jobs(areas.detection, enabled=ground.settings.detection.enabled)
    prompt = [*budget_jobs(areas.budgets), *alert_jobs(areas.alerting), *areas.delivery.jobs()]
    return JobGroups(
        Jobs(prompt, ground.store),
        Jobs([*areas.quality.jobs(), *detection], ground.store, busy=lambda: writer.lag_seconds > _MOST_LAG_SECONDS),
        Jobs(chores, ground.store),
        Jobs(admission_jobs(areas.admission), ground.store),
        Jobs(areas.judging.jobs(), ground.store),
    )


def _pg_server(ground: _Ground, audit: Audit, tls: Tls | None) -> PgServer:
    server = ground.settings.server
    context = None if tls is None else tls.context()
    return PgServer(ground.store, ground.authenticator, audit, server.host, server.wire_port, context)


def _app(
    ground: _Ground, areas: _Areas, intake: Intake, audit: Audit, metrics: Callable[[], Iterable[Metric]]
) -> FastAPI:
    app = build_app(
        ground.store,
        stats=intake.stats,
        otlp_routes=otlp_routes(intake),
        explain=ground.prices.explain,
        authenticate=api_door(ground.authenticator),
        repricing=Repricing(ground.store, settle, ground.prices.price),
        audit=audit,
        metrics=metrics,
    )
    for router in (
        score_routes(ground.store, areas.quality),
        anomaly_routes(ground.store, areas.detection),
        alert_routes(areas.alerting),
        admission_routes(areas.admission),
        budget_routes(areas.budgets),
        silence_routes(areas.alerting.engine.mutes),
        delivery_routes(areas.delivery.outbox),
        state_routes(ground.settings.store.data),
    ):
        add_routes(app, router, "/api/v1")
    return app


def _front(ground: _Ground, app: FastAPI, intake: Intake, tls: Tls | None, pg: PgServer) -> Front:
    server = ground.settings.server
    grpc_receiver = GrpcReceiver(intake, server.host, server.grpc_port, None if tls is None else tls.grpc_credentials())
    return Front(app, grpc_receiver, server.host, server.port, tls, pg)


def _refuse_what_cannot_be_meant(settings: Settings, prices: PriceBook) -> None:
    """Refuse wrong settings before anything is opened."""
    Policy(settings.retention)
    configured_budgets(settings.budgets)
    configured_changes(settings.detection)
    judge_setup(settings.judge, prices.amount)


def _detection(settings: Settings, store: DuckDBStore, state: StateDb, alerting: Alerting) -> Detection:
    def planned() -> Iterable[Planned]:
        return planned_changes(alerting.engine.mutes.listed(kind="planned", owner=None, now=0, expired=True))

    return Detection(store, DetectorTables(state), settings.detection, planned)


def _all_of(*sources: Callable[[], Iterable[Metric]]) -> Callable[[], Iterable[Metric]]:
    return lambda: chain.from_iterable(source() for source in sources)


def _budgets(
    settings: Settings, prices: PriceBook, state: StateDb, store: DuckDBStore, alerting: Alerting
) -> BudgetArea:
    known = Known(store, prices, partial(_tenants, settings, state))
    forecaster = SpendForecaster()
    area = BudgetArea(
        state,
        store,
        known,
        alerting.engine.observe,
        retention=Policy(settings.retention),
        forecaster=forecaster,
        coverage=forecaster.coverage,
    )
    area.adopt(configured_budgets(settings.budgets))
    return area


def _tenants(settings: Settings, state: StateDb) -> set[str]:
    """Return the tenants that keys and settings name."""
    tables = (*settings.limits.tenant, *settings.retention.tenant)
    named = {str(table["name"]) for table in tables if "name" in table}
    return named.union(*(key.tenants for key in KeyRing(state).list())) - {"*"}


def _refuse_open_doors(settings: Settings, authenticator: Authenticator) -> None:
    """Refuse to listen where strangers can reach while nothing would keep them out."""
    host = settings.server.host
    if is_loopback(host):
        return
    if authenticator.required:
        if not settings.tls.cert:
            _log.warning("listening beyond loopback without TLS: keys and prompts can be read on their way")
        return
    raise PortError(
        f"refusing to listen on {host!r}: no API key exists, so strangers could come in; make one first with"
        f" 'spanledger keys create --tenant NAME --data {settings.store.data}', or use --host 127.0.0.1"
    )


def _open_store(settings: Settings, prices: PriceBook) -> DuckDBStore:
    config = DatabaseConfig(
        memory_mib=settings.store.memory_mib,
        threads=settings.store.threads,
        quarantine=settings.store.data / "quarantine",
    )
    store = DuckDBStore(settings.store.data / "spanledger.duckdb", config)
    store.save_prices(prices.rows())
    return store


def _open_journal(settings: Settings, store: DuckDBStore) -> Journal:
    return Journal(
        settings.store.data / "journal",
        stored_position=store.journal_position(),
        config=JournalConfig(max_backlog_bytes=settings.ingest.backlog_mib * MIB),
    )


def _helper(settings: Settings, limits: Limits) -> Helper | None:
    if not settings.ingest.second_process or (os.cpu_count() or 1) == 1:
        return None
    steps = Preparation(normalise=normalise, normalise_log=normalise_log, keep_content=_content_policy(settings))
    return Helper(partial(read_again, decode=partial(read_request, limits=limits), steps=steps))


def _steps(settings: Settings, prices: PriceBook) -> Steps:
    return Steps(
        normalise=normalise,
        normalise_log=normalise_log,
        related_keys=Neighbours().related_keys,
        settle=settle,
        price=prices.price,
        keep_content=_content_policy(settings),
    )


def _content_policy(settings: Settings) -> Callable[[Content], Content | None]:
    return partial(keep_content, settings.content.policy)
