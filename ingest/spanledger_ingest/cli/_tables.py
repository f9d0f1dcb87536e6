"""Times as options, and lists as tables."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from spanledger_ingest.errors import IngestError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WIDTH: Final = 220


class UsageError(IngestError):
    """An option that cannot be meant."""


def moment(option: str, text: str, *, ahead: bool = False) -> datetime:
    """Return a date, a time, or a length of time before now (``ahead``: after now).

    Raises:
        UsageError: it is none.
    """
    length = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if length is not None:
        away = timedelta(**{_UNITS[length[2]]: int(length[1])})
        return datetime.now(UTC) + (away if ahead else -away)
    if text == "now":
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option}: {text!r} is no time; write 2026-03-01T12:00:00Z, or 2h") from error
    return found.replace(tzinfo=found.tzinfo or UTC)


def nanoseconds(time: datetime) -> int:
    """Return a time as nanoseconds since the epoch."""
    return round(time.timestamp() * 1e6) * 1000


def print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a table wide enough that nothing is cut."""
    from rich.console import Console  # noqa: PLC0415 - not needed for --help
    from rich.table import Table  # noqa: PLC0415 - same

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console(highlight=False, markup=False, width=_WIDTH).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
