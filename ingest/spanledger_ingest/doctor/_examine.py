"""All the looks, in the order in which one explains the next."""

import time
from collections.abc import Iterator
from pathlib import Path

from spanledger_ingest.doctor import _application, _data, _grafana, _machine, _receivers, _service
from spanledger_ingest.doctor._finding import Finding, fail, ok
from spanledger_ingest.errors import IngestError
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.retention import Policy
from spanledger_ingest.secret import Secret
from spanledger_ingest.settings import Settings, StoreConfig, load_settings


def examine(
    *, config: Path | None = None, data: Path | None = None, url: str | None = None, api_key: Secret | None = None
) -> Iterator[Finding]:
    """Yield a finding for each look, as soon as it is there. Nothing is changed.

    Args:
        config: the configuration file, if not the usual one.
        data: the data directory, if not the configured one.
        url: of the running service, if not where the configuration says.
        api_key: to ask the running service with.
    """
    settings, finding = _configuration(config, data)
    yield finding
    before = time.time() - time.monotonic()
    directory = _data.Directory(settings.store.data)
    yield from directory.findings()
    newest_ns = None
    if directory.is_free:
        store = _data.Store(settings.store.data)
        yield from store.findings()
        newest_ns = store.newest_ns
    yield from _machine.ports(settings, directory.process)
    service = _service.Service(url or _service.address(settings), api_key, wanted=url is not None)
    yield from service.findings(running=directory.process is not None)
    yield from _receivers.findings(settings)
    yield from _grafana.findings(settings)
    yield from _machine.prices()
    yield from _application.findings()
    yield from _machine.clock(newest_ns or service.newest_ns, time.time() - time.monotonic() - before)


def _configuration(file: Path | None, data: Path | None) -> tuple[Settings, Finding]:
    try:
        settings = load_settings(file, {"store": {"data": data}})
        Policy(settings.retention)
        PriceBook.build(settings.prices.override)
    except IngestError as error:
        usable = Settings() if data is None else Settings(store=StoreConfig(data=data))
        return usable, fail("configuration", str(error), "correct it; the rest is looked at with the defaults")
    return settings, ok("configuration", f"{file or 'spanledger.toml, environment and defaults'} can be used")
