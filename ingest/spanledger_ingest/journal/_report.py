"""Looking at a journal that no service is using, without changing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spanledger_ingest.errors import DataDirError
from spanledger_ingest.journal._entries import UNFINISHED, Damage, scan
from spanledger_ingest.journal._segments import list_segments


@dataclass(frozen=True, slots=True)
class JournalReport:
    """What is on the disk."""

    segments: int
    waiting: int
    """Requests behind the position that the store has."""
    waiting_bytes: int
    damages: Sequence[Damage]
    """Without what a kill in the middle of a write leaves behind."""


def report(directory: Path, stored_position: int) -> JournalReport:
    """Read every frame of a journal.

    Raises:
        DataDirError: the directory cannot be read.
    """
    found: list[Damage] = []
    waiting = waiting_bytes = 0
    try:
        segments = list_segments(directory) if directory.is_dir() else []
        for segment in segments:
            with segment.bytes() as data:
                for item in scan(data, segment.path.name, segment.base, segment.marker, range(len(data))):
                    if isinstance(item, Damage):
                        found.append(item)
                    elif item.end > stored_position:
                        waiting += 1
                        waiting_bytes += item.end - item.offset
    except OSError as error:
        raise DataDirError(f"the journal in {directory} cannot be read: {error.strerror}") from error
    serious = [damage for damage in found if damage.reason != UNFINISHED]
    return JournalReport(len(segments), waiting, waiting_bytes, serious)
