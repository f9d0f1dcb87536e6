"""The detector's part of ``state.db``: what it has learned."""

from typing import Final

from spanledger_alerts.database import Database

_NAME: Final = "ledger"


class DetectorTables:
    """Reads and writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> bytes | None:
        """Return the state that was saved last."""
        rows = self._database.execute("SELECT state FROM detector WHERE name = ?", (_NAME,))
        return bytes(rows[0][0]) if rows else None

    def save(self, state: bytes) -> None:
        """Replace it."""
        with self._database.transaction():
            self._database.execute("DELETE FROM detector WHERE name = ?", (_NAME,))
            self._database.execute("INSERT INTO detector (name, state) VALUES (?, ?)", (_NAME, state))
