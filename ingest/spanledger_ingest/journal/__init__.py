"""The journal: what was acknowledged, on disk, until the store has it."""

from spanledger_ingest.journal._entries import Damage, Entry, Received
from spanledger_ingest.journal._journal import Journal, JournalConfig
from spanledger_ingest.journal._lock import DataDirLock
from spanledger_ingest.journal._report import JournalReport, report

__all__ = ["Damage", "DataDirLock", "Entry", "Journal", "JournalConfig", "JournalReport", "Received", "report"]
