"""Quality scores: of stored calls, and of files."""

from spanledger_ingest.scoring._dataset import DatasetError, Summary, evidence_of, read_rows, score_rows, unmet

__all__ = ["DatasetError", "Summary", "evidence_of", "read_rows", "score_rows", "unmet"]
