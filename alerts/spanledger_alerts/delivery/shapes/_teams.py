"""Microsoft Teams, a webhook of Workflows: https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams."""

from collections.abc import Sequence
from typing import Final

from spanledger_alerts.delivery.shapes._common import Body, Said, facts, fitted, title, web_links
from spanledger_alerts.records import Alert

_MOST_ALERTS: Final = 10
_STYLES: Final = {"critical": "Attention", "warning": "Warning", "info": "Accent"}
_MARKUP: Final = str.maketrans(
    {letter: f"\\{letter}" for letter in "\\`*_{}[]()#+-.!|~>"} | {"<": "&lt;", "&": "&amp;"}
)


def teams(said: Said) -> bytes:
    """Return the message with an Adaptive Card. What users wrote is escaped, so that it is not read as Markdown."""

    def build(alerts: Sequence[Alert], left_out: int) -> Body:
        resolved = said.notification.status == "resolved"
        color = "Good" if resolved else _STYLES[alerts[0].severity]
        body = [_text(title(said), size="Large", weight="Bolder", color=color)]
        for alert in alerts:
            body += _items(alert)
        if left_out:
            body.append(_text(f"{left_out} more are not shown", isSubtle=True))
        links = web_links(alerts[0].links, said.base_url)
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
            "actions": [{"type": "Action.OpenUrl", "title": name, "url": link} for name, link in links.items()][:6],
            "msteams": {"width": "Full"},
        }
        content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        return {"type": "message", "attachments": [content]}

    left_out = max(len(said.alerts) - _MOST_ALERTS, 0) + said.notification.truncated
    return fitted(said.alerts[:_MOST_ALERTS], lambda alerts, more: build(alerts, more + left_out))


def _items(alert: Alert) -> list[Body]:
    pairs = [{"title": escape(name), "value": escape(value)} for name, value in facts(alert).items()]
    text = [_text(alert.summary)] if alert.summary else []
    return [*text, {"type": "FactSet", "facts": pairs}]


def _text(text: str, **style: object) -> Body:
    return {"type": "TextBlock", "text": escape(text), "wrap": True, **style}


def escape(text: str) -> str:
    """Return a text that stays text in the Markdown of cards; its dates and times are not computed either."""
    return text.translate(_MARKUP)
