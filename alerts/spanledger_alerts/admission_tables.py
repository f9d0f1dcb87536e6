"""The tables of admission in the state database; importing them is cheap. Times are ns since the epoch."""

from typing import Final

TABLES: Final = """
    CREATE TABLE admission_holds (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
        trace_id TEXT NOT NULL, span_id TEXT NOT NULL, start_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL,
        parts TEXT NOT NULL
    ) STRICT;
    CREATE TABLE admission_covers (
        owner TEXT NOT NULL, name TEXT NOT NULL, tenant TEXT NOT NULL, start_ns INTEGER NOT NULL,
        until_ns INTEGER NOT NULL, nano INTEGER NOT NULL, PRIMARY KEY (owner, name, tenant, start_ns)
    ) STRICT, WITHOUT ROWID;
"""
"""``parts`` is JSON: which caps an amount is held against. A cover bounds what is held and not written yet."""
