"""Rules that every board and panel keeps."""

import re
from collections import Counter
from itertools import pairwise

import pytest

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.panels import UNITS, Board, PanelSpec, Threshold

PANELS = [panel for board in BOARDS for panel in board.panels]
each_panel = pytest.mark.parametrize("panel", PANELS, ids=[panel.id for panel in PANELS])
each_board = pytest.mark.parametrize("board", BOARDS, ids=[board.id for board in BOARDS])


def test_the_boards_are_the_eight_that_were_asked_for() -> None:
    wanted = ["overview", "cost", "reliability", "quality", "anomalies", "tenants", "compliance", "pipeline"]
    assert [board.id for board in BOARDS] == wanted
    assert len({panel.id for panel in PANELS}) == len(PANELS)


@each_board
def test_a_board_is_named_once_and_offers_the_same_choices(board: Board) -> None:
    assert len(board.uid) <= 40
    assert board.title
    assert board.description.endswith(".")
    assert [variable.name for variable in board.variables] == ["tenant", "model", "provider", "use_case", "service"]
    assert [annotation.name for annotation in board.annotations] == ["Anomalies", "Alerts", "New models"]
    titles = Counter(panel.title for panel in board.panels)
    assert titles.most_common(1)[0][1] == 1


@each_panel
def test_a_panel_says_what_it_answers_and_what_its_numbers_are(panel: PanelSpec) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", panel.id)
    assert "?" in panel.question
    assert panel.no_data
    assert panel.unit in UNITS
    assert not panel.fills_when or panel.fills_when.endswith(".")
    assert panel.description.startswith(panel.question)


@each_panel
def test_a_panel_fits_the_page(panel: PanelSpec) -> None:
    assert 1 <= panel.width <= 24
    assert 3 <= panel.height <= 24
    assert panel.points >= 10


def _ascending(thresholds: tuple[Threshold, ...]) -> bool:
    values = [one.at for one in thresholds[1:]]
    return thresholds[0].at is None and None not in values and all(a < b for a, b in pairwise(map(float, values)))  # type: ignore[arg-type]  # checked before


@each_panel
def test_thresholds_rise(panel: PanelSpec) -> None:
    lists = [panel.thresholds, *(field.thresholds for field in panel.fields)]
    assert all(_ascending(one) for one in lists if one)
    if panel.viz == "state":
        assert panel.thresholds, "a state has no colour without thresholds"


@each_board
def test_only_variables_of_the_board_are_used(board: Board) -> None:
    defined = {variable.name for variable in board.variables}
    for text in [*(panel.sql for panel in board.panels), *(one.sql for one in board.annotations)]:
        assert set(re.findall(r"\$\{(\w+)", text)) <= defined
        assert "${tenant:sqlstring}" in text, "every panel follows the choice of tenants"
    assert not any("${" in variable.sql for variable in board.variables)


@each_panel
def test_rows_come_in_order_and_in_bounded_number(panel: PanelSpec) -> None:
    if panel.viz in ("table", "bargauge"):
        assert re.search(r"ORDER BY[^()]*", panel.sql)
        assert re.search(r"LIMIT \d+\s*$", panel.sql)
    elif panel.viz != "stat":
        assert re.search(r"ORDER BY 1(, 2)?$", panel.sql)
        assert "$__timeGroupAlias(" in panel.sql or "date_trunc('hour'" in panel.sql


@each_panel
def test_only_billable_calls_count_as_calls(panel: PanelSpec) -> None:
    reports = {"pipeline-silence", "pipeline-twice", "pipeline-by-service", "pipeline-by-dialect", "pipeline-sources",
               "pipeline-billing"}  # fmt: skip
    if "FROM llm_calls" in panel.sql and panel.id not in reports:
        assert panel.sql.count("billable") >= panel.sql.count("FROM llm_calls") - panel.sql.count("SELECT *")


@each_board
def test_money_has_its_unpriced_share_beside_it(board: Board) -> None:
    shares = [panel for panel in board.panels if panel.viz == "stat" and panel.id.endswith("-unpriced")]
    for panel in board.panels:
        in_money = "usd" in {panel.unit, *(field.unit for field in panel.fields)}
        if in_money and "FROM llm_calls" in panel.sql:
            inside = {"unpriced_share", "unpriced share"} & {field.name for field in panel.fields}
            assert inside or (panel.viz == "stat" and shares), panel.id


@each_panel
def test_traces_are_one_click_away(panel: PanelSpec) -> None:
    if re.search(r"SELECT[^;]*\btrace_id\b(?=[^()]*FROM)", panel.sql.rsplit("SELECT", 1)[-1]):
        links = [field.link for field in panel.fields if field.name == "trace_id"]
        assert links
        assert links[0] is not None
        assert links[0].kind == "trace"


def test_links_lead_to_boards_and_variables_that_exist() -> None:
    variables = {board.id: {variable.name for variable in board.variables} for board in BOARDS}
    links = [field.link for panel in PANELS for field in panel.fields if field.link and field.link.kind == "board"]
    assert links
    assert all(link.variable in variables[link.board] for link in links)


@each_panel
def test_text_is_not_read_and_no_scope_is_needed_beyond_sql(panel: PanelSpec) -> None:
    assert not re.search(r"(FROM|JOIN) (spans|span_content|logs|metrics)\b", panel.sql)
