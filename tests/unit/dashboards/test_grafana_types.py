"""The JSON of every board is what Grafana's own types (npm @grafana/schema) allow."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.grafana_json import dashboard

SCHEMA = Path(__file__).parent / "schema"
OPTIONS = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]


def _typed(models: list[dict[str, Any]]) -> str:
    """Each board and each panel as a literal of its type: then the compiler also refuses keys that do not exist."""
    lines = ["import * as t from './loose';"]
    for place, model in enumerate(models):
        lines.append(f"export const board{place}: t.Whole = {json.dumps(model)};")
        for number, panel in enumerate(one for one in model["panels"] if one["type"] != "row"):
            kind = panel["type"].replace("-", "").capitalize()
            lines.append(f"export const panel{place}_{number}: t.{kind}Panel = {json.dumps(panel)};")
    return "\n".join(lines)


def _compile(folder: Path, models: list[dict[str, Any]], modules: Path) -> subprocess.CompletedProcess[str]:
    shutil.copy(SCHEMA / "loose.ts", folder)
    (folder / "boards.ts").write_text(_typed(models), encoding="utf-8")
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(modules)
    compiler = modules / "typescript" / "bin" / "tsc"
    command = ["node", str(compiler), *OPTIONS, "boards.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_every_board_fits_the_types(tmp_path: Path, node_modules: Callable[[Path], Path]) -> None:
    done = _compile(tmp_path, [dashboard(board) for board in BOARDS], node_modules(SCHEMA))
    assert done.returncode == 0, done.stdout


def test_mistakes_would_be_found(tmp_path: Path, node_modules: Callable[[Path], Path]) -> None:
    model = dashboard(BOARDS[0])
    model["panels"][0]["options"]["colorMode"] = "colourful"
    model["panels"][1]["options"]["grafMode"] = "none"
    model["panels"][2]["fieldConfig"]["defaults"]["thresholds"]["mode"] = "relative"
    model["graphTooltip"] = "shared"
    done = _compile(tmp_path, [model], node_modules(SCHEMA))
    assert done.returncode != 0
    for wrong in ("colourful", "grafMode", "relative", "DashboardCursorSync"):
        assert wrong in done.stdout
