"""Quality scores: of stored calls, and of files."""

from spanledger_ingest.scoring._dataset import DatasetError, Summary, evidence_of, read_rows, score_rows, unmet
from spanledger_ingest.scoring._quality import Quality
from spanledger_ingest.scoring._scoring import Backfilled, Follower, Judge, Scoring

__all__ = [
    "Backfilled",
    "DatasetError",
    "Follower",
    "Judge",
    "Quality",
    "Scoring",
    "Summary",
    "evidence_of",
    "read_rows",
    "score_rows",
    "unmet",
]
