"""Shows an outcome of the demo: to people as tables, to programs as JSON."""

import dataclasses
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spanledger_ingest.demo._checks import Check, exact
from spanledger_ingest.demo._child import APPLICATIONS, SHOPS
from spanledger_ingest.demo._outcome import Outcome, Row
from spanledger_ingest.demo._report_found import anomalies, answers, bodies, budgets, hidden, messages

_MOST_TENANTS = 12


def report(outcome: Outcome, url: str, place: str) -> Group:
    """Return everything worth saying, for a rich console.

    Args:
        outcome: What happened.
        url: Address of the service.
        place: Where its data is, in words.
    """
    parts: list[RenderableType] = [
        _headline("What happened"),
        *map(_paragraph, _story(outcome, url, place)),
        _headline("What it cost, for whom"),
        _usage("tenant", outcome.tenants, _MOST_TENANTS),
        _headline("On which models"),
        _usage("model", outcome.models, _MOST_TENANTS),
        _headline("The live calls of the shops"),
        _calls(outcome.live_of(SHOPS.service)),
        _headline("What changed, found by the service"),
        anomalies(outcome.found),
        _headline("What the generator had hidden"),
        *(_paragraph(hidden(incident)) for incident in outcome.truth["incidents"]),
        _headline("How good the helpdesk's answers are"),
        answers(outcome.verdicts),
        _headline("Budgets"),
        budgets(outcome.budgets),
        _headline("What was told, to a webhook on this machine"),
        messages(outcome.messages),
        _headline("Three of the bodies"),
        bodies(outcome.messages),
        _headline("Checked against the truth"),
        *map(_verdict, outcome.checks),
    ]
    return Group(*parts)


def next_steps(outcome: Outcome, url: str, *, serving: bool, data: str | None) -> Group:
    """Return where to look next: only what will work once the demo has ended, or while it goes on serving."""
    dearest = max(outcome.live, key=lambda call: exact(call["cost_usd"]), default={"trace_id": "TRACE_ID"})
    trace = dearest["trace_id"]
    if serving:
        steps = [
            f"open  {url}/  the page: cost, reliability, calls, traces",
            f"spanledger explain {trace} --url {url}",
            f"curl '{url}/api/v1/usage?by=tenant,model&bucket=1d'",
            f"open  {url}/docs for every route; Ctrl-C ends the demo",
        ]
    elif data is not None:
        steps = [f"spanledger serve --data {data}", f"spanledger explain {trace}"]
    else:
        steps = ["spanledger demo --serve          stays up, so that you can ask it yourself"]
    steps.append("import spanledger.auto           the one line that your own application needs")
    return Group(_headline("Where to look next"), *(Text(f"  {step}", no_wrap=True) for step in steps))


def as_json(outcome: Outcome, url: str) -> str:
    """Return the outcome as JSON; money as text with nine decimal places."""
    billed = [
        {
            "path": request.path,
            "status": request.status,
            "response_id": request.response_id,
            "model": request.model,
            **request.usage._asdict(),
            "completed": request.completed,
            "told_usage": request.told_usage,
        }
        for request in outcome.served
    ]
    everything = {
        "url": url,
        "truth": outcome.truth,
        "usage": {"by_tenant": outcome.tenants, "by_model": outcome.models},
        "live_calls": outcome.live,
        "refused_calls": outcome.refused,
        "provider_books": billed,
        "anomalies": [
            {**one.anomaly, "incident": one.incident and one.incident["id"], "agrees": one.names_culprit}
            for one in outcome.found
        ],
        "answers": [
            {"question": one.question, "answer": one.answer, "failing": one.failing, "is_right": one.is_right}
            for one in outcome.verdicts
        ],
        "budgets": outcome.budgets,
        "budget_events": outcome.budget_events,
        "messages": [dataclasses.asdict(message) for message in outcome.messages],
        "checks": [dataclasses.asdict(check) for check in outcome.checks],
        "seconds": {name: round(value, 2) for name, value in outcome.seconds.items()},
    }
    return json.dumps(everything, indent=2)


def _headline(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0), expand=False)


def _paragraph(text: str) -> RenderableType:
    return Padding(Text(text), (0, 0, 0, 2), expand=False)


def _story(outcome: Outcome, url: str, place: str) -> list[str]:
    truth, seconds = outcome.truth, outcome.seconds
    totals = truth["totals"]
    tenants = sum(row["calls"] > 0 for row in truth["tenants"])
    lines = [
        f"The service ran on {url} with {place}.",
        (
            f"{truth['days']} days of {tenants} tenants were back-filled over OTLP: {totals['calls']:,} model calls "
            f"({totals['errors']:,} of them errors) in {truth['spans']:,} spans, sent within {seconds['sent']:.1f} s, "
            f"all stored {seconds['stored']:.1f} s after the start."
        ),
    ]
    shops, helpdesk, kiosk, workshop = (len(outcome.live_of(application.service)) for application in APPLICATIONS)
    return [
        *lines,
        (
            "Then four applications used the real OpenAI and Anthropic SDKs, and nothing more than "
            "`import spanledger.auto`. "
            f"Shops made {shops} calls: plain, streamed, async, with a tool, refused and retried, on a model "
            f"that nobody lists, and a stream left half way. A helpdesk answered {helpdesk} questions from its "
            f"passages. A kiosk kept asking, {kiosk} times, while the provider was out for some seconds. A "
            f"workshop has a hard cap: {workshop} calls were let through, the next was refused before it was sent."
        ),
    ]


def _usage(dimension: str, rows: Sequence[Row], most: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=False)
    table.add_column(dimension, no_wrap=True)
    for name in ("calls", "errors", "tokens in", "tokens out", "cost USD", "unpriced", "p95 s", "p95 TTFT s"):
        table.add_column(name, justify="right", no_wrap=True)
    ranked = sorted(rows, key=lambda row: (-exact(row["cost_usd"]), row[dimension]))
    for row in ranked[:most]:
        table.add_row(row[dimension], *_figures(row))
    rest = ranked[most:]
    if rest:
        table.add_row(f"... {len(rest)} more", *_sums(rest), style="dim")
    table.add_row("all", *_sums(ranked), style="bold")
    return table


def _figures(row: Row) -> tuple[str, ...]:
    return (
        *_sums([row]),
        _seconds(row["p95_duration_ms"]),
        _seconds(row["p95_ttft_ms"]),
    )


def _sums(rows: Sequence[Row]) -> tuple[str, ...]:
    def total(column: str) -> int:
        return sum(row[column] or 0 for row in rows)

    calls = total("calls")
    unpriced = total("unpriced_calls")
    return (
        f"{calls:,}",
        f"{total('errors'):,}",
        f"{total('input_tokens'):,}",
        f"{total('output_tokens'):,}",
        _usd(sum((exact(row["cost_usd"]) for row in rows), Decimal(0)), known=unpriced < calls or not calls),
        _share(unpriced, calls),
    )


def _usd(amount: Decimal, *, known: bool) -> str:
    if not known:
        return "unknown"
    return f"{amount:,.4f}" if amount >= Decimal("0.0001") else f"{amount:.9f}"


def _share(part: int, whole: int) -> str:
    if not part:
        return "-"
    return "<1%" if part / whole < 0.01 else f"{part / whole:.0%}"


def _seconds(milliseconds: Any) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f}"


def _calls(calls: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=False)
    for name in ("tenant", "use case", "model", "how it ended"):
        table.add_column(name, no_wrap=True)
    for name in ("in", "out", "cost USD", "TTFT s"):
        table.add_column(name, justify="right", no_wrap=True)
    for call in calls:
        table.add_row(
            call["tenant_id"],
            call["use_case"] or "-",
            call["request_model"] or call["response_model"] or "-",
            _ending(call),
            *("-" if call[column] is None else f"{call[column]:,}" for column in ("input_tokens", "output_tokens")),
            _cost(call),
            _seconds(call["ttft_ms"]),
        )
    return table


def _ending(call: Row) -> str:
    if call["status"] == "error":
        return call["error_type"] or call["finish_reason"] or "error"
    return call["finish_reason"] or "-"


def _cost(call: Row) -> str:
    if call["cost_usd"] is not None:
        return f"{exact(call['cost_usd']):.9f}"
    return str(call["cost_status"]).replace("_", " ")


def _verdict(check: Check) -> RenderableType:
    mark = Text("ok      ", style="green") if check.holds else Text("FAILED  ", style="bold red")
    return Padding(
        Text.assemble(mark, check.claim, "" if check.holds else f": {check.detail}"), (0, 0, 0, 2), expand=False
    )


def console(*, stderr: bool = False) -> Console:
    """Return a console that is wide enough for the tables where nobody watches."""
    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=120)
