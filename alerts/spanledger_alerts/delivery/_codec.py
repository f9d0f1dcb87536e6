"""Notifications as text, for as long as they wait."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from spanledger_alerts.records import Alert, Notification


def encode(notification: Notification) -> str:
    """Return the text of a notification, in ASCII: whatever a label holds, SQLite takes it."""
    return json.dumps(asdict(notification), default=str, separators=(",", ":"))


def decode(text: str) -> Notification:
    """Return the notification of a text, as it was."""
    fields = json.loads(text)
    return Notification(**{**fields, "alerts": tuple(_alert(alert) for alert in fields["alerts"])})


def _alert(fields: Mapping[str, Any]) -> Alert:
    impact = fields["impact_usd"]
    return Alert(**{**fields, "impact_usd": None if impact is None else Decimal(impact)})
