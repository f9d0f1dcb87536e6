"""Tests for adapters of the ports: subclass, say how to open yours, run pytest. Needs hypothesis."""

from spanledger_analytics.testing._detector_contract import DetectorContract
from spanledger_analytics.testing._samples import SECOND, T0, a_call, a_span, facts_of
from spanledger_analytics.testing._scorer_contract import ScorerContract, evidences
from spanledger_analytics.testing._store_contract import SpanStoreContract
from spanledger_analytics.testing._strategies import any_facts, batches, calls, spans

__all__ = [
    "SECOND",
    "T0",
    "DetectorContract",
    "ScorerContract",
    "SpanStoreContract",
    "a_call",
    "a_span",
    "any_facts",
    "batches",
    "calls",
    "evidences",
    "facts_of",
    "spans",
]
