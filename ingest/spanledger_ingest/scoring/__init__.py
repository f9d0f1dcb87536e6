"""Quality scores: of stored calls, and of files."""

from spanledger_ingest.scoring._dataset import DatasetError, Summary, evidence_of, read_rows, score_rows, unmet
from spanledger_ingest.scoring._events import Events, event_of
from spanledger_ingest.scoring._explain import explained
from spanledger_ingest.scoring._labels import Label, UnknownCallError, save_label
from spanledger_ingest.scoring._quality import Quality
from spanledger_ingest.scoring._reports import comparison, rates, review_queue
from spanledger_ingest.scoring._scoring import Backfilled, Follower, Judge, Scoring

__all__ = [
    "Backfilled",
    "DatasetError",
    "Events",
    "Follower",
    "Judge",
    "Label",
    "Quality",
    "Scoring",
    "Summary",
    "UnknownCallError",
    "comparison",
    "event_of",
    "evidence_of",
    "explained",
    "rates",
    "read_rows",
    "review_queue",
    "save_label",
    "score_rows",
    "unmet",
]
