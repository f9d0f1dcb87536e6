"""A notification to look at: in the documentation, and to try a receiver with."""

from decimal import Decimal
from typing import Final

from spanledger_alerts.records import Alert, Notification, Status

_MINUTE_NS: Final = 60 * 10**9


def sample(id_: str, receiver: str, now_ns: int, status: Status = "firing") -> Notification:
    """Return a made-up notification, marked as a test where it could be taken for a real one."""
    alert = Alert(
        id="01-example",
        fingerprint="9f86d081884c7d65",
        rule="error-burst",
        severity="warning",
        owner="acme",
        labels={"tenant": "acme", "model": "gpt-4o", "example": "yes"},
        status=status,
        summary="This is a test: 12.0 % of the calls to gpt-4o fail, more than 5 %",
        value=0.12,
        threshold=0.05,
        window="5m",
        impact_usd=Decimal("1.25"),
        links={"calls": "/calls?tenant=acme&model=gpt-4o"},
        started_ns=now_ns - 5 * _MINUTE_NS,
        resolved_ns=now_ns if status == "resolved" else None,
    )
    return Notification(
        id=id_,
        receiver=receiver,
        group_key="error-burst/acme",
        group_labels={"rule": "error-burst", "tenant": "acme"},
        status=status,
        alerts=(alert,),
        created_ns=now_ns,
    )
