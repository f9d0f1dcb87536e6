"""Tables of calibrations in ``state.db``."""

from typing import Final

TABLES: Final = """
    CREATE TABLE score_calibrations (
        owner TEXT NOT NULL, name TEXT NOT NULL, scorer_version TEXT NOT NULL, id TEXT NOT NULL, model TEXT NOT NULL,
        labels INTEGER NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (owner, name, scorer_version)
    ) STRICT;
"""
"""``model`` is JSON (:class:`~spanledger_analytics.quality.Calibration`), ``created`` seconds since the epoch."""

LOAD: Final = "SELECT owner, name, scorer_version, model FROM score_calibrations"
SAVE: Final = """
    INSERT INTO score_calibrations VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (owner, name, scorer_version) DO UPDATE
        SET id = excluded.id, model = excluded.model, labels = excluded.labels, created = excluded.created
"""
