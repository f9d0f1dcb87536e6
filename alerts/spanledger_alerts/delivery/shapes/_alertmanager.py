"""What Prometheus Alertmanager sends (webhook, version 4), and what it takes (``/api/v2/alerts``)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from spanledger_alerts.delivery.shapes._common import Body, Said, cut, fitted, moment, shown, web_links
from spanledger_alerts.records import Alert

_NO_TIME: Final = "0001-01-01T00:00:00Z"
_DAY_NS: Final = 86_400 * 10**9


def alertmanager(said: Said) -> bytes:
    """Return the body of a webhook, as Alertmanager makes it."""

    def build(alerts: Sequence[Alert], left_out: int) -> Body:
        told = [_alert(alert, said.base_url) for alert in alerts]
        return {
            "receiver": said.receiver,
            "status": said.notification.status,
            "alerts": told,
            "groupLabels": _named(_few(said.notification.group_labels)),
            "commonLabels": _common([alert["labels"] for alert in told]),
            "commonAnnotations": _common([alert["annotations"] for alert in told]),
            "externalURL": said.base_url,
            "version": "4",
            "groupKey": cut(said.notification.group_key, 1024),
            "truncatedAlerts": left_out + said.notification.truncated,
        }

    return fitted(said.alerts, build)


def alertmanager_api(said: Said) -> bytes:
    """Return the alerts as they are posted to an Alertmanager.

    It ends by itself what it hears nothing of; so a firing alert says that it lasts for another day, and its resolution
    says otherwise.
    """

    def build(alerts: Sequence[Alert], _left_out: int) -> list[Body]:
        return [_posted(alert, said) for alert in alerts]

    return fitted(said.alerts, build)


def _posted(alert: Alert, said: Said) -> Body:
    told = _alert(alert, said.base_url)
    ends = moment(said.notification.created_ns + _DAY_NS) if alert.status == "firing" else told["endsAt"]
    return {name: told[name] for name in ("labels", "annotations", "startsAt", "generatorURL")} | {"endsAt": ends}


def _alert(alert: Alert, base_url: str) -> Body:
    links = web_links(alert.links, base_url)
    tenant = {"tenant": alert.tenant} if alert.tenant else {}
    labels = {"alertname": alert.rule, "severity": alert.severity} | tenant | dict(alert.labels)
    annotations = {
        "summary": alert.summary,
        "value": shown(alert.value),
        "threshold": shown(alert.threshold),
        "window": alert.window,
        "impact_usd": "" if alert.impact_usd is None else format(alert.impact_usd, "f"),
    }
    return {
        "status": alert.status,
        "labels": {name: value for name, value in _named(labels).items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": moment(alert.started_ns),
        "endsAt": _NO_TIME if alert.resolved_ns is None else moment(alert.resolved_ns),
        "generatorURL": next(iter(links.values()), ""),
        "fingerprint": alert.fingerprint,
    }


def _few(labels: Mapping[str, str]) -> dict[str, str]:
    named = {"alertname" if name == "rule" else name: value for name, value in list(labels.items())[:16]}
    return {cut(name, 64): cut(value, 256) for name, value in named.items()}


def _named(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels under names that Prometheus allows."""
    return {re.sub(r"^(?=\d)|[^a-zA-Z0-9_]", "_", name): value for name, value in labels.items()}


def _common(sets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {name: value for name, value in sets[0].items() if all(other.get(name) == value for other in sets)}
