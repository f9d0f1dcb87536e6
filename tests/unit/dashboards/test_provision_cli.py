"""``spanledger dashboards`` as people call it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spanledger_ingest.cli import main

Double = Any


@pytest.fixture
def double(grafana_of: Callable[[str], Double]) -> Double:
    return grafana_of("13.1.0")


def run(double: Double, action: str, *more: str) -> int:
    return main(["dashboards", action, "--grafana-url", double.url, "--grafana-token", "glsa_double", *more])


def test_apply_check_and_destroy_by_their_exit_codes(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(double, "check") == 1
    assert run(double, "plan") == 0
    assert "17 create" in capsys.readouterr().out
    assert run(double, "apply") == 0
    shown = capsys.readouterr().out
    assert "17 create" in shown
    assert "123 panels through Grafana: 0 failed, 0 empty as expected" in shown
    assert run(double, "check") == 0
    double.boards["spanledger-cost"]["dashboard"]["title"] = "Mine"
    assert run(double, "check") == 1
    assert "without --force" in capsys.readouterr().out
    assert run(double, "destroy", "--force") == 0
    assert (double.boards, double.sources, double.rules, double.folders) == ({}, {}, {}, {})


def test_apply_fails_with_a_panel_that_fails(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    double.broken_sql = "quantile_cont"
    assert run(double, "apply") == 1
    assert "error: db query error: no such column" in capsys.readouterr().out
    assert run(double, "apply", "--no-panels") == 0


def test_apply_fails_with_what_grafana_refuses(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    double.fail("POST", "/api/datasources", (500, {"message": "disk full"}))
    assert run(double, "apply", "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert [change["error"] for change in shown["changes"] if change["error"]] == ["Grafana answers 500: disk full"]
    assert shown["panels"] == []


def test_the_doctor_finds_a_working_grafana(double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "spanledger.toml"
    config.write_text(f'[grafana]\nurl = "{double.url}"\ntoken = "glsa_double"\n', "utf-8")

    def told() -> list[str]:
        main(["doctor", "--config", str(config), "--data", str(tmp_path / "data"), "--json"])
        found = json.loads(capsys.readouterr().out)
        return [finding["state"] for finding in found if finding["check"] == "grafana"]

    assert told() == ["ok", "warn", "warn"]
    assert run(double, "apply", "--no-panels") == 0
    capsys.readouterr()
    assert told() == ["ok", "ok", "ok"]
    double.version = "13.2.1"
    assert told() == ["warn", "ok", "ok"]


def test_export_writes_files_for_a_container_beside_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboards", "export", str(tmp_path / "out")]) == 0
    named = capsys.readouterr().out.splitlines()
    assert len(named) == 12
    assert all(Path(name).is_file() for name in named)
    sources = (tmp_path / "out/provisioning/datasources/spanledger.yaml").read_text("utf-8")
    assert '"host.docker.internal:5433"' in sources
    assert '"http://host.docker.internal:4318/jaeger"' in sources


def test_a_grafana_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboards", "plan"]) == 1
    assert "name the Grafana with --grafana-url" in capsys.readouterr().err
    assert main(["dashboards", "plan", "--grafana-url", "http://127.0.0.1:1"]) == 1
    assert "--grafana-token" in capsys.readouterr().err


def test_secrets_are_resolved_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("glsa_hidden\n", "utf-8")
    monkeypatch.setenv("GRAFANA_KEY", "sl_hidden")
    named = ["--grafana-token", f"file:{token}", "--api-key", "env:GRAFANA_KEY"]
    assert main(["dashboards", "check", "--grafana-url", "http://127.0.0.1:1", *named, "--json"]) == 1
    shown = capsys.readouterr()
    assert "no Grafana answers at http://127.0.0.1:1" in shown.err
    assert "hidden" not in shown.out + shown.err
    assert main(["dashboards", "check", "--grafana-url", "http://127.0.0.1:1", "--grafana-token", "env:NONE"]) == 1
    assert "env:NONE is empty or missing" in capsys.readouterr().err


def test_what_a_wrong_use_says(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["dashboards", "applly"])
    assert stopped.value.code == 2
    assert "applly" in capsys.readouterr().err


def test_the_doctor_looks_at_the_configured_grafana(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "spanledger.toml"
    config.write_text('[grafana]\nurl = "http://127.0.0.1:1"\ntoken = "glsa_hidden"\n', "utf-8")
    main(["doctor", "--config", str(config), "--data", str(tmp_path / "data"), "--json"])
    shown = capsys.readouterr().out
    (finding,) = [finding for finding in json.loads(shown) if finding["check"] == "grafana"]
    assert finding["state"] == "fail"
    assert "no Grafana answers" in finding["text"]
    assert "glsa_hidden" not in shown
