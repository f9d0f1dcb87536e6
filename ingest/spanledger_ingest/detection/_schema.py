"""Tables in ``state.db``; apart from what uses them, so that it can be opened without the detector."""

from typing import Final

TABLES: Final = "CREATE TABLE detector (name TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT"
