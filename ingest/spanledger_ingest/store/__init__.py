"""The DuckDB adapter of the span store."""

from spanledger_ingest.store._database import DatabaseConfig
from spanledger_ingest.store._evidence import SCORE_KEY, CallKey, EvidenceReader, Material
from spanledger_ingest.store._inspect import Inspection, inspect
from spanledger_ingest.store._jobs import JobState
from spanledger_ingest.store._leaves import AnomalyFilter, AnomalyPlace
from spanledger_ingest.store._quality import DIMENSIONS, Doubts, QualityReader, ScoreFilter, ScorePlace
from spanledger_ingest.store._retention import Expiry
from spanledger_ingest.store._sql import Cancellation
from spanledger_ingest.store._store import DuckDBStore
from spanledger_ingest.store._twin import SchemaTwin
from spanledger_ingest.store._twin_tables import SETTINGS

__all__ = [
    "DIMENSIONS",
    "SCORE_KEY",
    "SETTINGS",
    "AnomalyFilter",
    "AnomalyPlace",
    "CallKey",
    "Cancellation",
    "DatabaseConfig",
    "Doubts",
    "DuckDBStore",
    "EvidenceReader",
    "Expiry",
    "Inspection",
    "JobState",
    "Material",
    "QualityReader",
    "SchemaTwin",
    "ScoreFilter",
    "ScorePlace",
    "inspect",
]
