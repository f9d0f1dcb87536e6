"""A running service for integration tests."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from spanledger_ingest.service import Service


@dataclass(frozen=True)
class RunningService:
    """A service on free loopback ports, and what a client may do with it."""

    service: "Service"

    @property
    def http(self) -> str:
        """Base address of OTLP/HTTP and the REST API."""
        return self.service.http_url

    @property
    def grpc(self) -> str:
        """``host:port`` of OTLP/gRPC."""
        return dict(line.split(" ", 1) for line in self.service.listeners())["grpc"]

    def get(self, path: str) -> Any:
        """Return the JSON of a REST route, once everything received so far is stored."""
        self.service.writer.wait_until_stored()
        with urllib.request.urlopen(self.http + path, timeout=30) as answer:  # noqa: S310 -- our own address
            return json.load(answer)


@pytest.fixture(scope="module")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service per test module, with a data directory of its own."""
    from spanledger_ingest.service import build_service  # the tests of single parts need not load the whole
    from spanledger_ingest.settings import ServerConfig, Settings, StoreConfig

    data = Path(tmp_path_factory.mktemp("data"))
    service = build_service(Settings(server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=data)))
    service.start()
    yield RunningService(service)
    service.stop()
