"""A5 with the reference library of Standard Webhooks for JavaScript."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from spanledger_alerts.delivery import sample, signed_headers
from spanledger_alerts.delivery.shapes import RENDERINGS, Said

JS = Path(__file__).parent / "webhook_js"
OLD = "whsec_" + "b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZC1zZWNyZXQ="
NEW = "whsec_" + "bmV3LXNlY3JldC1uZXctc2VjcmV0LW5ldy1zZWNyZXQ="
OTHER = "whsec_" + "b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC1vdGhlcg=="


def node_modules() -> Path:
    """The library, installed once per version of package.json, outside the repository."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        message = f"{' and '.join(missing)} missing: signatures cannot be verified in JavaScript"
        assert os.environ.get("SPANLEDGER_REQUIRE_TOOLS") != "1", message
        pytest.skip(message)
    manifest = JS / "package.json"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger-tests"
    if not (cache / digest).is_dir():
        work = cache / f"{digest}.{secrets.token_hex(4)}"
        work.mkdir(parents=True)
        shutil.copy(manifest, work)
        command = ["npm", "install", "--package-lock=false", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=work, check=True, timeout=100)
        try:
            work.rename(cache / digest)
        except OSError:  # another run was first
            shutil.rmtree(work)
    return cache / digest / "node_modules"


def test_a5_the_javascript_library_verifies_with_the_old_and_the_new_secret() -> None:
    modules = node_modules()
    body = RENDERINGS["native"].render(Said(sample("msg-\u00e4", "ops", time.time_ns())))
    headers = signed_headers("msg-1", time.time_ns(), body, [NEW, OLD])

    def verify(secret: str, text: str) -> str:
        done = subprocess.run(
            ["node", str(JS / "verify.cjs"), secret],
            input=json.dumps({"body": text, "headers": headers}),
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip()

    assert [verify(secret, body.decode()) for secret in (NEW, OLD)] == ["alert.firing"] * 2
    assert "Error" in verify(OTHER, body.decode())
    assert "Error" in verify(NEW, body.decode() + " ")
