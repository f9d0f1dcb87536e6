"""The provisioner against a strict double of Grafana's API (see conftest)."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.errors import GrafanaError
from spanledger_dashboards.provision import Change, Grafana, GrafanaProvisioner, Provisioner, Setup

Double = Any
KEY = "sl_key_that_nobody_may_see"
SETUP = Setup(key=KEY, user="acme", page_url="http://ledger.example")


def provisioner(double: Double, setup: Setup = SETUP, waits: list[float] | None = None) -> Provisioner:
    sleep = time.sleep if waits is None else waits.append
    return GrafanaProvisioner(Grafana(double.url, "glsa_double", hidden=[setup.key], sleep=sleep), setup)


def actions(changes: Sequence[Change]) -> dict[str, str]:
    return {change.uid: change.action for change in changes}


def state(double: Double) -> str:
    return json.dumps(
        [double.folders, double.sources, double.boards, double.rules, double.points, double.policies], sort_keys=True
    )


def test_what_is_planned_is_done_and_then_nothing_is_left_to_do(grafana: Double) -> None:
    planned = provisioner(grafana).plan()
    assert set(actions(planned).values()) == {"create"}
    assert grafana.writes == []

    done = provisioner(grafana).apply()

    assert done == planned
    assert {board.uid for board in BOARDS} == set(grafana.boards)
    assert len(grafana.rules) == 5
    before = state(grafana)
    grafana.calls.clear()
    assert set(actions(provisioner(grafana).apply()).values()) == {"unchanged"}
    assert provisioner(grafana).check() == ()
    assert grafana.writes == []
    assert state(grafana) == before


def test_boards_name_the_data_source_that_the_grafana_has(grafana: Double) -> None:
    provisioner(grafana).apply()
    kind = "postgres" if grafana.major < 10 else "grafana-postgresql-datasource"
    assert grafana.sources["spanledger-sql"]["type"] == kind
    for kept in grafana.boards.values():
        used = {panel["datasource"]["type"] for panel in kept["dashboard"]["panels"] if panel["type"] != "row"}
        assert used == {kind}


def test_folders_lie_in_each_other_where_grafana_can(grafana: Double) -> None:
    provisioner(grafana).apply()
    inside = "spanledger-boards" if grafana.major >= 11 else None
    assert grafana.folders["spanledger-alerts"].get("parentUid") == inside


def test_a_grafana_without_its_data_sources_is_told_so(grafana_of: Callable[[str], Double]) -> None:
    double = grafana_of("13.2.1")
    double.plugins = {"jaeger"}
    with pytest.raises(GrafanaError, match=r"no PostgreSQL data source: Grafana 13\.2\.0 and 13\.2\.1"):
        provisioner(double).plan()


def test_what_a_user_edited_is_told_and_kept_until_forced(grafana: Double) -> None:
    provisioner(grafana).apply()
    board = grafana.boards["spanledger-cost"]["dashboard"]
    board["panels"][0]["title"] = "Mine"
    board["version"] += 1
    grafana.rules["spanledger-rule-errors"]["for"] = "1h"
    grafana.sources["spanledger-sql"]["url"] = "elsewhere:5433"
    grafana.folders["spanledger-boards"]["title"] = "Money"
    edited = {"spanledger-cost", "spanledger-rule-errors", "spanledger-sql", "spanledger-boards"}
    before = state(grafana)

    assert actions(provisioner(grafana).check()) == dict.fromkeys(edited, "edited")
    (change,) = [change for change in provisioner(grafana).check() if change.uid == "spanledger-cost"]
    assert "panel 'Mine'" in change.why
    provisioner(grafana).apply()
    assert state(grafana) == before

    forced = provisioner(grafana).apply(force=True)
    assert {uid for uid, action in actions(forced).items() if action == "update"} == edited
    assert provisioner(grafana).check() == ()
    assert grafana.boards["spanledger-cost"]["dashboard"]["panels"][0]["title"] != "Mine"


def test_a_board_moved_to_another_folder_was_edited(grafana: Double) -> None:
    provisioner(grafana).apply()
    grafana.boards["spanledger-cost"]["meta"]["folderUid"] = "theirs"
    assert actions(provisioner(grafana).check()) == {"spanledger-cost": "edited"}


def test_what_is_wanted_otherwise_is_updated(grafana: Double) -> None:
    provisioner(grafana).apply()
    other = replace(SETUP, page_url="https://other.example", sql_address="db.example:5433")
    changed = {uid for uid, action in actions(provisioner(grafana, other).plan()).items() if action == "update"}
    assert "spanledger-sql" in changed
    assert "spanledger-cost" in changed
    provisioner(grafana, other).apply()
    assert provisioner(grafana, other).check() == ()
    assert grafana.sources["spanledger-sql"]["url"] == "db.example:5433"


def test_another_key_is_sent_although_grafana_never_shows_it(grafana: Double) -> None:
    provisioner(grafana).apply()
    other = replace(SETUP, key="sl_another")
    assert actions(provisioner(grafana, other).check()) == {"spanledger-sql": "update", "spanledger-traces": "update"}
    grafana.bodies.clear()
    provisioner(grafana, other).apply()
    assert any("sl_another" in body for body in grafana.bodies)
    assert provisioner(grafana, other).check() == ()


def test_the_key_is_kept_nowhere_but_in_the_secret(grafana: Double) -> None:
    changes = provisioner(grafana).apply()
    assert KEY not in state(grafana)
    assert KEY not in repr(changes)
    assert KEY not in repr(SETUP)


def test_a_message_does_not_show_the_key(grafana_of: Callable[[str], Double]) -> None:
    double = grafana_of("13.1.0")
    double.fail("POST", "/api/datasources", (500, {"message": f"cannot store {KEY} of glsa_double"}))
    errors = [change.error for change in provisioner(double).apply() if change.error]
    assert errors == ["Grafana answers 500: cannot store (hidden) of (hidden)"]


def test_something_of_others_under_our_name_is_left_alone(grafana: Double) -> None:
    grafana.sources["spanledger-sql"] = {"uid": "spanledger-sql", "name": "Mine", "type": "postgres", "version": 1}
    assert actions(provisioner(grafana).plan())["spanledger-sql"] == "foreign"
    provisioner(grafana).apply()
    provisioner(grafana).destroy(force=True)
    assert grafana.sources["spanledger-sql"]["name"] == "Mine"


def test_only_what_is_ours_is_removed(grafana: Double) -> None:
    theirs = {"dashboard": {"uid": "abc", "title": "Theirs", "tags": [], "version": 1}, "meta": {"folderUid": ""}}
    # Copied from one of ours, with its tags.
    tags = ["spanledger", "spanledger:0123456789ab"]
    copied = {"dashboard": {"uid": "def", "title": "Copy", "tags": tags, "version": 1}, "meta": {"folderUid": ""}}
    grafana.boards |= {"abc": theirs, "def": copied}
    grafana.folders["other"] = {"uid": "other", "title": "Other", "version": 1}
    grafana.rules["their-rule"] = {"uid": "their-rule", "title": "Theirs", "folderUID": "other", "annotations": {}}
    before = state(grafana)
    provisioner(grafana, replace(SETUP, webhook="http://hook.example")).apply()

    removed = provisioner(grafana).destroy()

    assert set(actions(removed).values()) == {"remove"}
    assert state(grafana) == before


def test_a_folder_that_holds_something_of_others_is_kept(grafana: Double) -> None:
    provisioner(grafana).apply()
    mine = {"uid": "abc", "title": "Mine", "tags": [], "version": 1}
    grafana.boards["abc"] = {"dashboard": mine, "meta": {"folderUid": "spanledger-boards"}}
    grafana.boards["spanledger-cost"]["dashboard"]["panels"][0]["title"] = "Mine, too"

    told = actions(provisioner(grafana).destroy())

    assert told["spanledger-boards"] == "keep"
    assert told["spanledger-cost"] == "edited"
    assert set(grafana.boards) == {"abc", "spanledger-cost"}
    assert set(grafana.folders) == {"spanledger-boards"}
    provisioner(grafana).destroy(force=True)
    assert set(grafana.boards) == {"abc"}


def test_what_is_wanted_no_more_is_removed_unless_edited(grafana: Double) -> None:
    provisioner(grafana).apply()
    grafana.rules["spanledger-rule-errors"]["for"] = "1h"
    fewer = replace(SETUP, alerts=False, boards=BOARDS[:-1])
    told = actions(provisioner(grafana, fewer).apply())
    assert told[BOARDS[-1].uid] == "remove"
    assert told["spanledger-rule-errors"] == "edited"
    assert list(grafana.rules) == ["spanledger-rule-errors"]
    assert BOARDS[-1].uid not in grafana.boards


def test_policies_and_points_of_others_are_never_asked_for_in_writing(grafana: Double) -> None:
    setup = replace(SETUP, webhook="http://hook.example/x")
    for step in ("apply", "destroy"):
        getattr(provisioner(grafana, setup), step)(force=True)
    assert not [path for _, path in grafana.calls if "policies" in path or "/id/" in path]
    assert not [path for _, path in grafana.writes if path.rstrip("/").rpartition("/")[2].isdigit()]
    assert set(grafana.points) == {""}


def test_rules_name_their_contact_point_where_grafana_can(grafana: Double) -> None:
    provisioner(grafana, replace(SETUP, webhook="http://hook.example/x")).apply()
    assert grafana.points["spanledger-webhook"]["settings"]["url"] == "http://hook.example/x"
    receivers = {(rule.get("notification_settings") or {}).get("receiver") for rule in grafana.rules.values()}
    assert receivers == ({"Spanledger"} if grafana.major >= 11 else {None})
    assert provisioner(grafana, replace(SETUP, webhook="http://hook.example/x")).check() == ()


def test_a_failure_stops_nothing_else_and_the_next_run_does_the_rest(grafana: Double) -> None:
    grafana.fail("POST", "/api/v1/provisioning/alert-rules", (500, {"message": "database is locked"}))
    grafana.fail("POST", "/api/dashboards/db", (412, {"message": "somebody else"}))
    failed = [change for change in provisioner(grafana).apply() if change.error]
    assert len(failed) == 2
    assert len(grafana.boards) == len(BOARDS) - 1
    assert len(grafana.rules) == 4
    again = provisioner(grafana).apply()
    assert [change.error for change in again if change.error] == []
    assert sorted(actions(again).values()).count("create") == 2
    assert provisioner(grafana).check() == ()


def test_a_busy_grafana_is_asked_again(grafana_of: Callable[[str], Double]) -> None:
    double = grafana_of("13.1.0")
    double.fail("POST", "/api/folders", (503, {"message": "busy"}), (429, {"message": "slow down"}))
    waits: list[float] = []
    changes = provisioner(double, waits=waits).apply()
    assert [change.error for change in changes if change.error] == []
    assert waits == [0.5, 1.0]


def test_a_grafana_that_stays_busy_is_given_up(grafana_of: Callable[[str], Double]) -> None:
    double = grafana_of("13.1.0")
    double.fail("GET", "/api/frontend", *[(503, {"message": "busy"})] * 4)
    with pytest.raises(GrafanaError, match="503"):
        provisioner(double, waits=[]).plan()


def test_a_grafana_that_fills_boards_in_is_not_taken_for_a_user(grafana: Double) -> None:
    grafana.fills_in = True
    provisioner(grafana).apply()
    assert provisioner(grafana).check() == ()
    grafana.calls.clear()
    provisioner(grafana).apply()
    assert grafana.writes == []
    grafana.boards["spanledger-cost"]["dashboard"]["title"] = "Mine"
    assert actions(provisioner(grafana).check()) == {"spanledger-cost": "edited"}


def test_a_board_saved_meanwhile_is_not_overwritten(grafana_of: Callable[[str], Double]) -> None:
    double = grafana_of("13.1.0")
    provisioner(double).apply()

    def somebody_saves(text: str, *_: int) -> None:
        if "cost" in text:
            double.boards["spanledger-cost"]["dashboard"]["version"] += 1

    other = replace(SETUP, page_url="https://other.example")
    failed = [change for change in provisioner(double, other).apply(progress=somebody_saves) if change.error]
    assert [change.uid for change in failed] == ["spanledger-cost"]
    assert "somebody changed it meanwhile" in failed[0].error


def test_every_panel_is_run(grafana: Double) -> None:
    provisioner(grafana).apply()
    results = list(provisioner(grafana).panels())
    assert len(results) == sum(len(board.panels) for board in BOARDS)
    assert {result.state for result in results} == {"ok"}


def test_an_error_and_a_panel_without_data_are_failures(grafana: Double) -> None:
    provisioner(grafana).apply()
    grafana.broken_sql = "user_id"
    grafana.empty_sql = "FROM anomalies"
    results = list(provisioner(grafana).panels())
    assert {result.error for result in results if result.state == "error"} == {"db query error: no such column"}
    assert any(result.state == "empty" and not result.is_failure for result in results)
    grafana.empty_sql = "FROM llm_calls SEMI JOIN"
    assert [result.is_failure for result in provisioner(grafana).panels()].count(True) > 0
    assert any(result.state == "unexpectedly empty" for result in provisioner(grafana).panels())


def test_without_any_calls_panels_may_be_empty(grafana: Double) -> None:
    provisioner(grafana).apply()
    grafana.empty_sql = "FROM"
    assert {result.state for result in provisioner(grafana).panels()} == {"empty"}


def test_a_wrong_token_is_told(grafana_of: Callable[[str], Double]) -> None:
    double = grafana_of("13.1.0")
    wrong = GrafanaProvisioner(Grafana(double.url, "glsa_wrong"), SETUP)
    with pytest.raises(GrafanaError, match=r"refuses the token \(401") as caught:
        wrong.plan()
    assert "glsa_wrong" not in str(caught.value)


@pytest.mark.parametrize("url", ["grafana.example", "ftp://grafana.example", "http://", "http://a:b@grafana.example"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(GrafanaError, match="address of Grafana"):
        Grafana(url, "t")


def test_nobody_answers() -> None:
    with pytest.raises(GrafanaError, match=r"no Grafana answers at http://127\.0\.0\.1:1"):
        Grafana("http://127.0.0.1:1", "t").version()
