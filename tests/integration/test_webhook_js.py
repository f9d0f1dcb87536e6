"""A5 with the reference library of Standard Webhooks for JavaScript."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from spanledger_alerts.delivery import sample, signed_headers
from spanledger_alerts.delivery.shapes import RENDERINGS, Said

JS = Path(__file__).parent / "webhook_js"
OLD = "whsec_" + "b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZC1zZWNyZXQ="
NEW = "whsec_" + "bmV3LXNlY3JldC1uZXctc2VjcmV0LW5ldy1zZWNyZXQ="
OTHER = "whsec_" + "b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC1vdGhlcg=="


def test_a5_the_javascript_library_verifies_with_the_old_and_the_new_secret(
    node_modules: Callable[[Path], Path],
) -> None:
    modules = node_modules(JS)
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
