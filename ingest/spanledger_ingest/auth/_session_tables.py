"""The table of sessions in ``state.db``."""

from typing import Final

TABLES: Final = """
    CREATE TABLE sessions (
        digest BLOB PRIMARY KEY, key_id TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_of_key ON sessions (key_id, created);
"""
