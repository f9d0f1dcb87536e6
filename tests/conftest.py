"""What tests of several kinds need."""

import functools
import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def node_modules() -> Callable[[Path], Path]:
    """What makes of a folder with a package.json the node_modules that it asks for."""
    return _node_modules


@functools.cache
def _node_modules(folder: Path) -> Path:
    """Install once per version of package.json, outside the repository."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        message = f"{' and '.join(missing)} missing: nothing can run that {folder.name}/package.json asks for"
        assert os.environ.get("SPANLEDGER_REQUIRE_TOOLS") != "1", message
        pytest.skip(message)
    manifest = folder / "package.json"
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
