"""What the components of this package ask of the database that keeps their state."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Database(Protocol):
    """A transactional SQL database (SQLite in the service), for any thread."""

    def transaction(self) -> AbstractContextManager[None]:
        """Write all of what is executed inside, or nothing. May be entered again inside itself."""
        ...

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        ...
