"""Read-only SQL over the PostgreSQL wire, for Grafana's own data source, psql and whatever else speaks it."""

from spanledger_ingest.pgwire._limits import Limits
from spanledger_ingest.pgwire._server import PgServer

__all__ = ["Limits", "PgServer"]
