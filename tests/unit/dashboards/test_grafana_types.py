"""The JSON of every board is what Grafana's own types (npm @grafana/schema) allow."""

import functools
import hashlib
import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.grafana_json import dashboard

SCHEMA = Path(__file__).parent / "schema"
OPTIONS = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]


@functools.cache
def node_modules() -> Path:
    """Grafana's types and the compiler, installed once per version of package.json, outside the repository."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        message = f"{' and '.join(missing)} missing: the boards cannot be compared with Grafana's types"
        assert os.environ.get("SPANLEDGER_REQUIRE_TOOLS") != "1", message
        pytest.skip(message)
    manifest = SCHEMA / "package.json"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger-tests"
    if not (cache / digest).is_dir():
        _install(manifest, cache, digest)
    return cache / digest / "node_modules"


def _install(manifest: Path, cache: Path, digest: str) -> None:
    """Install beside the final place and rename, so that an interrupted or parallel run leaves no half of it."""
    work = cache / f"{digest}.{secrets.token_hex(4)}"
    work.mkdir(parents=True)
    shutil.copy(manifest, work)
    command = ["npm", "install", "--package-lock=false", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=work, check=True, timeout=100)
    try:
        work.rename(cache / digest)
    except OSError:  # another run was first
        shutil.rmtree(work)


def _typed(models: list[dict[str, Any]]) -> str:
    """Each board and each panel as a literal of its type: then the compiler also refuses keys that do not exist."""
    lines = ["import * as t from './loose';"]
    for place, model in enumerate(models):
        lines.append(f"export const board{place}: t.Whole = {json.dumps(model)};")
        for number, panel in enumerate(one for one in model["panels"] if one["type"] != "row"):
            kind = panel["type"].replace("-", "").capitalize()
            lines.append(f"export const panel{place}_{number}: t.{kind}Panel = {json.dumps(panel)};")
    return "\n".join(lines)


def _compile(folder: Path, models: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    shutil.copy(SCHEMA / "loose.ts", folder)
    (folder / "boards.ts").write_text(_typed(models), encoding="utf-8")
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(node_modules())
    compiler = node_modules() / "typescript" / "bin" / "tsc"
    command = ["node", str(compiler), *OPTIONS, "boards.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_every_board_fits_the_types(tmp_path: Path) -> None:
    done = _compile(tmp_path, [dashboard(board) for board in BOARDS])
    assert done.returncode == 0, done.stdout


def test_mistakes_would_be_found(tmp_path: Path) -> None:
    model = dashboard(BOARDS[0])
    model["panels"][0]["options"]["colorMode"] = "colourful"
    model["panels"][1]["options"]["grafMode"] = "none"
    model["panels"][2]["fieldConfig"]["defaults"]["thresholds"]["mode"] = "relative"
    model["graphTooltip"] = "shared"
    done = _compile(tmp_path, [model])
    assert done.returncode != 0
    for wrong in ("colourful", "grafMode", "relative", "DashboardCursorSync"):
        assert wrong in done.stdout
