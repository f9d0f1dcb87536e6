"""What a notification looks like to each kind of receiver. Every shape is one pure function."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from spanledger_alerts.delivery._receiver import Shape
from spanledger_alerts.delivery.shapes._alertmanager import alertmanager, alertmanager_api
from spanledger_alerts.delivery.shapes._cloudevents import cloudevents
from spanledger_alerts.delivery.shapes._common import MAX_BYTES, Said, collapsed, facts, title
from spanledger_alerts.delivery.shapes._native import native
from spanledger_alerts.delivery.shapes._pagerduty import pagerduty
from spanledger_alerts.delivery.shapes._slack import slack
from spanledger_alerts.delivery.shapes._teams import teams

_JSON: Final = "application/json"


class Rendering(NamedTuple):
    """How a shape is made, and what it is called on the way."""

    render: Callable[[Said], bytes]
    content_type: str = _JSON


RENDERINGS: Final[Mapping[Shape, Rendering]] = {
    "native": Rendering(native),
    "alertmanager": Rendering(alertmanager),
    "alertmanager_api": Rendering(alertmanager_api),
    "cloudevents": Rendering(cloudevents, "application/cloudevents+json; charset=utf-8"),
    "slack": Rendering(slack),
    "pagerduty": Rendering(pagerduty),
    "teams": Rendering(teams),
}
"""By shape; ``apprise`` makes its own."""

__all__ = ["MAX_BYTES", "RENDERINGS", "Rendering", "Said", "collapsed", "facts", "title"]
