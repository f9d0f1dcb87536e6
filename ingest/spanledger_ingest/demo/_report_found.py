"""Shows what the service found by itself: anomalies, faults of answers, budgets, and what it told."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spanledger_ingest.demo._anomalies import Finding, who
from spanledger_ingest.demo._checks import exact
from spanledger_ingest.demo._config import LIVE_BUDGET, PREPAID_BUDGET
from spanledger_ingest.demo._told import message_of
from spanledger_ingest.demo._verdicts import Verdict, offending
from spanledger_ingest.demo._webhooks import Received

Row = dict[str, Any]

_MOST_PREPAID = 4
_SHOWN = ("id", "rule", "severity", "tenant", "labels", "summary", "value", "threshold", "window")


def anomalies(found: Sequence[Finding]) -> RenderableType:
    """Return what changed: what, who, since when, how much, whether it was hidden there; then each in a sentence."""
    table = _table("what", "who", "since, UTC", "how much", "truth")
    for one in found:
        row = one.anomaly
        table.add_row(_words(row["kind"]), who(row), _clock(row["started"]), _much(row), _truth(one))
    sentences = [_indented(f"{one.anomaly['summary']}.") for one in found]
    return Group(table, Text(), *sentences)


def hidden(incident: Row) -> str:
    """Say what was hidden in the traffic, and what it cost."""
    impact, factor = exact(incident["expected_impact_usd"]), incident["factor"]
    where = ", ".join(str(value) for value in incident["scope"].values())
    cause = incident["root_cause"]
    what = {
        "prompt_growth": f"the prompt of {where} grew {factor:g} times as long",
        "dearer_model_behind_alias": f"{where} was answered by {cause.get('response_model')}, which is dearer",
        "provider_fails": f"{factor:.0%} more calls to {where} failed",
        "max_tokens_lowered": f"max_tokens of {where} was lowered to {cause.get('max_tokens')}; answers were cut off",
    }.get(incident["cause"], f"{_words(incident['kind'])} of {where}")
    money = f"{abs(impact):,.2f} USD {'more' if impact >= 0 else 'less'} than without it"
    return f"{_clock(incident['onset'])}  {what}: {money}"


def answers(found: Sequence[Verdict]) -> RenderableType:
    """Return the helpdesk's answers that something is wrong with, and what; the others are counted."""
    bad = [one for one in found if one.failing]
    good = f"{len(found) - len(bad)} of {len(found)} answers pass every score. The others:"
    return Group(_indented(good), *(part for one in bad for part in (Text(), _verdict(one))))


def _verdict(one: Verdict) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column()
    lines.add_row("question", one.question)
    lines.add_row("answer", one.answer)
    for score in one.failing:
        lines.add_row(_words(score["name"]), Text(_reason(score), "yellow"))
    return Padding(lines, (0, 0, 0, 2), expand=False)


def budgets(rows: Sequence[Row]) -> Table:
    """Return how the budgets stand: of the prepaid ones those that are used most."""
    table = _table("budget", "period", right=("spent USD", "of USD", "share"))
    table.add_column("by the end (80 % of cases)")
    table.add_column("state")
    single = [row for row in rows if row["name"] != PREPAID_BUDGET]
    prepaid = sorted((row for row in rows if row["name"] == PREPAID_BUDGET), key=lambda row: -row["share"])
    for row in (*single, *prepaid[:_MOST_PREPAID]):
        table.add_row(*_budget(row))
    if prepaid[_MOST_PREPAID:]:
        table.add_row(f"{PREPAID_BUDGET}: {len(prepaid) - _MOST_PREPAID} more tenants", style="dim")
    return table


def messages(received: Sequence[Received]) -> Table:
    """Return one line for each message."""
    table = _table("at", "what", "who", "what it says")
    for message in received:
        data = message.body["data"]
        kind = str(message.body["type"]).removeprefix("alert.")
        mark = "green" if kind == "resolved" else "red" if data["severity"] == "critical" else "yellow"
        at = datetime.fromisoformat(message.body["timestamp"])
        table.add_row(
            f"{at:%H:%M:%S}",
            Text(f"{kind} {data['rule'].partition(':')[0]}", mark),
            data["tenant"] or "all",
            data["summary"],
        )
    return table


def bodies(received: Sequence[Received]) -> RenderableType:
    """Return three messages as they came, without what is the same in all."""
    wanted = [
        message_of(received, f"budget:{LIVE_BUDGET}", "firing", threshold="100"),
        message_of(received, "error_burst", "firing", service="kiosk"),
        message_of(received, "error_burst", "resolved", service="kiosk"),
    ]
    return Group(*(part for message in wanted if message is not None for part in _body(message)))


def _body(message: Received) -> Iterator[RenderableType]:
    data = message.body["data"]
    shown = {name: data[name] for name in _SHOWN if data[name] is not None}
    yield _indented(f"webhook-id: {message.id}")
    verified = "verified by standardwebhooks" if message.verified else "NOT GENUINE"
    yield _indented(f"webhook-signature: {message.signature[:24]}...  ({verified})")
    yield _indented(f'{{"type": "{message.body["type"]}", "timestamp": "{message.body["timestamp"]}", "data": {{')
    for name, value in shown.items():
        yield _indented(f'    "{name}": {json.dumps(value, ensure_ascii=False)},')
    yield _indented("    ...}}")
    yield Text()


def _budget(row: Row) -> tuple[str, ...]:
    name = row["name"] if row["tenant_id"] is None else f"{row['name']}: {row['tenant_id']}"
    digits = 2 if exact(row["limit_usd"]) >= 1 else 6
    coming = "-"
    if row["forecast_usd"] is not None:
        low, middle, high = (exact(row[f"forecast{kind}_usd"]) for kind in ("_low", "", "_high"))
        coming = f"{middle:,.2f} USD ({low:,.2f} to {high:,.2f})"
    return (
        name,
        row["period"],
        f"{exact(row['spent_usd']):,.{digits}f}",
        f"{exact(row['limit_usd']):,.{digits}f}",
        f"{row['share']:.0%}",
        coming,
        _words(row["state"]),
    )


def _reason(score: Row) -> str:
    said = " ... ".join(offending(score))
    return f"{score['explanation']}: {said}" if said else str(score["explanation"])


def _much(row: Row) -> str:
    money = exact(row["impact_usd"])
    if money >= exact("0.005"):
        return f"{money:,.2f} USD so far" if row["ended"] is None else f"{money:,.2f} USD"
    return f"{row['requests_per_hour']:.0f} requests/h"


def _truth(one: Finding) -> str:
    if one.incident is None:
        return "no such thing"
    return "agrees" if one.names_culprit else "other culprit"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _clock(moment: str) -> str:
    return f"{moment[5:10]} {moment[11:16]}"


def _table(*names: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=False)
    for name in names:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _indented(text: str) -> RenderableType:
    return Padding(Text(text), (0, 0, 0, 2), expand=False)
