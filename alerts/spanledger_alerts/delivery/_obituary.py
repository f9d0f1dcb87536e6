"""What is said elsewhere when a message is given up."""

from hashlib import sha256
from typing import Final

from spanledger_alerts.delivery._message import Message
from spanledger_alerts.records import Alert, Notification

RULE: Final = "delivery-failed"
_HOUR_NS: Final = 3600 * 10**9


def given_up(message: Message, fallback: str, now_ns: int) -> Notification | None:
    """Return what the fallback is told, once an hour for each receiver and owner: the id is that of the hour.

    ``None`` if the message itself was about this: two receivers that are each other's fallback do not keep each other
    busy.
    """
    lost = message.notification
    if any(alert.rule == RULE for alert in lost.alerts):
        return None
    hour = now_ns // _HOUR_NS
    id_ = f"given-up-{message.receiver}-{_short(message.owner)}-{hour}"
    rules = ", ".join(sorted({alert.rule for alert in lost.alerts}))
    alert = Alert(
        id=id_,
        fingerprint=_short(f"{RULE} {message.receiver} {message.owner}"),
        rule=RULE,
        severity="critical",
        owner=message.owner,
        labels={"receiver": message.receiver},
        status="firing",
        summary=f"Messages to {message.receiver} are given up, the first about {rules}. See the dead letters: "
        "GET /api/v1/deliveries?state=dead",
        value=None,
        threshold=None,
        window="",
        impact_usd=None,
        links={},
        started_ns=now_ns,
    )
    return Notification(
        id=id_,
        receiver=fallback,
        group_key=f"{RULE}/{message.receiver}/{message.owner}",
        group_labels={"rule": RULE, "receiver": message.receiver},
        status="firing",
        alerts=(alert,),
        created_ns=now_ns,
    )


def _short(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
