"""What is remembered of receivers: who asked to be left alone, and since when one has failed."""

import hashlib
from collections.abc import Mapping

from spanledger_alerts.database import Database
from spanledger_alerts.delivery import _tables as sql
from spanledger_alerts.delivery._receiver import Receiver


class ReceiverStates:
    """Kept in the database under a hash of the address: a receiver that gets another one starts anew."""

    def __init__(self, database: Database, receivers: Mapping[str, Receiver]) -> None:
        self._database = database
        self._places = {name: _place(receiver) for name, receiver in receivers.items()}

    def _read(self, name: str) -> tuple[int | None, int | None]:
        found = self._database.execute(sql.RECEIVER, (name,))
        if not found or found[0][0] != self._places.get(name):
            return None, None
        return found[0][1], found[0][2]

    def _write(self, name: str, disabled_ns: int | None, failing_since_ns: int | None) -> None:
        place = self._places.get(name, "")
        self._database.execute(sql.SET_RECEIVER, (name, place, disabled_ns, failing_since_ns))

    def is_disabled(self, name: str) -> bool:
        """Tell whether a receiver asked to be left alone."""
        return self._read(name)[0] is not None

    def disabled(self) -> dict[str, int]:
        """Return the receivers that did, and when, in nanoseconds since the epoch."""
        return {name: moment for name in self._places if (moment := self._read(name)[0]) is not None}

    def enable(self, name: str) -> None:
        """Send to it again."""
        if self.is_disabled(name):
            self._write(name, None, None)

    def succeeded(self, name: str) -> bool:
        """Note a success; return whether it was the first after failures."""
        disabled_ns, failing_since_ns = self._read(name)
        if failing_since_ns is None:
            return False
        self._write(name, disabled_ns, None)
        return True

    def failed(self, name: str, now_ns: int, *, disable: bool) -> int:
        """Note a failure; return since when there has been no success."""
        disabled_ns, failing_since_ns = self._read(name)
        since = now_ns if failing_since_ns is None else failing_since_ns
        if failing_since_ns is None or disable:
            self._write(name, now_ns if disable else disabled_ns, since)
        return since


def _place(receiver: Receiver) -> str:
    return hashlib.sha256(f"{receiver.url}\n{receiver.routing_key}".encode()).hexdigest()
