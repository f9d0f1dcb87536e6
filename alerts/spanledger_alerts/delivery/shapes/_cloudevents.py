"""CloudEvents 1.0 in structured mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md."""

from collections.abc import Sequence

from spanledger_alerts.delivery.shapes._common import Body, Said, fitted, moment
from spanledger_alerts.delivery.shapes._native import data
from spanledger_alerts.records import Alert


def cloudevents(said: Said) -> bytes:
    """Return the body; ``data`` is that of our own shape."""

    def build(alerts: Sequence[Alert], _left_out: int) -> Body:
        alert = alerts[0]
        return {
            "specversion": "1.0",
            "id": said.notification.id,
            "source": said.base_url or "/spanledger",
            "type": f"spanledger.alert.{alert.status}",
            "subject": alert.id,
            "time": moment(said.notification.created_ns),
            "datacontenttype": "application/json",
            "data": data(alert),
        }

    return fitted(said.alerts[:1], build)
