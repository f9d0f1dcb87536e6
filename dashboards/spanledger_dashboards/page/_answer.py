"""What came back for a panel."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spanledger_dashboards.panels import PanelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rows of a panel, or why there are none.

    Times are datetimes with a zone (or seconds since the epoch), money is decimal.
    """

    spec: PanelSpec
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    error: str = ""
    """Why it could not be asked, in words for the reader."""

    def column(self, name: str, default: int) -> int:
        """Return the place of a column, by name or else by convention."""
        return self.columns.index(name) if name in self.columns else default


def seconds_of(at: Any) -> float:
    """Return a time in an answer as seconds since the epoch."""
    return at.timestamp() if isinstance(at, datetime) else float(at)
