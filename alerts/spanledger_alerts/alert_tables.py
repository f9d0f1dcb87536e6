"""Where alerts, groups and silences are kept. Times are nanoseconds since the epoch."""

from typing import Final

TABLES: Final = """
    CREATE TABLE alerts (
        id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, rule TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
        since INTEGER NOT NULL, started INTEGER, active INTEGER NOT NULL, seen INTEGER NOT NULL, resolved INTEGER,
        closed INTEGER NOT NULL, body TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX alerts_open ON alerts (fingerprint) WHERE state <> 'resolved';
    CREATE INDEX alerts_of_rule ON alerts (rule, state);
    CREATE INDEX alerts_resolved ON alerts (fingerprint, resolved);
    CREATE TABLE alert_groups (
        receiver TEXT NOT NULL, key TEXT NOT NULL, labels TEXT NOT NULL, created INTEGER NOT NULL,
        seq INTEGER NOT NULL, due INTEGER, sent INTEGER, wait INTEGER NOT NULL, interval INTEGER NOT NULL,
        repeat INTEGER NOT NULL, PRIMARY KEY (receiver, key)
    ) STRICT;
    CREATE INDEX alert_groups_due ON alert_groups (due);
    CREATE TABLE alert_members (
        receiver TEXT NOT NULL, key TEXT NOT NULL, alert TEXT NOT NULL, told TEXT NOT NULL, severity TEXT NOT NULL,
        PRIMARY KEY (receiver, key, alert)
    ) STRICT;
    CREATE INDEX alert_members_of ON alert_members (alert);
    CREATE TABLE alert_mutes (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, owner TEXT, matchers TEXT NOT NULL, starts INTEGER NOT NULL,
        ends INTEGER NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL, created INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX alert_mutes_end ON alert_mutes (ends)
"""
