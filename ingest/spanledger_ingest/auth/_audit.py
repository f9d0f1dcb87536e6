"""The record of who read content and who changed keys."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spanledger_ingest.auth._roles import ALL_TENANTS, Principal
from spanledger_ingest.auth._state import StateDb


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the record; ``time`` is seconds since the epoch."""

    seq: int
    time: int
    actor: str
    tenant: str
    """Whose data it was; ``*`` for all tenants."""
    action: str
    detail: Mapping[str, Any]
    reason: str


class Audit:
    """Lines in ``state.db``, written before what they tell of is done. ``clock`` is seconds since the epoch."""

    def __init__(self, state: StateDb, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock

    def write(self, actor: str, tenant: str, action: str, detail: Mapping[str, Any], reason: str = "") -> None:
        """Add a line, durably.

        Raises:
            StateError: the disk refuses; what was to be recorded must not happen.
        """
        self._state.execute(
            "INSERT INTO audit (time, actor, tenant, action, detail, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (int(self._clock()), actor, tenant, action, json.dumps(detail), reason),
        )

    def record(self, principal: Principal, action: str, detail: Mapping[str, Any], reason: str) -> None:
        """Add a line about what somebody does with the tenant's data, or all tenants', that they may see.

        Raises:
            StateError: as :meth:`write`.
        """
        self.write(
            principal.name, ALL_TENANTS if principal.tenant is None else principal.tenant, action, detail, reason
        )

    def read(self, tenant: str | None, *, before: int, limit: int) -> list[AuditEntry]:
        """Return lines, the latest first: those with a number below ``before``, of a tenant or (``None``) of all."""
        rows = self._state.execute(
            "SELECT seq, time, actor, tenant, action, detail, reason FROM audit"
            " WHERE seq < ?1 AND (?2 IS NULL OR tenant = ?2) ORDER BY seq DESC LIMIT ?3",
            (before, tenant, limit),
        )
        return [
            AuditEntry(seq, moment, actor, whose, action, json.loads(detail), reason)
            for seq, moment, actor, whose, action, detail, reason in rows
        ]
