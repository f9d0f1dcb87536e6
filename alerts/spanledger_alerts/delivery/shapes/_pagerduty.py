"""PagerDuty's Events API v2: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from spanledger_alerts.delivery.shapes._common import Body, Said, cut, facts, fitted, moment, title, web_links
from spanledger_alerts.records import Alert

_MOST_SUMMARY: Final = 1024


def pagerduty(said: Said) -> bytes:
    """Return the event: a group of alerts is one incident."""

    def build(alerts: Sequence[Alert], left_out: int) -> Body:
        first = alerts[0]
        links = [{"href": link, "text": name} for name, link in web_links(first.links, said.base_url).items()]
        event: Body = {
            "routing_key": said.routing_key,
            "event_action": "resolve" if said.notification.status == "resolved" else "trigger",
            "dedup_key": sha256(said.notification.group_key.encode("utf-8", "replace")).hexdigest(),
            "client": "Spanledger",
            "payload": {
                "summary": cut(f"{title(said)}. {first.summary}", _MOST_SUMMARY),
                "source": first.tenant or "spanledger",
                "severity": first.severity,
                "timestamp": moment(first.started_ns),
                "class": first.rule,
                "custom_details": {
                    "alerts": [{"status": alert.status, "summary": alert.summary} | facts(alert) for alert in alerts],
                    "not_shown": left_out + said.notification.truncated,
                },
            },
            "links": links,
        }
        return event | ({"client_url": said.base_url} if said.base_url else {})

    return fitted(said.alerts, build)
