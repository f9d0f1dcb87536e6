"""One vocabulary for every dialect of GenAI telemetry.

:func:`normalise` reads a span of any instrumentation, :func:`normalise_log` a log record. All names live in one mapping
table (:mod:`._table`), next to the tables of dialects, aliases and content; there is no code per dialect.
"""

from spanledger_ingest.normalise._aliases import plain_model, provider_of
from spanledger_ingest.normalise._dialects import detaches, is_framework, rank_of
from spanledger_ingest.normalise._logs import EVALUATION_EVENT, OWN_SCORES, NormalisedLog, normalise_log
from spanledger_ingest.normalise._spans import Normalised, normalise

__all__ = [
    "EVALUATION_EVENT",
    "OWN_SCORES",
    "Normalised",
    "NormalisedLog",
    "detaches",
    "is_framework",
    "normalise",
    "normalise_log",
    "plain_model",
    "provider_of",
    "rank_of",
]
