"""Delivery: what has to be told is kept until it is delivered or accounted for.

``Outbox.enqueue`` takes a notification in the transaction of who makes it; the :class:`Deliverer` brings it to its
receiver.
"""

from spanledger_alerts.delivery._circuit import FAILURES, LANES, Circuit
from spanledger_alerts.delivery._deliverer import Deliverer, DeliveryStats, on_a_thread
from spanledger_alerts.delivery._guard import (
    DEFAULT_PORTS,
    Policy,
    Resolver,
    Target,
    check_url,
    connect,
    is_denied,
    parse_policy,
    resolve,
)
from spanledger_alerts.delivery._http import MAX_ANSWER_BYTES, TOTAL_SECONDS, Answer, Spoken, ask, post
from spanledger_alerts.delivery._message import Message, State
from spanledger_alerts.delivery._notifiers import AppriseNotifier, Notifier, WebhookNotifier, notifiers_of
from spanledger_alerts.delivery._outbox import MAX_SEQ, AttemptRow, Outbox, Waiting
from spanledger_alerts.delivery._receiver import PAGERDUTY_URL, SHAPES, Receiver, Shape
from spanledger_alerts.delivery._sample import sample
from spanledger_alerts.delivery._schedule import Attempt, Outcome, Schedule, judge, parse_retry_after
from spanledger_alerts.delivery._signing import signed_headers

__all__ = [
    "DEFAULT_PORTS",
    "FAILURES",
    "LANES",
    "MAX_ANSWER_BYTES",
    "MAX_SEQ",
    "PAGERDUTY_URL",
    "SHAPES",
    "TOTAL_SECONDS",
    "Answer",
    "AppriseNotifier",
    "Attempt",
    "AttemptRow",
    "Circuit",
    "Deliverer",
    "DeliveryStats",
    "Message",
    "Notifier",
    "Outbox",
    "Outcome",
    "Policy",
    "Receiver",
    "Resolver",
    "Schedule",
    "Shape",
    "Spoken",
    "State",
    "Target",
    "Waiting",
    "WebhookNotifier",
    "ask",
    "check_url",
    "connect",
    "is_denied",
    "judge",
    "notifiers_of",
    "on_a_thread",
    "parse_policy",
    "parse_retry_after",
    "post",
    "resolve",
    "sample",
    "signed_headers",
]
