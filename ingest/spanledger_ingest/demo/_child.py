"""Runs the demo's application as what it is: another process, which knows nothing of the service but its address."""

import os
import subprocess
import sys
from pathlib import Path

from spanledger_ingest.demo._errors import DemoError
from spanledger_ingest.demo.fake_provider import FakeProvider

SERVICE_NAME = "corner-shops"
_SCRIPT = Path(__file__).with_name("application.py")
_TIMEOUT_S = 45


def run_application(endpoint: str, provider: FakeProvider, spool: Path) -> None:
    """Run the application to its end.

    Its environment holds what is written here and nothing else, so that proxies, keys and OTEL_* settings of the user
    neither reach the demo nor are reached by it.

    Args:
        endpoint: Address of the service.
        provider: Stands in for both providers.
        spool: Where the application keeps spans while the service is away.

    Raises:
        DemoError: If it fails; the message ends with what it said.
    """
    environment = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "SPANLEDGER_ENDPOINT": endpoint,
        "SPANLEDGER_SPOOL_DIR": str(spool),
        "OTEL_SERVICE_NAME": SERVICE_NAME,
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=demo",
        "OPENAI_BASE_URL": provider.openai_url,
        "OPENAI_API_KEY": "not-a-secret",
        "ANTHROPIC_BASE_URL": provider.anthropic_url,
        "ANTHROPIC_API_KEY": "not-a-secret",
    }
    command = [sys.executable, "-P", str(_SCRIPT)]
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"the application did not end within {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise DemoError(f"the application failed:\n{done.stderr[-2000:]}")
