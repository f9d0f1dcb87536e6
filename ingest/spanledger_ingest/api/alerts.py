"""Alerts and the rules behind them: what fires, what a rule would say now, and what it would have said."""

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from spanledger_alerts.engine import Tracked
from spanledger_alerts.replay import Replayed, replay
from spanledger_alerts.rules import AnyRule
from spanledger_analytics import schema
from spanledger_analytics.queries import MAX_NS
from spanledger_ingest.alerting import STATES, Alerting, alert_rows, moment
from spanledger_ingest.alerting.trial import Saying, sayings, trial_messages
from spanledger_ingest.api._admin import ContentType, note, refuse_forms
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response, page, rows_of
from spanledger_ingest.api._openapi import PROBLEM, lists, row
from spanledger_ingest.api._params import MAX_PAGE, Time, _nanoseconds
from spanledger_ingest.auth import Principal

Reader = Annotated[Principal, requires("alerts:read")]
Writer = Annotated[Principal, requires("alerts:write")]

_SAYING: Final = {"type": "object", "description": "what a rule finds about one set of labels, and who would be told"}
_RULE: Final = {"type": "object", "description": "a rule, how its evaluation goes and how many alerts it has"}
_CURSOR: Final = re.compile(r"([0-9]{1,19}):([0-9a-z_]{1,64})")


class AlertsParams(BaseModel):
    """Parameters of ``GET /alerts``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: Annotated[str, Field(description=f"states, separated by commas, of {', '.join(STATES)}")] = (
        "pending,firing,no_data"
    )
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    cursor: Annotated[str | None, Field(max_length=100, description="next_cursor of the page before")] = None

    def states(self) -> list[str]:
        """Return the states asked for."""
        asked = [name.strip() for name in self.state.split(",")]
        if not set(asked) <= set(STATES):
            raise HTTPException(422, f"state: there are {', '.join(STATES)}")
        return asked

    def before(self) -> tuple[int, str]:
        """Return what the page begins below."""
        if self.cursor is None:
            return MAX_NS, ""
        match = _CURSOR.fullmatch(self.cursor)
        if match is None or int(match[1]) > MAX_NS:
            raise HTTPException(422, "cursor: not one of ours")
        return int(match[1]), match[2]


class TestParams(BaseModel):
    """Parameters of a rule's test."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    send: Annotated[bool, Field(description="send a marked test message to the receivers")] = False


class ReplayParams(BaseModel):
    """Parameters of a replay."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, frozen=True)

    from_: Annotated[Time, Field(alias="from", description="RFC 3339")]
    to: Annotated[Time, Field(description="RFC 3339")]
    step: Annotated[int, Field(ge=0, le=86_400, description="seconds between evaluations; 0 chooses")] = 0

    def window(self) -> tuple[int, int]:
        """Return from and to."""
        start, end = _nanoseconds(self.from_, 0), _nanoseconds(self.to, 0)
        if start >= end:
            raise HTTPException(422, "to must lie after from")
        return start, end


def alert_routes(alerting: Alerting) -> APIRouter:
    """Return the routes of alerts and rules."""
    router = APIRouter(prefix="/alerts", tags=["alerts"])
    _add_lists(router, alerting)
    _add_test(router, alerting)
    _add_replay(router, alerting)
    return router


def _add_lists(router: APIRouter, alerting: Alerting) -> None:
    @router.get("", responses=lists(row(schema.ALERTS.view)))
    def alerts(params: Annotated[AlertsParams, Query()], principal: Reader) -> Response:
        """Alerts in the states asked for, those that began last first."""
        found = alerting.engine.page(
            owner=principal.tenant, states=params.states(), before=params.before(), limit=params.limit + 1
        )
        shown = found[: params.limit]
        rest = f"{shown[-1].since}:{shown[-1].id}" if len(found) > params.limit else None
        return page(alert_rows(shown).select(schema.ALERTS.view.names), rest)

    @router.get("/rules", responses=lists(_RULE))
    def rules(principal: Reader) -> Response:
        """The rules, how their evaluation goes, and how many alerts the whole service has of each."""
        return json_response({"items": rules_json(alerting, whole=principal.tenant is None), "next_cursor": None})


def _add_test(router: APIRouter, alerting: Alerting) -> None:
    @router.post("/rules/{name}/test", responses=lists(_SAYING))
    def test(
        name: str,
        params: Annotated[TestParams, Query()],
        request: Request,
        principal: Writer,
        content_type: ContentType = "",
    ) -> Response:
        """Evaluates a rule now and says what it finds and who would be told. Nobody is, and nothing changes."""
        refuse_forms(content_type)
        rule, now = _rule(alerting, name), time.time_ns()
        if params.send:
            note(request, principal, "alerts.test", {"rule": name})
        said = sayings(alerting, rule, principal.tenant, now)
        sent = list(trial_messages(alerting, rule, said, principal.tenant, now)) if params.send else []
        for message in sent:
            alerting.enqueue(message)
        told = [{"id": message.id, "receiver": message.receiver} for message in sent]
        return json_response({"items": said_json(said), "next_cursor": None, "sent": told})


def _add_replay(router: APIRouter, alerting: Alerting) -> None:
    stream: dict[int | str, dict[str, Any]] = {
        200: {"description": "JSON lines: progress, and last the result", "content": {"application/x-ndjson": {}}},
        **PROBLEM,
    }

    @router.post("/rules/{name}/replay", responses=stream, response_class=StreamingResponse)
    def replay_rule(
        name: str, params: Annotated[ReplayParams, Query()], principal: Writer, content_type: ContentType = ""
    ) -> Response:
        """Steps a rule through stored data and says when it would have fired, resolved, and told whom."""
        refuse_forms(content_type)
        steps = replay(
            _rule(alerting, name),
            alerting.data,
            alerting.found.policy,
            params.window(),
            owner=principal.tenant,
            step_ns=params.step * 1_000_000_000,
        )
        first = next(steps)  # what cannot be replayed is refused before the answer begins
        return StreamingResponse(_lines(first, steps), media_type="application/x-ndjson")


def _rule(alerting: Alerting, name: str) -> AnyRule:
    rule = alerting.found.rule(name)
    if rule is None:
        known = ", ".join(rule.name for rule in alerting.found.rules)
        raise HTTPException(404, f"there is no rule {name[:100]!r}; there are {known}")
    return rule


def alerts_json(alerting: Alerting, states: list[str], limit: int) -> list[dict[str, Any]]:
    """Return alerts as they are shown."""
    found = alerting.engine.page(owner=None, states=states, limit=limit)
    return rows_of(alert_rows(found).select(schema.ALERTS.view.names))


def said_json(said: Sequence[Saying]) -> list[dict[str, Any]]:
    """Return what a rule says, as it is shown."""
    return [_said(saying) for saying in said[:MAX_PAGE]]


def rules_json(alerting: Alerting, *, whole: bool = True) -> list[dict[str, Any]]:
    """Return the rules; with ``whole`` also how they do, which no single tenant need know."""
    return list(_rules(alerting, whole=whole))


def _rules(alerting: Alerting, *, whole: bool) -> Iterator[dict[str, Any]]:
    stats, counts = alerting.runner.stats(), alerting.engine.counts()
    for rule in alerting.found.rules:
        found = {"name": rule.name, "kind": type(rule).__name__.removesuffix("Rule").lower(), "doc": rule.doc}
        shown = {item.name.rstrip("_"): getattr(rule, item.name) for item in fields(rule) if item.name in _SHOWN}
        known = {"severity": rule.severity, **shown}
        if whole:
            known |= _going(stats.get(rule.name), {s: n for (name, s), n in counts.items() if name == rule.name})
        yield {**found, **known}


_SHOWN: Final = ("metric", "compare", "threshold", "objective", "by", "min_volume", "reading")


def _going(stats: Any, states: dict[str, int]) -> dict[str, Any]:
    if stats is None:
        return {"alerts": states}
    last = moment(stats.finished_ns or None)
    return {"alerts": states, "evaluated": last, "failing": stats.failing, "sets_of_labels": stats.found}


def _said(saying: Saying) -> dict[str, Any]:
    finding = saying.finding
    return {
        "rule": finding.rule,
        "active": finding.active,
        "severity": finding.severity,
        "tenant": finding.labels.get("tenant") or finding.owner or None,
        "labels": dict(finding.labels),
        "summary": finding.summary,
        "value": finding.value,
        "threshold": finding.threshold,
        "receivers": list(saying.receivers),
        "muted": saying.muted,
    }


def _lines(first: Replayed, rest: Iterator[Replayed]) -> Iterator[bytes]:
    for step in itertools.chain([first], rest):
        line: dict[str, Any] = {"done": step.done, "total": step.total}
        if step.step_ns:
            line |= replayed_json(step)
        yield orjson.dumps(line, default=str) + b"\n"


def replayed_json(step: Replayed) -> dict[str, Any]:
    """Return the result of a replay."""
    return {
        "step_seconds": step.step_ns / 1e9,
        "alerts": [_replayed(alert) for alert in step.alerts],
        "notifications": [
            {"time": moment(one.created_ns), "receiver": one.receiver, "status": one.status, "alerts": len(one.alerts)}
            for one in step.notifications
        ],
    }


def _replayed(alert: Tracked) -> dict[str, Any]:
    (shown,) = rows_of(alert_rows([alert]).select(schema.ALERTS.view.names))
    return {**shown, "pending": moment(alert.since), "started": moment(alert.started)}
