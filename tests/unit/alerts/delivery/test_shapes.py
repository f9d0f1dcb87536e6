"""What each shape looks like, to the byte; and that nothing a user writes is markup."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_alerts.delivery import sample
from spanledger_alerts.delivery.shapes import MAX_BYTES, RENDERINGS, Said, collapsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.alerts.delivery.conftest import Tools

GOLDEN = Path(__file__).parents[3] / "data" / "webhooks"
T0 = 1_790_000_000 * 10**9


def said(tools: "Tools", *alerts: Any, **changed: Any) -> Said:
    found = tools.notification("msg-1", *alerts, **changed)
    return Said(found, "ops", "https://ledger.example", "R0UT1NG")


def render(shape: str, what: Said) -> Any:
    return json.loads(RENDERINGS[shape].render(what))  # type: ignore[index]  # every shape is tried


@pytest.mark.parametrize("shape", sorted(RENDERINGS))
@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_a_body_is_what_it_was(shape: Any, status: Any) -> None:
    found = Said(sample("msg-1", "ops", T0, status), "ops", "https://ledger.example", "R0UT1NG")
    golden = GOLDEN / f"{shape}-{status}.json"
    assert json.loads(RENDERINGS[shape].render(found)) == json.loads(golden.read_text(encoding="utf-8"))


def test_the_native_body_has_the_members_of_the_contract(tools: "Tools") -> None:
    body = render("native", said(tools, tools.alert(1, "resolved")))
    assert list(body) == ["type", "timestamp", "data"]
    assert set(body["data"]) == {
        "id", "rule", "severity", "tenant", "labels", "summary", "value", "threshold", "window", "impact_usd", "links",
        "started_at", "resolved_at",
    }  # fmt: skip
    assert body["type"] == "alert.resolved"
    assert datetime.fromisoformat(body["data"]["resolved_at"]).timestamp() == T0 / 1e9


def test_a_resolution_says_that_its_firing_was_never_delivered(tools: "Tools") -> None:
    found = collapsed(tools.notification("msg-1", tools.alert(1, "resolved")))
    summary = render("native", Said(found))["data"]["summary"]
    assert summary == "Fired and resolved before its delivery was confirmed: 12.0 % of calls fail"


EVIL = [
    "<!channel> <@U123> <https://evil.example|click>",
    "[click](https://evil.example) **bold** `code` _x_ ~y~",
    "</script><script>alert(1)</script>",
    "{{DATE(2026-01-01T00:00:00Z)}} &lt; \\",
    "=HYPERLINK(1)\r\nInjected: header\x00\x1b[31m",
]


@pytest.mark.parametrize("evil", EVIL)
def test_what_users_write_is_no_markup(tools: "Tools", evil: str) -> None:
    found = said(tools, tools.alert(summary=evil, rule=evil, labels={"tenant": evil, evil: evil}, window=evil))
    for text in _markup(render("slack", found)):
        assert "<!" not in text
        assert "<@" not in text
        assert "<https://evil" not in text
    for text in _values(render("teams", found), {"text", "title", "value"}):
        assert "](" not in text
        assert "<" not in text
        assert "{{" not in text
        assert "**" not in text


def _markup(node: Any) -> list[str]:
    """Every text that Slack reads as markup."""
    if isinstance(node, list):
        return [text for item in node for text in _markup(item)]
    if not isinstance(node, dict):
        return []
    own = [node["text"]] if isinstance(node.get("text"), str) and node.get("type") != "plain_text" else []
    return own + [text for item in node.values() for text in _markup(item)]


def _values(node: Any, names: set[str]) -> list[str]:
    if isinstance(node, list):
        return [text for item in node for text in _values(item, names)]
    if not isinstance(node, dict):
        return []
    own = [value for name, value in node.items() if name in names and isinstance(value, str)]
    return own + [text for item in node.values() for text in _values(item, names)]


LONG = st.builds(lambda text, n: text * n, st.text(min_size=1, max_size=3), st.integers(0, 9_000))
TEXT = st.text(max_size=40) | LONG
ALERT = st.tuples(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=5), st.floats())


@given(
    alerts=st.lists(ALERT, min_size=1, max_size=60),
    shape=st.sampled_from(sorted(RENDERINGS)),
)
@settings(deadline=None, max_examples=60)
def test_whatever_is_said_a_body_is_valid_json_of_at_most_20_kib(
    make_tools: "Callable[[], Tools]", alerts: Any, shape: str
) -> None:
    tools = make_tools()
    found = [
        tools.alert(
            number, summary=summary, rule=rule, labels=labels, value=value, links={rule: f"https://x/{summary}"}
        )
        for number, (summary, rule, labels, value) in enumerate(alerts)
    ]
    body = RENDERINGS[shape].render(said(tools, *found, truncated=3))  # type: ignore[index]  # every shape is tried
    assert len(body) <= MAX_BYTES
    json.loads(body)
    tools.database.close()


def test_alerts_without_room_are_counted(tools: "Tools") -> None:
    many = [tools.alert(number, summary="x" * 900) for number in range(100)]
    body = render("alertmanager", said(tools, *many, truncated=5))
    assert len(body["alerts"]) + body["truncatedAlerts"] == 105
    assert body["truncatedAlerts"] > 5
    assert "(and 104 more)" in render("slack", said(tools, *many, truncated=5))["text"]


def test_pagerduty_has_one_incident_for_a_group_until_it_resolves(tools: "Tools") -> None:
    first = render("pagerduty", said(tools, tools.alert(1)))
    last = render("pagerduty", said(tools, tools.alert(1, "resolved"), tools.alert(2, "resolved")))
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert len(first["dedup_key"]) <= 255
    assert len(render("pagerduty", said(tools, tools.alert(summary="s" * 9_000)))["payload"]["summary"]) <= 1024


def test_alertmanager_common_labels_are_those_of_all(tools: "Tools") -> None:
    body = render("alertmanager", said(tools, tools.alert(1), tools.alert(2, labels={"tenant": "acme", "model": "o3"})))
    assert body["commonLabels"] == {"alertname": "error-burst", "severity": "critical", "tenant": "acme"}
    odd = render("alertmanager", said(tools, tools.alert(labels={"9 odd-name": "x", "ok": ""})))["alerts"][0]["labels"]
    assert odd["_9_odd_name"] == "x"
    assert "ok" not in odd
