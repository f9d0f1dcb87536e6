"""The REST API and the application that also carries the OTLP routes."""

from spanledger_ingest.api._app import ApiStore, add_routes, build_app
from spanledger_ingest.api._auth import Authenticate, Requires, dev_mode
from spanledger_ingest.api._content import content_of, record_reading
from spanledger_ingest.api._deliveries import delivery_routes
from spanledger_ingest.api._params import SqlReader
from spanledger_ingest.api._prometheus import Metric
from spanledger_ingest.api._traces import Price, explanations, trace_tree
from spanledger_ingest.auth import Principal

__all__ = [
    "ApiStore",
    "Authenticate",
    "Metric",
    "Price",
    "Principal",
    "Requires",
    "SqlReader",
    "add_routes",
    "build_app",
    "content_of",
    "delivery_routes",
    "dev_mode",
    "explanations",
    "record_reading",
    "trace_tree",
]
