"""What the page shows, without a service: numbers with units, the unknown as unknown, and every text escaped."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.page import (
    Answer,
    Choice,
    CompareView,
    Labelling,
    Mark,
    Nothing,
    Period,
    Reading,
    ReviewView,
    ScoreView,
    Shell,
    State,
    Text,
    Who,
    call_row,
    choices_of,
    links_of,
    panel_of,
    question_of,
    queue_row,
    rate_row,
    render_board,
    render_calls,
    render_error,
    render_login,
    render_review,
    render_trace,
    said,
    score_view,
    shown,
    static_files,
    trace_of,
)
from spanledger_dashboards.panels import Field, Link, Meaning, PanelSpec, Threshold, Viz

HOUR = 3600 * 10**9
T0 = 1_790_000_000 // 3600 * HOUR
STATE = State(period=Period(T0, T0 + HOUR))
ATTACK = """<script>alert(1)</script>"'`><img src=x onerror=alert(2)></script><!--\x00\x07\u2028\u202e&lt;{{7*7}}"""


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def at(minute: int) -> datetime:
    return datetime.fromtimestamp(T0 / 1e9 + 60 * minute, UTC)


def spec(viz: Viz, **changes: Any) -> PanelSpec:
    plain = PanelSpec(id="p", title="Panel", question="What?", sql="SELECT 1", viz=viz, unit="usd")
    return replace(plain, **changes)


def shell(title: str = "Page", **changes: Any) -> Shell:
    plain = Shell(title=title, version="0", state=STATE, links=links_of(BOARDS, STATE, ""))
    return replace(plain, **changes)


def board_page(*answers: Answer, marks: tuple[Mark, ...] = (), **changes: Any) -> str:
    panels = [panel_of(answer, STATE, 60.0, marks) for answer in answers]
    return render_board(shell(**changes), BOARDS[0], panels, choices_of([], STATE), None)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "usd", "unknown"),
        (None, "calls", "\u2013"),
        (float("nan"), "ms", "\u2013"),
        (Decimal("0.000011400"), "usd", "$0.000011"),
        (Decimal("1234.5"), "usd", "$1,234.50"),
        (0, "usd", "$0.00"),
        (-2, "usd", "\u2212$2.00"),
        (0.0004, "share", "<0.1 %"),
        (0.25, "share", "25 %"),
        (0.9997, "share", ">99.9 %"),
        (1.0, "share", "100 %"),
        (999, "ms", "999 ms"),
        (1500, "ms", "1.50 s"),
        (7200, "s", "2.0 h"),
        (1, "calls", "1 call"),
        (12_345, "calls", "12.3k calls"),
        (2048, "bytes", "2.0 KiB"),
        (True, "text", "yes"),
        (0.5, "score", "0.50"),
    ],
)
def test_every_number_has_its_unit(value: Any, unit: Any, text: str) -> None:
    assert shown(value, unit) == text


@given(st.decimals(min_value=Decimal("1e-9"), max_value=Decimal("1e9"), places=9))
def test_a_positive_amount_is_never_shown_as_nothing(amount: Decimal) -> None:
    assert re.search("[1-9]", shown(amount, "usd"))


def test_a_figure_stands_beside_the_period_before() -> None:
    answer = Answer(
        spec=spec("stat", good_is="down"), columns=("time", "value"), rows=[(at(0), Decimal(2)), (at(60), Decimal(3))]
    )
    page = board_page(answer)
    assert "$3.00" in page
    assert '<span class="bad">▲ 50 %</span> <span class="was">before: $2.00</span>' in page


def test_what_is_missing_is_said_in_words() -> None:
    answer = Answer(
        spec=spec("table", no_data="No score yet", fills_when="Filled by scorers."), columns=("a",), rows=[]
    )
    assert "No score yet. Filled by scorers." in board_page(answer)
    assert "took too long" in board_page(Answer(spec=spec("bars"), error="This took too long"))


def test_a_table_links_traces_and_boards_and_says_units() -> None:
    fields = (
        Field(name="trace_id", label="Trace", link=Link(kind="trace", title="t")),
        Field(name="tenant", link=Link(kind="board", title="b", board="tenants", variable="tenant")),
        Field(name="cost", unit="usd", look="gauge"),
        Field(name="state", meanings=(Meaning("1", "well", "green"),)),
    )
    answer = Answer(
        spec=spec("table", fields=fields),
        columns=("trace_id", "tenant", "cost", "state"),
        rows=[("ab" * 16, "a&b", Decimal("0.5"), 1), ("not a trace", None, None, 2)],
    )
    page = board_page(answer)
    assert f'href="/traces/{"ab" * 16}?from=' in page
    assert "tenant=a%26b" in page
    assert page.count("/traces/") == 1
    assert 'width="100.0" height="10"' in page
    assert '<span class="tag t-green">well</span>' in page
    assert "unknown" in page


def drawing(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="chart-p">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_bars_are_stacked_the_largest_first_and_lines_are_not() -> None:
    rows = [(at(0), "small", 1.0), (at(0), "large", 5.0), (at(2), "large", 5.0), (at(0), "all others", 9.0)]
    rows += [(at(0), "unpriced share", 0.5)]
    fields = (Field(name="unpriced share", unit="share", look="line", right_axis=True),)
    answer = Answer(spec=spec("bars", fields=fields), columns=("time", "metric", "value"), rows=rows)
    chart = drawing(board_page(answer, marks=(Mark(start=1.0, end=None, text="new", colour="blue"),)))
    assert [one["label"] for one in chart["series"]] == ["large", "small", "all others", "unpriced share"]
    assert [one["stacked"] for one in chart["series"]] == [True, True, True, False]
    assert chart["x"] == [T0 / 1e9, T0 / 1e9 + 60, T0 / 1e9 + 120]
    assert chart["series"][0]["values"] == [5.0, None, 5.0]
    assert chart["marks"][0]["text"] == "new"


def test_numbers_of_a_chart_are_a_table_without_a_script() -> None:
    answer = Answer(
        spec=spec("timeseries", unit="ms"), columns=("time", "p50", "p95"), rows=[(at(0), 10, 20), (at(1), None, 30)]
    )
    state = replace(STATE, numbers="p")
    page = render_board(shell(state=state), BOARDS[0], [panel_of(answer, state, 60.0)], [], None)
    assert '<td class="n">30 ms</td>' in page
    assert "p95 lately 30 ms" in page


def test_heat_maps_and_lanes_stay_inside_the_period() -> None:
    heat = Answer(
        spec=spec("heatmap", unit="ms"), columns=("time", "100", "inf"), rows=[(at(-1), 1, 0), (at(59), 4, 2)]
    )
    lanes = Answer(
        spec=spec("state", unit="share", thresholds=(Threshold(None, "green"), Threshold(0.5, "red"))),
        columns=("time", "metric", "value"),
        rows=[(at(0), "openai", 0.0), (at(1), "openai", 0.1), (at(2), "openai", 0.9)],
    )
    page = board_page(heat, lanes)
    places = [(float(x), float(width)) for x, width in re.findall(r'x="([\d.]+)%" width="([\d.]+)%"', page)]
    assert len(places) == 3 + 2
    assert all(0 <= x <= 100 and x + width <= 100.2 for x, width in places)
    assert "from 50 %" in page


def a_call(**changes: Any) -> dict[str, Any]:
    texts = ("tenant_id", "use_case", "service_name", "model", "provider", "error_type", "finish_reason")
    call: dict[str, Any] = dict.fromkeys((*texts, "user_id", "session_id", "request_model", "response_id", "price_id"))
    call |= {"time": at(0), "trace_id": "ab" * 16, "span_id": "cd" * 8, "status": "ok", "billable": True}
    call |= {"cost_usd": None, "cost_status": "unpriced_model", "input_tokens": None, "output_tokens": 12}
    return call | {"duration_ms": 12.0, "ttft_ms": None, "billing_reason": "only_span"} | changes


def calls_page(**changes: Any) -> str:
    rows = [call_row(a_call(**changes), STATE, {}, traces=True)]
    return render_calls(
        shell(), calls=rows, choices=[], fields=[], first_page="", next_page="/calls?cursor=x", nothing=None
    )


def test_an_unknown_cost_is_said_to_be_unknown() -> None:
    page = calls_page()
    assert '<span class="tag t-yellow">unknown</span><span class="sub">unpriced model</span>' in page
    assert "$0" not in page
    assert "$0.000000001" in calls_page(cost_usd=Decimal("1e-9"))


def test_a_call_that_is_not_billed_says_so() -> None:
    page = calls_page(billable=False, billing_reason="wrapper")
    assert "not billed" in page
    assert "unknown" not in page.split("<tbody>")[1].split("</tbody>")[0]


def a_span(text: str = "x", call: Any = None, **changes: Any) -> dict[str, Any]:
    span = {"span_id": "cd" * 8, "name": text, "service_name": text, "kind": text, "status": "error", "depth": 0}
    span |= {"status_message": text, "time": "2026-09-21T14:00:00.000000Z", "duration_ms": 10.0, "call": call}
    return (
        span
        | {"attributes": {text: text, "n": {"deep": [text]}}, "events": [{"name": text, "attributes": {}}]}
        | changes
    )


def trace_page(text: str, call: Any = None) -> str:
    explained = {"text": text, "price": {"lines": [], "amount": None, "detail": text, "reason": text}}
    texts = {"cd" * 8: [Text(kind=text, text=text)]}
    view = trace_of("ab" * 16, [a_span(text, call)], {"cd" * 8: explained}, texts, {"cd" * 8: [a_score(text)]})
    reading = Reading(state="offered", needs_reason=True, form_token="t", message=text)
    return render_trace(shell(), view, reading, Labelling(allowed=True, form_token="t", back=text))


def score_row(text: str = "x", **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"trace_id": "ab" * 16, "span_id": "cd" * 8, "name": text, "value": 0.25, "label": "fail"}
    row |= {"explanation": text, "scorer_version": text, "confidence": 0.75, "tenant_id": text, "model": text}
    detail = {"offences": [{"reason": text, "text": text}], "support": {"text": text}}
    return row | {"use_case": text, "prompt_name": text, "prompt_version": "v3", "detail": detail} | changes


def a_score(text: str) -> ScoreView:
    return score_view(score_row(text), [{"label": "fail", "source": "end_user"}])


def rate(text: str = "x", **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": text, "scorer_version": text, "tenant_id": text, "model": text}
    found |= {"calls": 1000, "evaluable": 250, "coverage_percent": 25.0, "failing": 20, "failing_percent": 8.0}
    found |= {"low_percent": 5.0, "high_percent": 12.0, "method": "corrected", "labels": 60}
    return found | {"not_evaluable": {"no_context": 700, text: 50}} | changes


def review_page(text: str = "x", *, allowed: bool = True, **changes: Any) -> str:
    compared = CompareView(by="model", a=text, b=text, sentence=text, worse=True, sides=[(text, text)])
    view = ReviewView(
        name=text,
        names=[text],
        rates=[rate_row(rate(text, **changes))],
        comparison=compared,
        queue=[queue_row(score_row(text), datetime(2026, 9, 21, tzinfo=UTC), "/traces/x")],
        labelling=Labelling(allowed=allowed, form_token="t", back="/review"),
        saved=True,
    )
    return render_review(shell(), view, [], [])


def test_a_rate_has_its_interval_and_its_coverage() -> None:
    page = review_page()
    assert "8.0 %" in page
    assert "5.0 % to 12.0 %" in page
    assert "250 of 1,000" in page
    assert "corrected, 60 labels" in page
    assert "no context 700" in page
    nothing = review_page(evaluable=0, failing_percent=None, low_percent=None, high_percent=None)
    assert "0.0 %" not in nothing
    assert "None" not in nothing


def test_who_may_not_label_sees_no_form_for_it() -> None:
    assert 'action="/review/label"' in review_page()
    page = review_page(allowed=False)
    assert 'action="/review/label"' not in page
    assert "scores:write" in page


def test_a_score_shows_words_only_where_it_has_them() -> None:
    shown_ = a_score("said")
    assert (shown_.places, shown_.support, shown_.said) == ([("said", "said")], "said", "fail (end user)")
    bare = score_view(score_row("said", detail=None, value=None, label="not_evaluable", confidence=None))
    assert (bare.places, bare.support, bare.value, bare.label) == ([], "", "", "not evaluable")


def test_a_trace_sums_up_what_is_known() -> None:
    calls = [a_call(cost_usd="0.5", input_tokens=7), a_call()]
    spans = [a_span(call=call, span_id=f"{place:016x}", status="ok") for place, call in enumerate(calls)]
    view = trace_of("ab" * 16, spans, {}, {}, {})
    assert view.cost == "$0.500000000 and 1 of unknown cost"
    assert view.tokens == "7 in, 24 out"
    assert view.calls == 2


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("plain", [("prompt", "plain")]),
        ("[1]", [("prompt", "[1]")]),
        ('{"role": "user"}', [("prompt", '{"role": "user"}')]),
        ('[{"role": "user", "content": "hi"}]', [("user", "hi")]),
        ('[{"role": "user", "parts": [{"type": "text", "content": "a"}, {"type": "x", "id": 1}]}]',
         [("user", 'a\n{"type": "x", "id": 1}')]),
        ('[{"role": null, "parts": null}]', [("None", "null")]),
    ],
)  # fmt: skip
def test_messages_are_shown_one_by_one(text: str, messages: list[tuple[str, str]]) -> None:
    assert [(one.kind, one.text) for one in said("prompt", text)] == messages


def attacked_pages() -> dict[str, str]:
    """Every page, with the attack wherever a stored or sent text can be."""
    texts = ("tenant_id", "use_case", "service_name", "model", "provider", "error_type", "finish_reason")
    hostile = dict.fromkeys((*texts, "billing_reason", "cost_status", "user_id", "response_id"), ATTACK)
    fields = (Field(name=ATTACK, label=ATTACK, unit="text"),)
    answers = [
        Answer(spec=spec("table", fields=fields), columns=(ATTACK,), rows=[(ATTACK,)]),
        Answer(spec=spec("bargauge"), columns=("label", "value"), rows=[(ATTACK, 1.0)]),
        Answer(spec=spec("bars"), columns=("time", "metric", "value"), rows=[(at(0), ATTACK, 1.0)]),
        Answer(spec=spec("timeseries"), columns=("time", ATTACK), rows=[(at(0), 1.0)]),
        Answer(spec=spec("state"), columns=("time", "metric", "value"), rows=[(at(0), ATTACK, ATTACK)]),
        Answer(spec=spec("heatmap"), columns=("time", ATTACK), rows=[(at(0), 1.0)]),
        Answer(spec=spec("stat"), columns=("time", "value"), rows=[(at(0), ATTACK)]),
        Answer(spec=spec("table"), error=ATTACK),
    ]
    state = replace(STATE, choices={"tenant": ATTACK, "model": ATTACK}, numbers="p")
    around = shell(
        ATTACK,
        state=state,
        links=links_of(BOARDS, state, "cost"),
        extra={"trace_id": ATTACK},
        who=Who(label=ATTACK, detail=ATTACK, form_token=ATTACK),
    )
    nothing = Nothing(endpoint=ATTACK, needs_key=True)
    mark = Mark(start=T0 / 1e9, end=None, text=ATTACK, colour="red")
    panels = [panel_of(answer, state, 60.0, [mark]) for answer in answers]
    choices = choices_of([("tenant", ATTACK)], state)
    free = [Choice(name="trace_id", label=ATTACK, value=ATTACK, options=None, hint=ATTACK)]
    row = call_row(a_call(**hostile, status="error"), state, {ATTACK: ATTACK}, traces=True)
    table = {"choices": choices, "fields": free, "first_page": "/calls", "next_page": "/calls?cursor=" + ATTACK}
    return {
        "board": render_board(around, BOARDS[0], panels, choices, nothing),
        "calls": render_calls(around, calls=[row], nothing=None, **table),  # type: ignore[arg-type]  # by name
        "trace": trace_page(ATTACK, a_call(**hostile, billable=True)),
        "login": render_login(around, message=ATTACK, next_page=ATTACK),
        "error": render_error(around, ATTACK),
    }


@pytest.mark.parametrize("name", ["board", "calls", "trace", "login", "error"])
def test_stored_text_stays_text(name: str) -> None:
    page = attacked_pages()[name]
    assert "onerror=" in page  # it is there ...
    tags = Tags(page).tags
    assert not [tag for tag, attributes in tags if tag == "img" or "onerror" in attributes]  # ... as text
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    assert all("src" in found or found.get("type") == "application/json" for found in scripts)
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on") or name == "style"]
    assert not [tag for tag, _ in tags if tag in ("style", "iframe", "object", "base")]
    links = [attributes.get("href") or attributes.get("action") or "/" for _, attributes in tags]
    assert all(link.startswith(("/", "#")) for link in links)
    assert "lt;{{7*7}}" in page
    assert "lt;49" not in page  # no text is a template


def test_the_data_of_charts_says_what_was_stored() -> None:
    answer = Answer(spec=spec("bars"), columns=("time", "metric", "value"), rows=[(at(0), ATTACK, 1.0)])
    assert drawing(board_page(answer))["series"][0]["label"] == ATTACK


@given(st.text(max_size=40))
def test_no_text_ends_the_data_of_a_chart(text: str) -> None:
    answer = Answer(spec=spec("bars"), columns=("time", "metric", "value"), rows=[(at(0), text, 1.0)])
    assert drawing(board_page(answer))["series"][0]["label"] == text


def test_every_panel_asks_something_that_expands() -> None:
    state = replace(STATE, choices={"tenant": "o'brien"})
    for board in BOARDS:
        for panel in board.panels:
            question = question_of(panel, state)
            assert "$__" not in question.sql
            assert question.step >= 1
            assert "o''brien" in question.sql or "${tenant" not in panel.sql


def test_links_keep_what_is_chosen() -> None:
    state = replace(STATE, choices={"tenant": "acme"}, refresh=60)
    page = shell(state=state, path="/calls", extra={"status": "error"})
    assert page.within("7d") == "/calls?range=7d&tenant=acme&refresh=60&status=error"
    assert all("tenant=acme" in link.href for link in links_of(BOARDS, state, "cost"))
    assert "tenant" not in page.bare


def test_files_come_with_their_licence_and_load_nothing_else() -> None:
    files = static_files()
    assert {"uplot.js", "uplot.css", "charts.js", "page.js", "page.css", "icon.svg"} == set(files)
    from importlib.resources import files as resources

    assert "MIT" in (resources("spanledger_dashboards.page") / "static" / "uplot.LICENSE").read_text()
    for name in ("page.css", "uplot.css"):
        assert b"url(" not in files[name].content
    for name in ("page.js", "charts.js"):
        assert not re.search(rb"innerHTML|insertAdjacent|document\.write|eval\(|https?:", files[name].content)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_pass_wcag_aa(scheme: int) -> None:
    style = static_files()["page.css"].content.decode()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("paper", "sheet", "hover"):
        for text in ("ink", "soft", "accent", "green", "blue", "yellow", "orange", "red", "purple"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for shape in (*(f"s{number}" for number in range(1, 11)), "grey", "focus"):
            assert _contrast(colours[shape], colours[ground]) >= 3, (shape, ground)
    assert _contrast(colours["accent"], colours["accent-ink"]) >= 4.5
