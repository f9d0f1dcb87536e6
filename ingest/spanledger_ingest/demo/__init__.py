"""The demonstration: a fake LLM provider on the loopback, a real application, and what Spanledger saw of it."""

from spanledger_ingest.demo.fake_provider import FakeProvider, ServedRequest, TokenCounts

__all__ = ["FakeProvider", "ServedRequest", "TokenCounts"]
