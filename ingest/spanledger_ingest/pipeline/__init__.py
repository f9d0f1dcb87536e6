"""The pipeline: intake up to the acknowledgement, writer from there to the store."""

from spanledger_ingest.pipeline._helper import Helper
from spanledger_ingest.pipeline._histogram import Distribution, Histogram
from spanledger_ingest.pipeline._intake import Authenticate, Intake, Kind, Outcome, Stats, dev_mode, read_request
from spanledger_ingest.pipeline._prepare import read_again
from spanledger_ingest.pipeline._steps import NormalisedLog, NormalisedSpan, Preparation, Steps
from spanledger_ingest.pipeline._storing import WriterConfig, WriterStats
from spanledger_ingest.pipeline._writer import Writer

__all__ = [
    "Authenticate",
    "Distribution",
    "Helper",
    "Histogram",
    "Intake",
    "Kind",
    "NormalisedLog",
    "NormalisedSpan",
    "Outcome",
    "Preparation",
    "Stats",
    "Steps",
    "Writer",
    "WriterConfig",
    "WriterStats",
    "dev_mode",
    "read_again",
    "read_request",
]
