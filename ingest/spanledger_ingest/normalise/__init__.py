"""One vocabulary for every dialect of GenAI telemetry.

:func:`normalise` reads a span of any instrumentation, :func:`normalise_log` a log record. All names live in one mapping
table (:mod:`._table`), next to the tables of dialects, aliases and content; there is no code per dialect.
"""

from spanledger_ingest.normalise._dialects import detaches, is_framework, rank_of
from spanledger_ingest.normalise._logs import NormalisedLog, normalise_log
from spanledger_ingest.normalise._spans import Normalised, normalise

__all__ = ["Normalised", "NormalisedLog", "detaches", "is_framework", "normalise", "normalise_log", "rank_of"]
