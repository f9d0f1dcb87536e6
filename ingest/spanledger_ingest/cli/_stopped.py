"""The database of a service that is stopped."""

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from spanledger_ingest.backup import DATABASE
from spanledger_ingest.errors import DataDirError
from spanledger_ingest.journal import DataDirLock
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.reprice import Repricing
from spanledger_ingest.settings import load_settings
from spanledger_ingest.settle import settle
from spanledger_ingest.store import DatabaseConfig, DuckDBStore


def data_of(options: argparse.Namespace) -> Path:
    """Return the data directory that is meant."""
    return load_settings(options.config, {"store": {"data": options.data}}).store.data


@contextmanager
def stopped_store(options: argparse.Namespace) -> Iterator[DuckDBStore]:
    """Open the database in the data directory named, which no service may be using meanwhile.

    Raises:
        DataDirError: there is none, or a service is running on it.
        StoreError: it cannot be opened.
    """
    settings = load_settings(options.config, {"store": {"data": options.data}})
    data = settings.store.data
    if not (data / DATABASE).is_file():
        raise DataDirError(f"{data} has no {DATABASE}: name the data directory of a service with --data")
    config = DatabaseConfig(memory_mib=settings.store.memory_mib, threads=settings.store.threads)
    with DataDirLock(data), closing(DuckDBStore(data / DATABASE, config)) as store:
        yield store


@contextmanager
def stopped_repricing(options: argparse.Namespace) -> Iterator[Repricing]:
    """Open the database as :func:`stopped_store` does, to price its calls by the configuration as it is now."""
    prices = PriceBook.build(load_settings(options.config).prices.override)
    with stopped_store(options) as store:
        store.save_prices(prices.rows())
        yield Repricing(store, settle, prices.price)
