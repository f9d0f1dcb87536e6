"""The REST API and the application that also carries the OTLP routes."""

from spanledger_ingest.api._app import ApiStore, build_app
from spanledger_ingest.api._auth import Authenticate, dev_mode
from spanledger_ingest.api._prometheus import Metric
from spanledger_ingest.auth import Principal

__all__ = ["ApiStore", "Authenticate", "Metric", "Principal", "build_app", "dev_mode"]
