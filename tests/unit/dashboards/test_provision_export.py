"""The files that a Grafana provisions itself from."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.provision import Setup, export
from spanledger_dashboards.provision._yaml import dump

SETUP = Setup(sql_address="ledger.example:5433", service_url="https://ledger.example", user="acme", sslmode="require")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    written = export(tmp_path, SETUP)
    return {str(path.relative_to(tmp_path)): _read(path) for path in written}


def _read(path: Path) -> Any:
    text = path.read_text("utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def test_every_board_is_a_file(files: dict[str, Any]) -> None:
    assert {name for name in files if name.startswith("boards/")} == {f"boards/{board.uid}.json" for board in BOARDS}
    assert all(files[f"boards/{board.uid}.json"]["uid"] == board.uid for board in BOARDS)


def test_data_sources_take_the_key_from_the_environment(files: dict[str, Any]) -> None:
    found = files["provisioning/datasources/spanledger.yaml"]
    assert found["apiVersion"] == 1
    assert found["prune"] is True
    sql, traces = found["datasources"]
    assert sql["uid"] == "spanledger-sql"
    assert sql["secureJsonData"] == {"password": "$SPANLEDGER_KEY"}
    assert sql["jsonData"]["timescaledb"] is True
    assert sql["jsonData"]["sslmode"] == "require"
    assert (sql["url"], sql["user"], sql["editable"]) == ("ledger.example:5433", "acme", False)
    assert traces["url"] == "https://ledger.example/jaeger"
    assert traces["secureJsonData"] == {"httpHeaderValue1": "Bearer $SPANLEDGER_KEY"}


def test_the_provider_reads_what_is_mounted(files: dict[str, Any]) -> None:
    (provider,) = files["provisioning/dashboards/spanledger.yaml"]["providers"]
    grafana = files["docker-compose.yml"]["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounts == {
        "./provisioning": "/etc/grafana/provisioning",
        "./boards": provider["options"]["path"],
        "grafana": "/var/lib/grafana",
    }
    assert "grafana" in files["docker-compose.yml"]["volumes"]
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)


def test_compose_starts_a_grafana_that_has_its_data_sources(files: dict[str, Any]) -> None:
    grafana = files["docker-compose.yml"]["services"]["grafana"]
    version = re.search(r"grafana/grafana:(\d+)\.(\d+)\.(\d+)", grafana["image"])
    assert version is not None
    assert tuple(map(int, version.groups())) >= (13, 1, 0)
    assert tuple(map(int, version.groups())) not in [(13, 2, 0), (13, 2, 1)]
    assert grafana["ports"] == ["127.0.0.1:3000:3000"]
    assert grafana["environment"]["SPANLEDGER_KEY"].startswith("${SPANLEDGER_KEY:?")


def test_rules_are_whole_and_keep_their_macros(files: dict[str, Any]) -> None:
    (group,) = files["provisioning/alerting/spanledger.yaml"]["groups"]
    numbers = {panel["id"] for board in BOARDS for panel in files[f"boards/{board.uid}.json"]["panels"]}
    for rule in group["rules"]:
        assert [node["refId"] for node in rule["data"]] == ["A", "B", "C"]
        assert rule["condition"] == "C"
        assert int(rule["annotations"]["__panelId__"]) in numbers
        assert f"boards/{rule['annotations']['__dashboardUid__']}.json" in files
        assert "$$" not in json.dumps(rule)
    assert "$__timeFilter(time)" in group["rules"][0]["data"][0]["model"]["rawSql"]


def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    written = export(tmp_path, Setup(key="sl_secret"))
    assert not [path for path in written if "sl_secret" in path.read_text("utf-8")]


def test_a_contact_point_only_if_asked(tmp_path: Path, files: dict[str, Any]) -> None:
    assert "contactPoints" not in files["provisioning/alerting/spanledger.yaml"]
    export(tmp_path, Setup(webhook="http://hook.example/$x"))
    found = yaml.safe_load((tmp_path / "provisioning/alerting/spanledger.yaml").read_text("utf-8"))
    (point,) = found["contactPoints"]
    assert point["receivers"][0]["settings"]["url"] == "http://hook.example/$$x"
    assert {rule["notification_settings"]["receiver"] for rule in found["groups"][0]["rules"]} == {point["name"]}


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in export(tmp_path, SETUP)}
    assert {path: path.read_bytes() for path in export(tmp_path, SETUP)} == first


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\t:#-"), max_size=20)
_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(_DATA)
def test_what_is_written_as_yaml_is_read_back(data: object) -> None:
    assert yaml.safe_load(dump(data)) == data
