"""Alerts and rules of a service that is stopped."""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from spanledger_alerts.errors import AlertsError
from spanledger_alerts.replay import replay
from spanledger_alerts.rules import AnyRule
from spanledger_ingest.alerting import Alerting, Configured, configured
from spanledger_ingest.alerting.trial import sayings
from spanledger_ingest.api.alerts import alerts_json, replayed_json, rules_json, said_json
from spanledger_ingest.auth import StateDb
from spanledger_ingest.cli._stopped import stopped_store
from spanledger_ingest.cli._tables import UsageError, nanoseconds
from spanledger_ingest.settings import load_settings


def stopped_answer(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the running service would answer to ``list``, ``rules`` or ``test``."""
    if getattr(options, "send", False):
        raise UsageError("--send needs the running service, which delivers: leave --data away")
    with _alerting(options) as alerting:
        if options.action == "list":
            items = alerts_json(alerting, options.state.split(","), options.limit)
        elif options.action == "rules":
            items = rules_json(alerting)
        else:
            items = said_json(sayings(alerting, _rule(alerting.found, options.rule), None, time.time_ns()))
        return {"items": _plain(items), "sent": []}


def stopped_replay(options: argparse.Namespace, window: tuple[datetime, datetime]) -> Iterator[dict[str, Any]]:
    """Yield what the running service would, line by line."""
    start, end = map(nanoseconds, window)
    with _alerting(options) as alerting:
        found = alerting.found
        rule, step_ns = _rule(found, options.rule), options.step * 1_000_000_000
        for step in replay(rule, alerting.data, found.policy, (start, end), step_ns=step_ns):
            line = {"done": step.done, "total": step.total}
            yield line | (_plain(replayed_json(step)) if step.step_ns else {})


@contextmanager
def _alerting(options: argparse.Namespace) -> Iterator[Alerting]:
    settings = load_settings(options.config, {"store": {"data": options.data}})
    try:
        with stopped_store(options) as store, closing(StateDb(settings.store.data)) as state:
            yield Alerting(configured(settings, settings.receivers), store, state)
    except AlertsError as error:
        raise UsageError(str(error)) from error


def _rule(found: Configured, name: str) -> AnyRule:
    rule = found.rule(name)
    if rule is None:
        raise UsageError(f"there is no rule {name!r}; there are {', '.join(rule.name for rule in found.rules)}")
    return rule


def _plain(found: Any) -> Any:
    return json.loads(json.dumps(found, default=str))
