"""The tables of budgets in the state database; nothing heavy is imported to have them. Times are ns since the epoch."""

from typing import Final

TABLES: Final = """
    CREATE TABLE budget_definitions (
        owner TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, body TEXT NOT NULL, structure TEXT NOT NULL,
        created_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL, filled INTEGER NOT NULL, PRIMARY KEY (owner, name)
    ) STRICT;
    CREATE TABLE budget_instances (
        id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, name TEXT NOT NULL, tenant TEXT NOT NULL,
        UNIQUE (owner, name, tenant)
    ) STRICT;
    CREATE TABLE budget_cells (
        owner TEXT NOT NULL, start_ns INTEGER NOT NULL, instance INTEGER NOT NULL, usd INTEGER NOT NULL,
        nano INTEGER NOT NULL, calls INTEGER NOT NULL, unpriced INTEGER NOT NULL,
        PRIMARY KEY (owner, start_ns, instance)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX budget_cells_by_instance ON budget_cells (instance, start_ns);
    CREATE TABLE budget_periods (
        instance INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, label TEXT NOT NULL,
        rate TEXT NOT NULL, limit_nano INTEGER NOT NULL, usd INTEGER NOT NULL, nano INTEGER NOT NULL,
        calls INTEGER NOT NULL, unpriced INTEGER NOT NULL, PRIMARY KEY (instance, start_ns)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE budget_events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, instance INTEGER NOT NULL, start_ns INTEGER NOT NULL,
        basis TEXT NOT NULL, threshold INTEGER NOT NULL, generation INTEGER NOT NULL, owner TEXT NOT NULL,
        name TEXT NOT NULL, tenant TEXT NOT NULL, label TEXT NOT NULL, time_ns INTEGER NOT NULL,
        spent TEXT NOT NULL, limit_nano INTEGER NOT NULL, late INTEGER NOT NULL, detail TEXT NOT NULL,
        rearmed_ns INTEGER, UNIQUE (instance, start_ns, basis, threshold, generation)
    ) STRICT;
    CREATE TABLE budget_burning (
        instance INTEGER NOT NULL, pair TEXT NOT NULL, told TEXT NOT NULL, PRIMARY KEY (instance, pair)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE budget_forecasts (
        instance INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL, time_ns INTEGER NOT NULL, total TEXT NOT NULL,
        low TEXT NOT NULL, high TEXT NOT NULL
    ) STRICT;
    CREATE TABLE budget_ledger (
        one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, version INTEGER NOT NULL,
        coarse_before_ns INTEGER NOT NULL, mirrored INTEGER NOT NULL
    ) STRICT;
    INSERT INTO budget_ledger VALUES (1, 0, 0, 0, 0);
"""
"""``spent`` of an event is text, because a period total may leave 64 bits; ``told`` the
finding that is yet to end."""
