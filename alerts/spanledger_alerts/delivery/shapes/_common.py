"""What the shapes have in common: times, links, and a body that is never too long."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from spanledger_alerts.records import Alert, Notification

Body: TypeAlias = dict[str, Any]

MAX_BYTES: Final = 20 * 1024
"""Of a body. What is longer is cut: alerts from the end of the list first, then texts."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CUTS: Final = ((1024, 64), (256, 32), (64, 16))
"""Longest text, most labels and links."""


@dataclass(frozen=True, slots=True)
class Said:
    """A notification as it is told to somebody."""

    notification: Notification
    receiver: str = ""
    base_url: str = ""
    """Of the built-in page; links that are paths are below it."""
    routing_key: str = ""

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All of them."""
        return self.notification.alerts


def collapsed(notification: Notification) -> Notification:
    """Return a resolution that also stands for the firing nobody was told of."""
    told = "Fired and resolved before its delivery was confirmed"
    alerts = tuple(
        replace(alert, summary=f"{told}: {alert.summary}" if alert.summary else told)
        if alert.status == "resolved"
        else alert
        for alert in notification.alerts
    )
    return replace(notification, alerts=alerts)


def dump(body: Any) -> bytes:
    """Return JSON as it is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def fitted(alerts: Sequence[Alert], build: Callable[[Sequence[Alert], int], Any], limit: int = MAX_BYTES) -> bytes:
    """Return the body with as many alerts as have room.

    Args:
        alerts: all of them.
        build: makes the body of alerts, and the number of those left out.
        limit: bytes.
    """
    body = b""
    for text, entries in _CUTS:
        cut = [shortened(alert, text, entries) for alert in alerts]
        number = len(cut)
        while number:
            body = dump(build(cut[:number], len(alerts) - number))
            if len(body) <= limit:
                return body
            number = min(number - 1, number * limit // len(body))
    return body


def shortened(alert: Alert, text: int, entries: int) -> Alert:
    """Return an alert with texts of at most ``text`` letters and at most so many labels and links."""
    labels = dict(list(alert.labels.items())[:entries])
    links = {name: link for name, link in list(alert.links.items())[: entries // 8] if len(link) <= 2 * text}
    return replace(
        alert,
        rule=cut(alert.rule, text),
        summary=cut(alert.summary, text),
        window=cut(alert.window, text),
        labels={cut(name, text): cut(value, text) for name, value in labels.items()},
        links={cut(name, text): link for name, link in links.items()},
    )


def cut(text: str, length: int) -> str:
    """Return a text of at most ``length`` letters, all of which can be encoded."""
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def moment(time_ns: int) -> str:
    """Return a time as RFC 3339 in UTC."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number(value: float | None) -> float | None:
    """Return a number that JSON has, else nothing."""
    return value if value is not None and math.isfinite(value) else None


def shown(value: float | None) -> str:
    """Return a number for people."""
    return "" if number(value) is None else f"{value:,.6g}"


def web_links(links: Mapping[str, str], base_url: str) -> dict[str, str]:
    """Return the links that lead somewhere in a browser; paths need the base."""
    found = {}
    for name, link in links.items():
        whole = base_url.rstrip("/") + link if base_url and link.startswith("/") else link
        if whole.startswith(("https://", "http://")) and not any(letter in whole for letter in ' <>|"\\\n\r\t'):
            found[name] = whole
    return found


def title(said: Said) -> str:
    """Return one line for people."""
    first = said.alerts[0]
    state = "Resolved" if said.notification.status == "resolved" else first.severity.capitalize()
    others = len(said.alerts) - 1 + said.notification.truncated
    more = f" (and {others} more)" if others else ""
    whose = f", {cut(first.tenant, 60)}" if first.tenant else ""
    return f"{state}: {cut(first.rule, 80)}{whose}{more}"


def facts(alert: Alert) -> dict[str, str]:
    """Return what there is to know of an alert beside its summary."""
    found = {
        "Tenant": alert.tenant or "",
        "Value": shown(alert.value),
        "Threshold": shown(alert.threshold),
        "Window": alert.window,
        "Impact": "" if alert.impact_usd is None else f"{alert.impact_usd} USD",
        "Since": moment(alert.started_ns),
        "Until": "" if alert.resolved_ns is None else moment(alert.resolved_ns),
    }
    labels = {name: value for name, value in alert.labels.items() if name != "tenant"}
    return {name: value for name, value in found.items() if value} | labels
