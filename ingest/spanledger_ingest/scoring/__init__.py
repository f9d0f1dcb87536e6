"""Quality scores: of stored calls, and of files."""

from spanledger_ingest.scoring._assemble import evidence_of as evidence_of_calls
from spanledger_ingest.scoring._dataset import DatasetError, Summary, evidence_of, read_rows, score_rows, unmet
from spanledger_ingest.scoring._events import Events, Judged, event_of
from spanledger_ingest.scoring._explain import explained
from spanledger_ingest.scoring._labels import Label, UnknownCallError, save_label
from spanledger_ingest.scoring._quality import Quality
from spanledger_ingest.scoring._reports import comparison, newest_scores, prompt_of, rates, review_queue, side_of
from spanledger_ingest.scoring._rows import score_row, table_of
from spanledger_ingest.scoring._scoring import Backfilled, Follower, Judge, Scoring

__all__ = [
    "Backfilled",
    "DatasetError",
    "Events",
    "Follower",
    "Judge",
    "Judged",
    "Label",
    "Quality",
    "Scoring",
    "Summary",
    "UnknownCallError",
    "comparison",
    "event_of",
    "evidence_of",
    "evidence_of_calls",
    "explained",
    "newest_scores",
    "prompt_of",
    "rates",
    "read_rows",
    "review_queue",
    "save_label",
    "score_row",
    "score_rows",
    "side_of",
    "table_of",
    "unmet",
]
