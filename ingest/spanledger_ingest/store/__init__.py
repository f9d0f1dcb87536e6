"""The DuckDB adapter of the span store."""

from spanledger_ingest.store._database import DatabaseConfig
from spanledger_ingest.store._inspect import Inspection, inspect
from spanledger_ingest.store._jobs import JobState
from spanledger_ingest.store._retention import Expiry
from spanledger_ingest.store._sql import Cancellation
from spanledger_ingest.store._store import DuckDBStore

__all__ = ["Cancellation", "DatabaseConfig", "DuckDBStore", "Expiry", "Inspection", "JobState", "inspect"]
