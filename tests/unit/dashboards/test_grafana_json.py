"""Boards as Grafana's JSON: well-formed by the rules that Grafana does not check, and the same bytes every time."""

import json
import subprocess
import sys
from hashlib import sha256
from itertools import combinations
from typing import Any
from urllib.parse import unquote

import pytest

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.grafana_json import SCHEMA_VERSION, Target, dashboard, dumps
from spanledger_dashboards.panels import Board

each_board = pytest.mark.parametrize("board", BOARDS, ids=[board.id for board in BOARDS])
OLD = Target(sql_type="postgres", sql_uid="mine", traces_uid="theirs", page_url="https://ledger.example")


def _drawn(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in model["panels"] if panel["type"] != "row"]


@each_board
def test_panels_are_numbered_once_and_do_not_overlap(board: Board) -> None:
    panels = dashboard(board)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@each_board
def test_every_panel_is_complete(board: Board) -> None:
    model = dashboard(board)
    assert model["schemaVersion"] == SCHEMA_VERSION == 41
    assert model["uid"] == f"spanledger-{board.id}"
    assert model["id"] is None
    drawn = _drawn(model)
    assert [panel["title"] for panel in drawn] == [panel.title for panel in board.panels]
    for panel in drawn:
        assert panel["description"]
        assert panel["options"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert panel["targets"][0]["rawSql"]


@each_board
def test_data_sources_are_named_by_type_and_uid(board: Board) -> None:
    for target in (Target(), OLD):
        text = dumps(dashboard(board, target))
        model = json.loads(text)
        wanted = {"type": target.sql_type, "uid": target.sql_uid}
        places = [*_drawn(model), *model["templating"]["list"], *model["annotations"]["list"][1:]]
        places += [panel["targets"][0] for panel in _drawn(model)]
        places += [one["target"] for one in model["annotations"]["list"][1:]]
        assert all(place["datasource"] == wanted for place in places)
    assert Target().sql_type not in text
    assert Target().sql_uid not in text


def test_the_bytes_do_not_depend_on_the_run() -> None:
    script = (
        "from hashlib import sha256; from spanledger_dashboards.boards import BOARDS\n"
        "from spanledger_dashboards.grafana_json import dashboard, dumps\n"
        "print(sha256(''.join(dumps(dashboard(board)) for board in BOARDS).encode()).hexdigest())"
    )
    here = sha256("".join(dumps(dashboard(board)) for board in BOARDS).encode()).hexdigest()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here


def _links(model: dict[str, Any], column: str) -> list[dict[str, Any]]:
    return [
        link
        for panel in _drawn(model)
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == column
        for item in override["properties"]
        if item["id"] == "links"
        for link in item["value"]
    ]


def test_a_trace_opens_in_explore_and_on_our_page() -> None:
    pipeline = BOARDS[-1]
    only = _links(dashboard(pipeline), "trace_id")
    assert [link["title"] for link in only] == ["Open the trace"]
    explore, page = _links(dashboard(pipeline, OLD), "trace_id")
    assert page["url"] == "https://ledger.example/traces/${__value.raw:percentencode}"
    start, _, panes = explore["url"].partition("&panes=")
    assert start == "/explore?schemaVersion=1"
    pane = json.loads(unquote(panes))["trace"]
    assert pane["datasource"] == "theirs"
    assert pane["queries"][0]["query"] == "${__value.raw}"
    assert pane["queries"][0]["datasource"] == {"type": "jaeger", "uid": "theirs"}
    assert pane["range"] == {"from": "${__from}", "to": "${__to}"}


def test_a_tenant_leads_to_its_board_with_the_other_choices_kept() -> None:
    link = _links(dashboard(BOARDS[0]), "tenant")[0]
    assert link["url"] == (
        "/d/spanledger-tenants?var-tenant=${__value.raw:percentencode}&${model:queryparam}&${provider:queryparam}"
        "&${use_case:queryparam}&${service:queryparam}&${__url_time_range}"
    )


def test_all_is_sent_as_a_text_that_lets_everything_through() -> None:
    for variable in dashboard(BOARDS[0])["templating"]["list"]:
        assert (variable["allValue"], variable["includeAll"], variable["multi"]) == ("'*'", True, True)
        assert variable["current"]["value"] == ["$__all"]


def test_a_band_reaches_down_to_the_column_before_it() -> None:
    panel = next(one for one in _drawn(dashboard(BOARDS[4])) if one["title"].startswith("Cost of each hour"))
    band = next(one for one in panel["fieldConfig"]["overrides"] if one["matcher"]["options"] == "highest")
    assert {"id": "custom.fillBelowTo", "value": "lowest"} in band["properties"]


def _text(target: Target) -> str:
    return "".join(dumps(dashboard(board, target)) for board in BOARDS)


def test_an_old_grafana_is_asked_for_nothing_that_it_cannot_draw() -> None:
    assert "palette-classic-by-name" in _text(Target())
    old = _text(Target(is_old=True))
    assert "palette-classic-by-name" not in old
    assert "color-background-solid" in old


def test_a_cell_without_a_value_does_not_say_that_there_is_no_data() -> None:
    tables = [panel for board in BOARDS for panel in _drawn(dashboard(board)) if panel["type"] == "table"]
    for table in tables:
        first = table["fieldConfig"]["overrides"][0]
        assert first["matcher"] == {"id": "byRegexp", "options": ".*"}
        assert first["properties"] == [{"id": "noValue", "value": "\u2013"}]


def test_bars_have_the_names_of_their_rows() -> None:
    gauges = [panel for board in BOARDS for panel in _drawn(dashboard(board)) if panel["type"] == "bargauge"]
    assert gauges
    for gauge in gauges:
        assert "displayName" not in gauge["fieldConfig"]["defaults"]
        assert gauge["options"]["reduceOptions"]["values"] is True
