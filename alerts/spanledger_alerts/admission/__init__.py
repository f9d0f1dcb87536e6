"""Hard caps without a gateway: amounts are held before calls are made, until the ledger has what they cost."""

from spanledger_alerts.admission._core import Core
from spanledger_alerts.admission._desk import Desk, Question, Reply, Waiting
from spanledger_alerts.admission._records import Answer, Ask, Bound, Cap, CapKey, Decision, Hold, Ledger, Part

__all__ = [
    "Answer",
    "Ask",
    "Bound",
    "Cap",
    "CapKey",
    "Core",
    "Decision",
    "Desk",
    "Hold",
    "Ledger",
    "Part",
    "Question",
    "Reply",
    "Waiting",
]
