"""What the judge has spent, in ``state.db``. Amounts are billionths of a dollar, days are UTC."""

from typing import Final

TABLES: Final = """
    CREATE TABLE judge_spend (day TEXT PRIMARY KEY, nano_usd INTEGER NOT NULL, calls INTEGER NOT NULL) STRICT;
"""
ADD: Final = """
    INSERT INTO judge_spend VALUES (?, ?, ?)
    ON CONFLICT (day) DO UPDATE SET nano_usd = nano_usd + excluded.nano_usd, calls = calls + excluded.calls
"""
SPENT: Final = "SELECT nano_usd FROM judge_spend WHERE day = ?"
FORGET: Final = "DELETE FROM judge_spend WHERE day < ?"
