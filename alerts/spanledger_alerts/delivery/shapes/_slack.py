"""Slack's incoming webhooks: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""

from collections.abc import Sequence
from typing import Final

from spanledger_alerts.delivery.shapes._common import Body, Said, cut, facts, fitted, title, web_links
from spanledger_alerts.records import Alert

_COLORS: Final = {"critical": "#d62728", "warning": "#ff9f1c", "info": "#4c78a8"}
_RESOLVED: Final = "#2ca02c"
_MOST_ALERTS: Final = 10
_MOST_FIELDS: Final = 10


def slack(said: Said) -> bytes:
    """Return the body. What users wrote is plain text, which Slack does not read as markup; links are our own."""

    def build(alerts: Sequence[Alert], left_out: int) -> Body:
        blocks: list[Body] = [{"type": "header", "text": _plain(title(said), 150)}]
        for alert in alerts:
            blocks += _blocks(alert, said.base_url)
        if left_out:
            blocks.append({"type": "context", "elements": [_plain(f"{left_out} more are not shown", 100)]})
        resolved = said.notification.status == "resolved"
        color = _RESOLVED if resolved else _COLORS[alerts[0].severity]
        return {"text": escape(title(said)), "attachments": [{"color": color, "blocks": blocks}]}

    left_out = max(len(said.alerts) - _MOST_ALERTS, 0) + said.notification.truncated
    return fitted(said.alerts[:_MOST_ALERTS], lambda alerts, more: build(alerts, more + left_out))


def _blocks(alert: Alert, base_url: str) -> list[Body]:
    fields = [_plain(f"{name}: {value}", 2000) for name, value in list(facts(alert).items())[:_MOST_FIELDS]]
    section: Body = {"type": "section", "fields": fields}
    if alert.summary:
        section["text"] = _plain(alert.summary, 3000)
    links = [f"<{_address(link)}|{escape(name)}>" for name, link in web_links(alert.links, base_url).items()]
    text = {"type": "mrkdwn", "text": " · ".join(links), "verbatim": True}
    return [section, *([{"type": "context", "elements": [text]}] if links else [])]


def _plain(text: str, length: int) -> Body:
    return {"type": "plain_text", "text": cut(text, length), "emoji": False}


def escape(text: str) -> str:
    """Return a text that is only text in Slack's markup: no mention, no link, no channel."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.translate({ord(letter): f"{letter}\u200b" for letter in "*_~`|"})


def _address(link: str) -> str:
    return link.replace("&", "&amp;")
