"""Where messages wait, and the record of every attempt. SQLite; times are nanoseconds since the epoch.

Of the open messages of a group only the first is ``pending``; the others are ``queued`` behind it. So order is kept by
what is stored, and finding what is due costs one look into an index, however much waits.
"""

from typing import Final

TABLES: Final = """
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, receiver TEXT NOT NULL, lane TEXT NOT NULL,
        subject TEXT NOT NULL, owner TEXT NOT NULL, status TEXT NOT NULL, state TEXT NOT NULL, payload TEXT NOT NULL,
        created_ns INTEGER NOT NULL, since_ns INTEGER NOT NULL, due_ns INTEGER NOT NULL,
        held INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
        replayed INTEGER NOT NULL DEFAULT 0, collapsed INTEGER NOT NULL DEFAULT 0, finished_ns INTEGER,
        http_status INTEGER, detail TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX outbox_due ON outbox (receiver, due_ns, seq) WHERE state = 'pending';
    CREATE INDEX outbox_lane ON outbox (receiver, lane, seq) WHERE state IN ('pending', 'queued');
    CREATE INDEX outbox_finished ON outbox (finished_ns) WHERE finished_ns IS NOT NULL;
    CREATE TABLE delivery_attempts (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, attempt INTEGER NOT NULL, receiver TEXT NOT NULL,
        time_ns INTEGER NOT NULL, ok INTEGER NOT NULL, http_status INTEGER, detail TEXT NOT NULL, alerts TEXT NOT NULL
    ) STRICT;
    CREATE TABLE delivery_receivers (
        name TEXT PRIMARY KEY, place TEXT NOT NULL, disabled_ns INTEGER, failing_since_ns INTEGER
    ) STRICT;
    CREATE TABLE delivery_marks (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
"""
