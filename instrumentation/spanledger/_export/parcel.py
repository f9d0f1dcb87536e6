"""One request body on its way to the receiver."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Signal(IntEnum):
    """The OTLP signal of a request; the number is stored in the spool."""

    TRACES = 1
    LOGS = 2

    @property
    def path(self) -> str:
        """Where requests of this signal go, below the endpoint."""
        return f"/v1/{self.name.lower()}"


@dataclass(slots=True, eq=False)
class Parcel:
    """A gzipped OTLP request, how many spans or records it carries, and where it is kept.

    ``place`` is set by whoever keeps it (disk or memory) and is ``None`` while only the sender knows it.
    """

    signal: Signal
    items: int
    body: bytes
    place: Any = None
