"""Who is told: a receiver as it is configured."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, get_args

from spanledger_alerts.delivery._guard import Policy, check_url
from spanledger_alerts.errors import ReceiverError
from spanledger_alerts.records import Notification

Shape: TypeAlias = Literal[
    "native", "alertmanager", "alertmanager_api", "cloudevents", "slack", "pagerduty", "teams", "apprise"
]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
SINGLE: Final[frozenset[Shape]] = frozenset({"native", "cloudevents"})
"""Shapes with one alert in a message."""

PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
_SECRET_BYTES: Final = range(24, 65)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+")
_OWN_HEADERS: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where messages go, and how.

    Raises:
        ReceiverError: it cannot be meant; the text says what can, and shows no secret.
        AddressRefusedError: nothing may be sent to such an address.
    """

    name: str
    url: str = field(repr=False)
    shape: Shape = "native"
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """``whsec_...``; every message is signed with each, so that the other side can change from one to the next."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    routing_key: str = field(default="", repr=False)
    """Of PagerDuty."""
    send_resolved: bool = True
    tenants: frozenset[str] = frozenset()
    """Only told of alerts about the data of these; empty is of everybody's."""
    fallback: str = ""
    """Name of the receiver that is told when a message to this one is given up."""
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ReceiverError(f"receiver {self.name!r}: shape is {self.shape!r}, not one of {', '.join(SHAPES)}")
        if self.shape != "apprise":
            check_url(self.url, self.policy)
        for secret in self.secrets:
            self._check_secret(secret)
        if self.shape == "native" and not self.secrets:
            raise ReceiverError(
                f"receiver {self.name!r}: shape native is signed and needs a secret; make one with:"
                " echo whsec_$(openssl rand -base64 32)"
            )
        if self.shape == "pagerduty" and not self.routing_key:
            raise ReceiverError(
                f"receiver {self.name!r}: PagerDuty needs routing_key, that of an Events API v2 service"
            )
        self._check_headers()

    def _check_secret(self, secret: str) -> None:
        coded = secret.removeprefix("whsec_")
        try:
            key = base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith("whsec_") or len(key) not in _SECRET_BYTES:
            raise ReceiverError(
                f"receiver {self.name!r}: a secret is whsec_ and 24 to 64 bytes in base64; make one with:"
                " echo whsec_$(openssl rand -base64 32)"
            )

    def _check_headers(self) -> None:
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
                raise ReceiverError(f"receiver {self.name!r}: the header {name!r} cannot be set")
            if not value.isascii() or not value.isprintable():
                raise ReceiverError(f"receiver {self.name!r}: the header {name!r} has letters that no header can have")

    def narrowed(self, notification: Notification) -> Notification | None:
        """Return what this receiver may know of a notification, ``None`` for nothing."""
        if not self.tenants:
            return notification
        alerts = tuple(alert for alert in notification.alerts if alert.owner in self.tenants)
        if not alerts:
            return None
        status: Literal["firing", "resolved"] = (
            "resolved" if all(alert.status == "resolved" for alert in alerts) else "firing"
        )
        return replace(notification, alerts=alerts, status=status)
