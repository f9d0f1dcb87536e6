"""The in-memory store keeps the contract of span stores."""

from spanledger_analytics.memory import MemoryStore
from spanledger_analytics.testing import SpanStoreContract


class TestMemoryStore(SpanStoreContract):
    def open(self) -> MemoryStore:
        return MemoryStore()
